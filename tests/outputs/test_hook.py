"""The command hook: what it is given, and what becomes of one that fails, hangs or has children."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_asd.errors import ConfigError
from edge_asd.outputs.delivery import Refused, TryLater
from edge_asd.outputs.hook import Hook
from edge_asd.outputs.message import message_of
from edge_asd.outputs.outlet import Outlet
from tests.fakes.records import alarm, until

MESSAGE = message_of(alarm(1), "pi")


def script(folder: Path, text: str) -> str:
    path = folder / "hook.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def hook(*command: str, timeout_s: float = 10.0) -> Hook:
    environment = {**os.environ, "CREDENTIALS_DIRECTORY": "/run/credentials/edge-asd", "COLOUR": "blue"}
    return Hook(command, timeout_s=timeout_s, environment=environment)


def test_it_gets_the_alarm_on_standard_input_and_arguments_as_they_are(tmp_path: Path) -> None:
    path = script(tmp_path, f'cat > {tmp_path}/in; echo "$@" "$COLOUR$CREDENTIALS_DIRECTORY" > {tmp_path}/args')
    hook(path, "a b", "$(touch /never)", ";").deliver(MESSAGE)
    got = json.loads((tmp_path / "in").read_text())
    assert (got["type"], got["state"], got["message_id"]) == ("alarm", "start", MESSAGE.id)
    assert (tmp_path / "args").read_text() == "a b $(touch /never) ; blue\n"


def test_exit_codes_say_done_again_or_never(tmp_path: Path) -> None:
    hook(script(tmp_path, "exit 0")).deliver(MESSAGE)
    with pytest.raises(TryLater, match="exit code 75"):
        hook(script(tmp_path, "exit 75")).deliver(MESSAGE)
    with pytest.raises(Refused, match="exit code 3"):
        hook(script(tmp_path, "exit 3")).deliver(MESSAGE)


def test_one_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    path = script(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(Refused, match=r"killed after 0\.5 s"):
        hook(path, timeout_s=0.5).deliver(MESSAGE)
    child = int((tmp_path / "child").read_text())
    until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())


def test_one_that_reads_nothing_is_no_error(tmp_path: Path) -> None:
    big = message_of(alarm(1, machine="x" * 200_000), "pi")
    hook("true").deliver(big)


def test_a_program_that_went_away_is_tried_again(tmp_path: Path) -> None:
    path = script(tmp_path, "exit 0")
    made = hook(path)
    Path(path).unlink()
    with pytest.raises(TryLater, match="No such file"):
        made.deliver(MESSAGE)


def test_a_program_that_cannot_be_run_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no program")
    for name in ("no-such-program", str(tmp_path / "plain"), str(tmp_path)):
        with pytest.raises(ConfigError, match="is no program that can be run"):
            hook(name)


def test_never_more_than_one_at_a_time_and_in_order(tmp_path: Path, make_outlet: Callable[..., Outlet]) -> None:
    text = "import sys,json,time; print(json.load(sys.stdin)['id'],flush=True); time.sleep(0.02); print('end')"
    path = script(tmp_path, f'{sys.executable} -c "{text}" >> {tmp_path}/log')
    outlet = make_outlet(hook(path))
    for number in range(4):
        outlet.write(alarm(number))
    until(lambda: outlet.sent == 4)
    lines = (tmp_path / "log").read_text().split()
    assert lines == [word for number in range(4) for word in (f"alarm-{number}", "end")]


def test_the_end_of_the_run_kills_it_and_keeps_its_message(tmp_path: Path, make_outlet: Callable[..., Outlet]) -> None:
    outlet = make_outlet(hook(script(tmp_path, f"touch {tmp_path}/begun; sleep 600"), timeout_s=600))
    outlet.write(alarm(1))
    until((tmp_path / "begun").exists)
    closing = threading.Thread(target=outlet.close)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert len(outlet.queue) == 1
    assert outlet.refused == 0
