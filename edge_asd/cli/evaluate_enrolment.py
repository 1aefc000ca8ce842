"""What `edge-asd evaluate` enrols cases with, from flags and settings, and how a result tells it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_asd.config import Config
    from edge_asd.enrolment.enrol import Enrolment
    from edge_asd.evaluation.plan import Plan
    from edge_asd.evaluation.reader import Listener


def listener_of(scorer: str | None, config: Config) -> Listener:
    """How clips are heard where cases are enrolled."""
    from edge_asd.cli.bundles import model_to_enrol
    from edge_asd.evaluation.reader import Listener
    from edge_asd.scorers import default_scorers, parse_scorers

    model = model_to_enrol(config)
    specs = parse_scorers(scorer or default_scorers(model.contract))
    if config.detector.step_s is not None:
        model = model.with_step(config.detector.step_s)
    return Listener(model, specs, config.model.runtime)


def blank_enrolments(clip_percentile: float | None, config: Config) -> Callable[[Listener], Enrolment]:
    """What makes the blank enrolment of each case, set as `enroll` sets it."""
    from edge_asd.calibration.allowance import parse_allowance
    from edge_asd.cli.enroll import live_target
    from edge_asd.enrolment.enrol import DEFAULT_CLIP_PERCENTILE, DEFAULT_SMOOTHING_S, Enrolment

    smoothing_s = config.detector.smoothing_s

    def blank(listener: Listener) -> Enrolment:
        return Enrolment(
            listener.model,
            None,
            listener.specs,
            clip_percentile=clip_percentile or DEFAULT_CLIP_PERCENTILE,
            live=live_target(config),
            smoothing_s=DEFAULT_SMOOTHING_S if smoothing_s is None else smoothing_s,
            bank_budget_bytes=config.model.bank_budget,
            bank_method=config.model.bank_method,
            strict=False,
            session_allowance=parse_allowance(config.detector.session_allowance),
        )

    return blank


def settings_told(args: argparse.Namespace, plan: Plan, config: Config) -> dict[str, Any]:
    """What the figures depend on, for the reader of a result."""
    listener = plan.listeners[0]
    common = {
        "model": listener.model.contract.title,
        "precision": listener.model.precision,
        "scorer": "+".join(str(spec) for spec in listener.specs),
        "channel": config.audio.channel,
        "seed": args.seed,
    }
    if args.bundle is not None:
        return {"bundle": str(args.bundle), **common}
    blank = blank_enrolments(args.percentile, config)(listener)
    return {
        "bundle": None,
        **common,
        "percentile": blank.clip_percentile,
        "false_alarms": None if blank.live.budget is None else str(blank.live.budget),
        "live_percentile": blank.live.percentile,
        "confirm_s": blank.live.confirm_s,
        "smoothing_s": blank.smoothing_s,
        "step_s": listener.model.contract.step_s,
        "session_allowance": config.detector.session_allowance,
        "bank_budget": blank.bank_budget_bytes,
    }
