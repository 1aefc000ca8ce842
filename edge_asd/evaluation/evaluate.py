"""Enrol and score every case with the very pipeline a device runs; clips stream through, only figures stay."""

from __future__ import annotations

import contextlib
import itertools
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_asd.bundle.bundle import Bundle, load_bundle
from edge_asd.calibration.scale import SHOWN_THRESHOLD
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.errors import DataError, EdgeAsdError
from edge_asd.evaluation.cases import Case, CaseClip
from edge_asd.evaluation.figures import Figures, Outcome, figures_of
from edge_asd.evaluation.pool import WorkerDied, map_in_order
from edge_asd.evaluation.reader import ClipTask, Failure, Heard, Listener, make_reader
from edge_asd.evaluation.trace import live_trace


@dataclass(frozen=True)
class PlannedCase:
    """A case and how it is measured.

    listener: index of its listener. bundle: scored against this file instead of an enrolment. year: of the challenge
        whose rules its domains follow; None: of no challenge.
    """

    case: Case
    listener: int = 0
    bundle: Path | None = None
    year: int | None = None

    @property
    def enrol(self) -> tuple[CaseClip, ...]:
        """The clips it enrols."""
        return () if self.bundle is not None else self.case.enrol


@dataclass(frozen=True)
class FailedClip:
    """A clip that could not be used."""

    case: str
    path: str
    role: str
    error: str


@dataclass(frozen=True)
class CaseResult:
    """One case measured; `case` holds what was measured, `figures` how it came out.

    threshold, threshold_method: of clip scores (always 50, see `calibration.scale`) and how it was fitted; None where
        the case could not be enrolled.
    n_enrol, n_normal, n_anomaly, n_failed: clips enrolled, tested and not usable.
    n_groups: recordings or sessions among the test clips, 0 where none is told.
    warnings: what the enrolment complained of, and what makes the figures doubtful.
    drawn: components of the official score in every bootstrap draw.
    """

    case: Case
    figures: Figures
    threshold: float | None
    threshold_method: str
    bundle: Path | None
    n_enrol: int
    n_normal: int
    n_anomaly: int
    n_failed: int
    n_groups: int
    warnings: tuple[str, ...]
    drawn: list[list[float | None]] = field(repr=False)


@dataclass
class Events:
    """What an evaluation tells on its way: every clip done (cached or not), what was chosen for the user, failures,
    and every scored case with the bundle it was scored against, while both are at hand."""

    clip_done: Callable[[bool], None] = lambda cached: None
    note: Callable[[str], None] = lambda text: None
    failed: Callable[[FailedClip], None] = lambda clip: None
    case_scored: Callable[[Case, Outcome, Bundle], None] = lambda case, tested, bundle: None


def plain_enrolment(listener: Listener) -> Enrolment:
    """An enrolment with every setting at its default, of clips heard by others."""
    return Enrolment(listener.model, None, listener.specs, strict=False)


def evaluate(
    plan: Sequence[PlannedCase],
    listeners: Sequence[Listener],
    *,
    enrolment: Callable[[Listener], Enrolment] = plain_enrolment,
    channel: int | None = None,
    jobs: int = 1,
    cache: Path | None = None,
    seed: int = 0,
    events: Events | None = None,
) -> Generator[CaseResult, None, None]:
    """Measure the cases one after the other.

    listeners: what `PlannedCase.listener` counts in. enrolment: makes the blank enrolment of a case, with the
    settings to measure. channel: of clips with several. jobs: processes; the figures do not depend on it. cache:
    directory of features met before, None: none. seed: of the bootstrap.

    A clip that cannot be used is told to `events` and left out. Raises DataError for a bundle that is not one.
    """
    events = events or Events()
    tasks = itertools.chain.from_iterable(_tasks(planned, channel) for planned in plan)
    results = map_in_order(make_reader, (tuple(listeners), cache), tasks, jobs)
    with contextlib.closing(results):  # ends the workers when the caller stops early
        for planned in plan:
            yield _Run(planned, listeners[planned.listener], results, events).result(enrolment, seed)


def _tasks(planned: PlannedCase, channel: int | None) -> Iterator[ClipTask]:
    for clip in planned.enrol:
        yield ClipTask(clip.file, planned.listener, channel, whole=False)
    for clip in planned.case.test:
        yield ClipTask(clip.file, planned.listener, channel, whole=True)


