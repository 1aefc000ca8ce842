"""Slow adaptation, switched on by hand: normal sound that drifts is followed, a lasting fault is never learned.

A few windows a day of a stream join the bank. The thresholds stay those of the enrolment. What keeps a fault out:

* only windows whose own score and smoothed score lie below `margin` are taken, well under the threshold the enrolment
  alone gives (what is allowed for days not heard is no reason to learn from them);
* each then waits in quarantine: it is admitted if `quarantine_s` before it and after it no score was above that
  threshold, no alarm and no shift was on; one such moment throws out all that waits. So from the first alarming window
  of a fault on nothing is admitted, the bank stays as it was, and the fault goes on alarming for as long as it lasts;
* at most `per_day` windows a day, one in each even part of it;
* the enrolled windows are never forgotten, and none is admitted that the enrolment alone would score above `furthest`:
  however slowly a machine wears, its drift is followed that far and then alarms;
* all that was admitted lies in one file of its own. Deleting it takes everything back.

Nothing here rules out a fault that never once scores above the threshold: the enrolment would not find that one either.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_asd.atomic import write_atomically
from edge_asd.enrolment.known_windows import packed, unpacked
from edge_asd.errors import DataError, StorageError
from edge_asd.normal import NormalSound
from edge_asd.scorers import Features
from edge_asd.spectra import window_spectra
from edge_asd.state import STATE_VARIABLE, state_directory

if TYPE_CHECKING:
    from edge_asd.bundle.bundle import Bundle
    from edge_asd.detector import WindowScore

DAY_S = 86_400.0
SUFFIX = ".adapted"
SPECTRA = "spectra"
"""Among the features of admitted windows, for explanations."""


@dataclass(frozen=True)
class AdaptationRules:
    """See the module. margin, furthest: on the scale of 0 to 100 with the threshold at 50; furthest 75 is three times
    the threshold. most_share: admitted windows, as a share of the enrolled ones; the oldest give way."""

    per_day: int = 48
    quarantine_s: float = 6 * 3600.0
    margin: float = 40.0
    furthest: float = 75.0
    most_share: float = 0.5
    day_s: float = DAY_S


@dataclass(frozen=True)
class Admitted:
    """Windows that joined the bank.

    features: by name (and SPECTRA), float32 [k, f] each. times: float [k], Unix UTC s.
    """

    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    times: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.times)

    def with_window(self, features: Mapping[str, np.ndarray], time: float, most: int) -> Admitted:
        """With one more, features [1, f] each; the oldest give way beyond `most`."""
        joined = {
            name: np.concatenate((self.features[name], row)) if len(self) else row for name, row in features.items()
        }
        rows = {name: own[-most:] for name, own in joined.items()}
        return Admitted(rows, np.append(self.times, time)[-most:])

    def save(self, path: Path, bundle: Bundle) -> None:
        """Write them whole or not at all, with the mark of the bundle they belong to. Raises StorageError."""
        arrays = {"times": self.times, "bundle": np.frombuffer(mark(bundle), np.uint8)}
        for name, rows in self.features.items():
            metric = _metrics(bundle)[name]
            arrays |= {f"{name}/{key}": array for key, array in packed(rows, metric).items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # names are no keywords of its own
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path, bundle: Bundle) -> Admitted:
        """Read them back; none where there is no file.

        Raises StorageError, DataError (damaged, or of another bundle).
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise StorageError(f"{path}: cannot read: {error.strerror}") from error
        remedy = "take the adaptation back with edge-asd enroll --undo-adaptation"
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            owner, times = arrays.pop("bundle").tobytes(), arrays.pop("times")
            stored: dict[str, dict[str, np.ndarray]] = {}
            for name, array in arrays.items():
                view, _, key = name.rpartition("/")
                stored.setdefault(view, {})[key] = array
            features = {name: unpacked(own) for name, own in stored.items()}
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: damaged ({error})", remedy=remedy) from error
        if owner != mark(bundle):
            raise DataError(f"{path}: adapted from another bundle than this one", remedy=remedy)
        whole = set(features) == set(_metrics(bundle)) and all(len(rows) == len(times) for rows in features.values())
        if len(times) and not whole:
            raise DataError(f"{path}: does not fit the bundle's scorers", remedy=remedy)
        return cls(features, times)


