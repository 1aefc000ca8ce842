"""The run's clock: monotonic inside, corrected once the system's clock is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_asd.monitor.clock import TIME_ERROR, RunClock, clock_is_set

SYNCHRONISED = 0


class System:
    """Clocks that a test turns."""

    def __init__(self, wall: float = 1000.0) -> None:
        self.wall, self.monotonic, self.set = wall, 50.0, False

    def clock(self) -> RunClock:
        return RunClock(wall=lambda: self.wall, monotonic=lambda: self.monotonic, is_set=lambda: self.set)

    def pass_s(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


def test_time_passes_and_nothing_is_to_be_corrected() -> None:
    system = System()
    clock = system.clock()
    system.pass_s(10.0)
    assert clock() == 1010.0
    clock.poll()
    assert (clock.steps, clock.stepped_s, clock.known) == (0, 0.0, False)


def test_a_clock_that_is_set_moves_what_was_dated_before() -> None:
    system = System()
    clock = system.clock()
    system.pass_s(5.0)
    system.wall += 86400.0
    assert clock() == 1005.0, "never jumps by itself"
    system.set = True
    clock.poll()
    assert (clock.steps, clock.stepped_s, clock.known) == (1, 86400.0, True)
    assert clock() == 87405.0
    clock.poll()
    assert clock.steps == 1, "counted once"


def test_a_clock_that_was_right_all_along_is_told_as_a_step_of_nothing() -> None:
    system = System()
    clock = system.clock()
    system.set = True
    clock.poll()
    assert (clock.steps, clock.stepped_s, clock.known) == (1, 0.0, True)


def test_a_known_clock_that_steps_is_followed_and_drift_is_not_a_step() -> None:
    system = System()
    system.set = True
    clock = system.clock()
    system.wall += 0.4
    clock.poll()
    assert clock.steps == 0
    system.wall -= 3600.4
    clock.poll()
    assert clock.stepped_s == pytest.approx(-3600.0)


def test_names_are_marked_until_the_time_is_known() -> None:
    system = System()
    clock = system.clock()
    assert clock.mark.startswith("-") and len(clock.mark) > 5
    system.set = True
    clock.poll()
    assert clock.mark == ""


@pytest.mark.parametrize(
    ("found", "kernel", "believed"),
    [
        (["sys/class/rtc/rtc0", "run/systemd/system"], TIME_ERROR, True),
        (["run/systemd/system"], TIME_ERROR, False),
        (["run/systemd/system"], SYNCHRONISED, True),
        (["run/systemd/system", "run/systemd/timesync/synchronized"], TIME_ERROR, True),
        ([], TIME_ERROR, True),
    ],
)
def test_which_clocks_are_believed(tmp_path: Path, found: list[str], kernel: int, believed: bool) -> None:
    for name in found:
        (tmp_path / name).mkdir(parents=True)
    assert clock_is_set(tmp_path, lambda: kernel) is believed


def test_the_kernel_can_be_asked() -> None:
    assert clock_is_set() in (True, False)