class _Run:
    """One case on its way through."""

    def __init__(
        self,
        planned: PlannedCase,
        listener: Listener,
        results: Iterator[Heard | Failure | WorkerDied],
        events: Events,
    ) -> None:
        self._planned, self._case, self._listener = planned, planned.case, listener
        self._results, self._events = results, events
        self._warnings = leaks(planned)
        self._n_failed = 0

    def result(self, new_enrolment: Callable[[Listener], Enrolment], seed: int) -> CaseResult:
        case = self._case
        bundle, n_enrol = self._enrolled(new_enrolment)
        tested = Outcome.blank(case.test)
        for i, clip in enumerate(case.test):
            heard = self._next(clip, "test")
            if heard is not None and bundle is not None:
                self._score(i, clip, heard, bundle, tested)
        scored = tested.scored()
        threshold = None if bundle is None else SHOWN_THRESHOLD
        # By the name, not the place in the run: a case's intervals do not depend on the other cases.
        case_seed = zlib.crc32(f"{seed}:{case.name}".encode())
        figures, drawn = figures_of(scored, threshold or 0.0, self._planned.year, seed=case_seed)
        if bundle is not None:
            self._events.case_scored(case, tested, bundle)
        return CaseResult(
            case=case,
            figures=figures,
            threshold=threshold,
            threshold_method="" if bundle is None else bundle.clip_calibration.method,
            bundle=self._planned.bundle,
            n_enrol=n_enrol,
            n_normal=int((~scored.anomalous).sum()),
            n_anomaly=int(scored.anomalous.sum()),
            n_failed=self._n_failed,
            n_groups=len({clip.group for clip in case.test} - {""}),
            warnings=tuple(self._warnings),
            drawn=drawn,
        )

    def _enrolled(self, new_enrolment: Callable[[Listener], Enrolment]) -> tuple[Bundle | None, int]:
        """The bundle to score against and the number of clips enrolled for it; None where none could be."""
        if self._planned.bundle is not None:
            return load_bundle(self._planned.bundle), 0
        enrolment = new_enrolment(self._listener)
        n_enrol = 0
        for clip in self._planned.enrol:
            heard = self._next(clip, "enrol")
            if heard is not None:
                enrolment.add_heard(heard.clip, clip.file, clip.group or None, clip.domain)
                n_enrol += 1
        try:
            if n_enrol == 0:
                raise DataError("no clip could be enrolled")
            bundle = enrolment.finish({"case": self._case.name})
        except EdgeAsdError as error:
            self._warnings.append(f"not measured: {error.message}")
            return None, n_enrol
        self._warnings += bundle.enrolment["warnings"]
        return bundle, n_enrol

    def _next(self, clip: CaseClip, role: str) -> Heard | None:
        heard = next(self._results)
        self._events.clip_done(isinstance(heard, Heard) and heard.cached)
        if isinstance(heard, Heard):
            if heard.note:
                self._events.note(heard.note)
            return heard
        error = f"{clip.file}: {heard}" if isinstance(heard, WorkerDied) else heard.error
        self._n_failed += 1
        self._events.failed(FailedClip(self._case.name, clip.file, role, error))
        return None

    def _score(self, i: int, clip: CaseClip, heard: Heard, bundle: Bundle, tested: Outcome) -> None:
        (piece,) = heard.clip.pieces
        distances = bundle.normal.distances(piece.features)
        tested.scores[i] = bundle.score_distances(distances, piece.n_frames).score
        trace = live_trace(distances, piece.n_frames, bundle)
        tested.seconds[i] = heard.clip.seconds
        tested.alarms[i] = trace.alarms
        tested.delay_s[i] = trace.delay_s(clip.onset_s)


def leaks(planned: PlannedCase) -> list[str]:
    """In words: test clips that are enrolled too, or share a group with an enrolled one; then figures flatter."""
    files, groups = {clip.file for clip in planned.enrol}, {clip.group for clip in planned.enrol} - {""}
    same = sum(clip.file in files for clip in planned.case.test)
    related = sum(clip.group in groups for clip in planned.case.test)
    warnings = []
    if same:
        warnings.append(f"{same} test clips are enrolled as well: the figures mean nothing")
    elif related:
        warnings.append(f"{related} test clips share a group with enrolled ones: the figures flatter")
    return warnings


def unique_names(cases: Sequence[Case]) -> None:
    """Raise DataError where two cases have one name."""
    names = [case.name for case in cases]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise DataError(f"case {repeated!r} stands in two files", remedy="evaluate them one by one")
