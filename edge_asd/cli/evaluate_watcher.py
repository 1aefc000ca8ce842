"""What a person sees of `edge-asd evaluate` while it runs, and the report it fills."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edge_asd.cli.evaluate_table import HEAD, case_row
from edge_asd.cli.progress import Once, Progress, note

if TYPE_CHECKING:
    from edge_asd.bundle.bundle import Bundle
    from edge_asd.evaluation.cases import Case
    from edge_asd.evaluation.evaluate import CaseResult, Events, FailedClip
    from edge_asd.evaluation.figures import Outcome
    from edge_asd.evaluation.plan import Plan


class Watcher:
    """Tells a person how far it is, and fills the report."""

    def __init__(self, args: argparse.Namespace, plan: Plan, channel: int | None) -> None:
        self.failed: list[FailedClip] = []
        self._json = args.json
        self._total, self._done, self._cached, self._printed = plan.n_clips, 0, 0, 0
        self._progress, self._say_once = Progress(plan.n_clips), Once()
        self._channel = channel
        self._report: Any = None
        if args.report is not None:
            from edge_asd.evaluation.plots import check_plots
            from edge_asd.evaluation.report import Report

            check_plots()
            self._report = Report(args.report)

    def events(self) -> Events:
        from edge_asd.evaluation.evaluate import Events

        return Events(self._clip_done, self._note, self._clip_failed, self._case_scored)

    def case_done(self, result: CaseResult) -> None:
        self._progress.end()
        for warning in result.warnings:
            note(f"{result.case.name}: {warning}")
        if not self._json:
            if self._printed == 0:
                print(HEAD)
            print(case_row(result), flush=True)
        self._printed += 1

    def end(self) -> None:
        self._progress.end()

    def finish(self, made: dict[str, Any]) -> None:
        if self._cached:
            note(f"{self._cached} of {self._done} clips came from the cache")
        if self.failed:
            note(f"{len(self.failed)} clips could not be used")
        if self._report is not None:
            lines = [f"{name}: {value}" for name, value in made["settings"].items() if value is not None]
            note(f"report: {self._report.finish(made, lines)}")

    def _clip_done(self, cached: bool) -> None:
        self._done += 1
        self._cached += cached
        self._progress.at(self._done, f"{self._done} of {self._total} clips, {self._cached} from the cache")

    def _note(self, text: str) -> None:
        self._progress.end()
        self._say_once(text)

    def _clip_failed(self, clip: FailedClip) -> None:
        self._progress.end()
        self.failed.append(clip)
        note(f"{clip.case}: {clip.error}")

    def _case_scored(self, case: Case, tested: Outcome, bundle: Bundle) -> None:
        if self._report is not None:
            from edge_asd.calibration.scale import SHOWN_THRESHOLD
            from edge_asd.evaluation.rehear import rehearer

            self._report.add_case(case, tested, SHOWN_THRESHOLD, rehearer(bundle, self._channel))
