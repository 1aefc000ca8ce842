"""What an evaluation will do, settled before anything is computed: cases, bundles, networks, and all that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_asd.bundle.bundle import load_bundle
from edge_asd.contract import SECTION
from edge_asd.errors import MissingInputError, UsageError
from edge_asd.evaluation.cases import Case, read_cases
from edge_asd.evaluation.dataset import read_dataset
from edge_asd.evaluation.document import DatasetRun
from edge_asd.evaluation.evaluate import PlannedCase, unique_names
from edge_asd.evaluation.reader import Listener
from edge_asd.scorers.views import SCORES

BUNDLE_SUFFIX = ".asd"
RUN_BUNDLES = "bundles"
"""Directory of a training run that `edge-asd train` puts bundles in."""


@dataclass(frozen=True)
class Plan:
    """What to measure and how.

    notes: what was left out and why, in words.
    """

    cases: tuple[PlannedCase, ...]
    listeners: tuple[Listener, ...]
    datasets: tuple[DatasetRun, ...]
    notes: tuple[str, ...]

    @property
    def n_clips(self) -> int:
        """Clips to hear."""
        return sum(len(planned.enrol) + len(planned.case.test) for planned in self.cases)


def make_plan(
    inputs: Sequence[Path], bundle: Path | None, year: int | None, default_listener: Callable[[], Listener]
) -> Plan:
    """Read case files and dataset folders, and check the bundles.

    bundle: a file for all cases, or a directory with one a case; None: every case is enrolled. year: of the datasets,
    None to guess. default_listener: how clips are heard where cases are enrolled.

    Raises what `read_cases`, `read_dataset` and `load_bundle` raise, DataError for a case's name that stands twice,
    UsageError for a year of no dataset, MissingInputError for a case without its bundle.
    """
    years: dict[str, int] = {}
    cases: list[Case] = []
    datasets, notes = [], []
    for path in inputs:
        if path.is_dir():
            found = read_dataset(path, year, enrolled=bundle is not None)
            cases += found.cases
            names = tuple(case.name for case in found.cases)
            years |= dict.fromkeys(names, found.year)
            datasets.append(DatasetRun(path, found.year, found.reason, names))
            notes += [f"{path}: {words}" for words in found.notes]
        else:
            cases += read_cases(path, enrolled=bundle is not None)
    if year is not None and not datasets:
        raise UsageError("--year is for datasets, and no directory was given", remedy="leave it out")
    unique_names(cases)
    if bundle is None:
        listener_of, own = _sections(cases, default_listener())
        planned = [PlannedCase(case, listener_of[case.name], year=years.get(case.name)) for case in cases]
        return Plan(tuple(planned), tuple(own), tuple(datasets), tuple(notes))
    files = [bundle_of(case, bundle) for case in cases]
    indices, listeners = _listeners(files)
    planned = [
        PlannedCase(case, indices[file], file, years.get(case.name)) for case, file in zip(cases, files, strict=True)
    ]
    return Plan(tuple(planned), tuple(listeners), tuple(datasets), tuple(notes))


def bundle_of(case: Case, bundle: Path) -> Path:
    """The bundle a case is scored against: of a directory the one of its name, of a training run's that in RUN/bundles.

    Raises MissingInputError where a directory holds none for it.
    """
    if not bundle.is_dir():
        return bundle
    if (bundle / RUN_BUNDLES).is_dir():
        bundle = bundle / RUN_BUNDLES
    names = [f"{case.name}{BUNDLE_SUFFIX}"]
    if case.machine:
        names += [f"{case.machine}_{kind}_{case.section}{BUNDLE_SUFFIX}" for kind in ("section", "id")]
    found = next((bundle / name for name in names if (bundle / name).is_file()), None)
    if found is None:
        raise MissingInputError(f"{bundle}: no bundle for {case.name}", remedy=f"it is looked for as {names[0]}")
    return found


def _sections(cases: Sequence[Case], listener: Listener) -> tuple[dict[str, int], list[Listener]]:
    """Index of each case's listener: one for all, or where a model scores by section one a section, named as
    "fan/00". Raises DataError for a case of a section that the model was not trained on."""
    contract = listener.model.contract
    if SECTION not in contract.scorer_inputs or not any(spec.view == SCORES for spec in listener.specs):
        return dict.fromkeys((case.name for case in cases), 0), [listener]
    of_case = {case.name: f"{case.machine}/{case.section}" if case.machine else case.name for case in cases}
    sections = list(dict.fromkeys(of_case.values()))
    own = [replace(listener, model=listener.model.for_section(section)) for section in sections]
    return {name: sections.index(section) for name, section in of_case.items()}, own


def _listeners(files: Sequence[Path]) -> tuple[dict[Path, int], list[Listener]]:
    """Index of each bundle's listener, equal ones counted once: bundles of one training share their network."""
    indices: dict[Path, int] = {}
    listeners: list[Listener] = []
    for file in dict.fromkeys(files):
        bundle = load_bundle(file)
        listener = Listener(bundle.model, bundle.normal.specs)
        if listener not in listeners:
            listeners.append(listener)
        indices[file] = listeners.index(listener)
    return indices, listeners
