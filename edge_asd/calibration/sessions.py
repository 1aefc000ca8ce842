"""How much wider a threshold must be than one session of sound says, for the days that follow.

Minutes recorded in one go show how sound varies within minutes. A week later the machine is warmer or more loaded, the
hall louder, the microphone a little elsewhere: later sound is further away from the enrolled windows than these are
from each other, and a threshold fitted on them alone is exceeded by most of it. What has not been heard has to be
assumed; what has been heard of it, from session to session, counts against the assumption.

The allowance is a factor on distances: the threshold is fitted as if every enrolled distance were so many times larger,
where that gives more than the plain one. Scores keep their order; only the place of 50 on their scale moves.

`python -m benchmarks.sessions` measures it on simulated machines and days, never on a recording; see there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_asd.calibration.threshold import Threshold
from edge_asd.errors import DataError
from edge_asd.scorers import ScorerSpec

ONE_SESSION = 2.0
"""Times further that a later day is assumed to lie than the sound of one session from itself. The largest with which
some 95 % of the simulated faults (0 dB, on later days, one session enrolled) are still found. No factor brings false
alarms there near 10 % and leaves most faults found, so more sessions are asked for."""
FULL_UP_TO, ENOUGH = 4, 10
"""Sessions up to which all of it is allowed for, and from which nothing is: after four to six simulated days there are
some 15 % false alarms without it."""


@dataclass(frozen=True)
class SessionEvidence:
    """What an enrolment shows of how sessions differ.

    sessions: how many were enrolled, at least 1.
    step: how many times further normal windows lie from the other sessions alone than from those and half of their own
        (geometric mean over windows and scorers; of simulated sessions it tells more than the median does: as many
        false alarms avoided for fewer faults missed); about 1 where parts of one session are all there is.
    """

    sessions: int = 1
    step: float = 1.0

    @classmethod
    def measured(cls, sessions: int, without: np.ndarray, within: np.ndarray) -> SessionEvidence:
        """From distances [n, scorers] of windows scored without their session (or part), and with the rest of it."""
        return cls(sessions, step_between(without, within))

    @property
    def widening(self) -> float:
        """The factor on distances, at least 1: what is assumed of later days, over what was already heard of it."""
        share = min(1.0, max(0.0, (ENOUGH - self.sessions) / (ENOUGH - FULL_UP_TO)))
        return max(1.0, ONE_SESSION / self.step) ** share

    def with_session(self) -> SessionEvidence:
        """With one more session, which was appended: it is heard, but its step does not count.

        Appended windows are judged with the rest of their own session, so how far that lies from the others is not in
        the distances a threshold is fitted on; to divide by it would narrow thresholds most where days differ most.
        """
        return dataclasses.replace(self, sessions=self.sessions + 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, the inverse of `from_dict`."""
        return {"sessions": self.sessions, "step": round(self.step, 4)}

    @classmethod
    def from_dict(cls, data: Any) -> SessionEvidence:
        """From parsed JSON. Raises DataError for anything but counts and a factor of at least 1."""
        try:
            made = cls(int(data["sessions"]), float(data["step"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"session evidence: {error!r} in {data!r}") from error
        if made.sessions < 1 or not 1.0 <= made.step < math.inf:
            raise DataError(f"session evidence: {data!r} is out of range")
        return made


def step_between(without: np.ndarray, within: np.ndarray) -> float:
    """See `SessionEvidence.step`, at least 1; distances [n, scorers] of the same windows."""
    least = 1e-6  # sound in a loop is at no distance from itself
    ratios = np.log(np.maximum(without, least) / np.maximum(within, least))
    return max(1.0, float(np.exp(ratios.mean())))


def allowances(specs: Sequence[ScorerSpec], widening: float) -> tuple[float, ...]:
    """The factor on each scorer's distances: 1 for measures whose values are no distances (ratios of densities)."""
    return tuple(widening if spec.measure_of.PROPORTIONAL else 1.0 for spec in specs)


def session_summary(evidence: SessionEvidence, asked: float | None, clip: Threshold) -> dict[str, Any]:
    """What a bundle keeps of it, plain JSON types, with words for a person who enrols.

    asked: the factor the user has set; None: it was judged. clip: the threshold of clips that came of it.
    """
    widening = evidence.widening if asked is None else asked
    heard = "one session" if evidence.sessions == 1 else f"{evidence.sessions} sessions"
    text, wider = "", f"{clip.threshold / max(clip.plain, 1e-9):.1f} times wider"
    if clip.threshold > clip.plain and asked is not None:
        text = (
            f"distances up to {widening:.2g} times are allowed for on other days, as asked: the threshold of clips is "
            f"{wider}, and stays so whatever is added (enroll --append)"
        )
    elif clip.threshold > clip.plain:
        text = (
            f"{heard}: other days will differ by more than was heard (distances up to {widening:.2g} times are allowed "
            f"for), so the threshold of clips is {wider}; recordings of several days named as such (enroll --sessions) "
            "narrow it, --session-allowance none takes it away"
        )
    elif widening > 1.0:
        text = f"{heard}: nothing is allowed for other days, because these scorers measure no distances" + (
            "; --session-allowance does nothing for them" if asked is not None else ""
        )
    return {**evidence.to_dict(), "asked": asked, "widening": round(widening, 4), "text": text}