class Adapter:
    """Follows one stream; says when the bank has changed.

    bundle: as enrolled. path: where what was admitted is kept. on_normal: given the normal sound to compare with from
    now on. warn: told once when the file cannot be written; adaptation then lasts as long as the run.

    What was admitted to another bundle is not taken (`warn` is told). Raises StorageError, and DataError for a bundle
    that does not know its windows.
    """

    def __init__(
        self,
        bundle: Bundle,
        path: Path,
        *,
        on_normal: Callable[[NormalSound], None],
        warn: Callable[[str], None],
        rules: AdaptationRules | None = None,
    ) -> None:
        if bundle.known is None:
            raise DataError("this bundle was made by an older edge-asd and cannot adapt", remedy="enrol once more")
        self.rules = rules or AdaptationRules()
        self._bundle, self._path = bundle, path
        self._on_normal, self._warn = on_normal, warn
        self._rate_hz = bundle.contract.features.rate_hz
        self._waiting: deque[tuple[float, float, Features]] = deque()
        self._disturbed_s: float | None = None
        self._slot: int | None = None
        self._last_s = 0.0
        self._told = False
        try:
            self.admitted = Admitted.load(path, bundle)
        except DataError as error:  # after an `enroll --append`, say; a service must not end for it
            warn(f"{error.message}: adaptation begins afresh")
            self.admitted = Admitted()
        if len(self.admitted):
            on_normal(adapted_normal(bundle, self.admitted))

    def observe(self, score: WindowScore, *, disturbed: bool) -> int:
        """Take the next window; tells how many were admitted with it.

        disturbed: an alarm or a shift is on. Before the first window nobody listened, which counts as disturbed too; so
        does a stretch that was not heard.
        """
        now_s = score.end_position / self._rate_hz
        unheard = self._disturbed_s is None or score.start_position / self._rate_hz > self._last_s
        self._last_s = now_s
        live, rules = self._bundle.live_calibrations, self.rules
        if disturbed or unheard or score.score > live[-1].within(score.threshold):
            self._disturbed_s = now_s
            self._waiting.clear()
            return 0
        assert self._disturbed_s is not None
        slot = int(now_s * rules.per_day / rules.day_s)
        calm = now_s - self._disturbed_s >= rules.quarantine_s
        ordinary = score.score < live[-1].within(rules.margin) and score.window_score < live[0].within(rules.margin)
        if calm and ordinary and slot != self._slot:
            self._slot = slot
            spectra_db = window_spectra(score.frames_db[None])
            self._waiting.append((now_s, score.time, {**score.features, SPECTRA: spectra_db}))
        n_admitted = 0
        while self._waiting and now_s - self._waiting[0][0] >= rules.quarantine_s:
            _, time, features = self._waiting.popleft()
            n_admitted += self._admit(features, time)
        return n_admitted

    def _admit(self, features: Features, time: float) -> bool:
        bundle = self._bundle
        alone = bundle.live_calibrations[0]
        if float(alone.score(bundle.normal.distances(features))[0]) > alone.within(self.rules.furthest):
            return False
        most = max(1, int(self.rules.most_share * len(bundle.normal)))
        self.admitted = self.admitted.with_window(features, time, most)
        self._on_normal(adapted_normal(bundle, self.admitted))
        try:
            self.admitted.save(self._path, bundle)
        except StorageError as error:
            if not self._told:
                self._warn(f"warning: {error}; what is adapted will be forgotten at the end of this run")
            self._told = True
        return True


def adapted_normal(bundle: Bundle, admitted: Admitted) -> NormalSound:
    """The enrolled windows and the admitted ones together; those as of the target domain, with their own times."""
    known = bundle.known
    assert known is not None
    old = known.features()
    n = len(admitted)
    return NormalSound.fit(
        bundle.normal.specs,
        {name: np.concatenate((rows, admitted.features[name])) for name, rows in old.items()},
        np.concatenate((bundle.normal.spectra.levels_db, admitted.features[SPECTRA])),
        np.concatenate((known.target[known.kept], np.ones(n, bool))),
        bundle.normal.rhythms,
        enrolled_s=np.concatenate((bundle.normal.tags.enrolled_s, np.maximum(admitted.times, 0.0))),
        like=bundle.normal,
    )


def mark(bundle: Bundle) -> bytes:
    """What tells one enrolment from another: a hash of its windows and of how they were scored."""
    digest = hashlib.sha256(bundle.normal.spectra.codes.tobytes())
    digest.update(bundle.enrolment_scores.distances.tobytes())
    return digest.digest()


def state_paths(bundle: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where the admitted windows of a bundle may lie: in the service's state directory, where there is one, else beside
    the bundle. The first is where they are written."""
    beside = bundle.with_name(bundle.name + SUFFIX)
    if not environment.get(STATE_VARIABLE):
        return (beside,)
    return (state_directory(environment) / (bundle.name + SUFFIX), beside)


def _metrics(bundle: Bundle) -> dict[str, str]:
    return {SPECTRA: "spread", **{spec.features: spec.view_of.metric for spec in bundle.normal.specs}}
