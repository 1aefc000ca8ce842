"""Explanations of simulated machines with the network that ships, held against what the simulator really added."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.explanations import CLIP_S, NORMAL_S, SCENE, enrolled, judged
from edge_asd.bundle.bundle import Bundle
from edge_asd.explain import Explanation
from edge_asd.explain.clip import explain_clip
from edge_asd.frontend import log_mel
from edge_asd.simulator import Machine, render
from edge_asd.simulator.machines import Impacts


@pytest.fixture(scope="module")
def fan() -> tuple[Machine, Bundle]:
    rng = np.random.default_rng([0, 0])
    machine = Machine.random("fan", rng)
    return machine, enrolled(machine, rng)


def explanation(bundle: Bundle, samples: np.ndarray) -> Explanation:
    return explain_clip(log_mel(samples, bundle.contract.features), bundle).explanation


@pytest.mark.parametrize("fault, what", [("electrical_hum", "tone"), ("looseness", "rate"), ("rattle", "place")])
def test_a_fault_is_named_for_what_it_is(fan, fault: str, what: str) -> None:
    case = judged(*fan, fault, 0)
    assert getattr(case, what) is True, case.words


@pytest.mark.parametrize("rate_hz", [5.0, 12.0])
def test_blows_of_a_known_rate_are_counted_within_a_tenth(fan, rate_hz: float) -> None:
    machine, bundle = fan
    knocking = dataclasses.replace(machine, layers=(*machine.layers, Impacts(at="clock", ratio=rate_hz, level_db=0.0)))
    found = explanation(bundle, render(knocking, SCENE, CLIP_S, np.random.default_rng(3)))
    rates = [finding.rate_hz for finding in found.findings if finding.kind == "impacts"]
    assert rates == [pytest.approx(rate_hz, rel=0.1)], found.text


def test_a_quieter_machine_is_called_quieter_by_so_much(fan) -> None:
    machine, bundle = fan
    as_enrolled = render(machine, SCENE, NORMAL_S, after_drawing(machine))
    (only,) = explanation(bundle, as_enrolled * np.float32(10 ** (-18 / 20))).findings
    assert only.kind == "level" and only.change_db == pytest.approx(-18.0, abs=0.5)
    # Another run may be some dB off the nearest one that was enrolled.
    another = render(machine, SCENE, CLIP_S, np.random.default_rng(4))
    for change_db in (-12.0, -18.0, -24.0):
        first = explanation(bundle, another * np.float32(10 ** (change_db / 20))).findings[0]
        assert first.kind == "level" and first.change_db == pytest.approx(change_db, abs=3.0)


def after_drawing(machine: Machine) -> np.random.Generator:
    """The random numbers as they were when `machine` was enrolled."""
    rng = np.random.default_rng([0, 0])
    assert Machine.random("fan", rng) == machine
    return rng


def test_normal_runs_show_no_tone_no_rhythm_and_no_level(fan) -> None:
    machine, bundle = fan
    for seed in (5, 6, 7):
        found = explanation(bundle, render(machine, SCENE, CLIP_S, np.random.default_rng(seed)))
        # This fan changes its speed now and then, which two minutes of enrolment hardly show.
        assert {finding.kind for finding in found.findings} <= {"timbre", "unsteady", "steady"}, found.text
