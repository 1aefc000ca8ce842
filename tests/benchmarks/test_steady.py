"""The benchmarks of false alarms and faults: what is pinned stays, what is measured is counted, runs go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import false_alarms, faults
from benchmarks.steady import SESSION_S, Watch, append_line, pinned, read_lines, seeds, sessions
from edge_asd.monitor.alarm import AlarmSettings
from edge_asd.simulator import FAULTS, KINDS, Machine, Scene
from edge_asd.simulator.operation import operate

RATE_HZ = 16000


@pytest.mark.parametrize("kind", KINDS)
def test_a_pinned_machine_keeps_its_speed_and_load_in_every_session(kind: str) -> None:
    rng = np.random.default_rng(3)
    machine = pinned(Machine.random(kind, rng), rng)
    assert len(machine.drive.speeds) == 1 and machine.drive.change_chance == 0.0
    assert all(layer.load_db == 0.0 for layer in machine.layers)
    means = [float(operate(machine, 20 * RATE_HZ, RATE_HZ, rng).speed.max()) for _ in range(4)]
    assert max(means) < 1.1 * min(means)


def test_sessions_are_new_sound_of_the_same_length() -> None:
    rng = np.random.default_rng(0)
    machine = pinned(Machine.random("fan", rng), rng)
    sound = sessions(machine, Scene.anechoic(), rng, 4000)
    first, second = next(sound), next(sound)
    assert first.shape == second.shape == (round(SESSION_S * 4000),)
    assert not np.array_equal(first, second)


def test_the_watch_counts_alarms_as_a_run_does(tiny_bundle, steady_sound) -> None:
    watch = Watch(tiny_bundle, AlarmSettings())
    scores, events = watch.hear(steady_sound(10.0, seed=40))
    assert len(scores) > 30 and events == []
    scores, events = watch.hear(steady_sound(10.0, seed=41, tone_hz=3000.0))
    assert [event.state for event in events] == ["start"]
    assert scores[0].start_position == 11 * RATE_HZ and watch.seconds == 21.0


def test_a_run_goes_on_from_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert read_lines(path) == read_lines(None) == []
    append_line(path, {"seed": 1})
    append_line(path, {"seed": 2})
    append_line(None, {"seed": 9})
    path.write_text(path.read_text() + '{"seed": 3')
    assert [line["seed"] for line in read_lines(path)] == [1, 2]


def test_seeds_are_read_as_they_are_written() -> None:
    assert seeds("0-3,7") == [0, 1, 2, 3, 7]
    assert len(seeds(false_alarms.SEEDS)) == 20


def test_a_faulty_half_is_as_loud_as_the_sound_before() -> None:
    rng = np.random.default_rng(1)
    sound = 0.1 * rng.standard_normal(round((faults.ONSET_S + faults.LISTEN_S) * 1000)).astype(np.float32)
    onset = round(faults.ONSET_S * 1000)
    sound[onset:] *= 3.0
    level = faults.as_loud_as_before(sound, 1000)
    np.testing.assert_array_equal(level[:onset], sound[:onset])
    assert np.std(level[onset + 50 :]) == pytest.approx(np.std(sound[:onset]), rel=0.01)


def test_every_fault_of_every_kind_is_tried_at_every_level() -> None:
    tried = [(kind, fault.name, fault.level_db) for kind in KINDS for fault in faults.faults_of(kind)]
    assert len(set(tried)) == len(tried) == 3 * sum(len(names) for names in FAULTS.values())


def test_the_tables_say_what_came_out() -> None:
    trial = {"kind": "fan", "seed": 0, "fault": "clog", "early": False, "peak": 80.0}
    loudness = {"loudness_auc": 0.5, "unusual_loudness_auc": 0.52}
    delays = {-10.0: None, -5.0: 7.0, 0.0: 4.0}
    text = faults.tables([{**trial, **loudness, "level_db": level, "delay_s": delays[level]} for level in delays])
    assert "| fan | 0 %, inf | 100 %, 7.0 | 100 %, 4.0 |" in text
    assert "At 0 dB 100 % of 1 faults found, the median after 4.0 s" in text and "missed" not in text
    line = {"kind": "fan", "snr_db": 9.0, "expected": None, "peak": 44.0, "simulator": "x", "hours": 24.0}
    text = false_alarms.table([{**line, "seed": seed, "alarms": alarms} for seed, alarms in enumerate((0, 5))])
    assert "Mean 2.50 false alarms a day" in text and "**missed**" in text and "1 of 2 machines raised none" in text
