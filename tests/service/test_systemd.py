"""The service under a real systemd, booted in a container made of this very system: an overlay, no image needed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_asd.bundle.bundle import Bundle, save_bundle
from tests.fakes.microphone import FakeMicrophones, build_plugin
from tests.service.container import NoContainer, StuckContainer, booted

pytestmark = [
    pytest.mark.xdist_group("systemd"),
    pytest.mark.skipif(os.geteuid() != 0, reason="booting a container needs root"),
    pytest.mark.skipif(
        shutil.which("systemd-nspawn") is None, reason="needs systemd-nspawn: apt install systemd-container"
    ),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> dict[str, Any]:
    """Boot, run every step of `inside.py`, power off; what it saw."""
    folder = tmp_path_factory.mktemp("systemd")
    shared = folder / "edge"
    shared.mkdir()
    build_plugin(shared)
    FakeMicrophones(Path("/edge"), Path("/edge/libfakemic.so"), on_disk=shared).environment()
    save_bundle(tiny_bundle, shared / "fan.asd")
    try:
        return booted(folder, shared, Path(__file__).with_name("inside.py"))
    except NoContainer as why:
        pytest.skip(str(why))
    except StuckContainer as stuck:
        pytest.fail(f"the container did not power off: {stuck}")


def test_it_is_ready_after_the_first_score(results: dict[str, Any]) -> None:
    seen = results["first_start"]
    assert seen["code"] == 0, seen
    assert (seen["ActiveState"], seen["NRestarts"]) == ("active", "0")
    assert seen["StatusText"].startswith("fan: score ")


def test_a_closed_unit_still_hears_as_an_unprivileged_user(results: dict[str, Any]) -> None:
    assert results["scores_keep_coming"] == {"came": True, "dynamic": "yes", "root": False}


def test_status_is_read_by_the_command(results: dict[str, Any]) -> None:
    seen = results["command_status"]
    assert (seen["code"], seen["state"], seen["logs"]) == (0, "listening", 0)
    assert "ActiveState=active" in seen["service"] and "fan: listening" in seen["service"]


@pytest.mark.parametrize(("step", "restarts"), [("killed", "1"), ("hung", "2")])
def test_a_killed_and_a_hung_process_are_started_again(results: dict[str, Any], step: str, restarts: str) -> None:
    assert results[step] == {"back": True, "ActiveState": "active", "NRestarts": restarts}


def test_a_stalled_microphone_is_waited_for_by_the_same_process(results: dict[str, Any]) -> None:
    expected = {"waiting": True, "status_code": 69, "back": True, "same_process": True}
    assert results["stalled_microphone"] == expected


def test_a_driver_that_never_returns_is_barked_at_and_floods_no_journal(results: dict[str, Any]) -> None:
    seen = results["broken_driver"]
    assert seen["restarted"] and seen["waiting"] and seen["back"], seen
    assert seen["lines"] < 60, seen


def test_booted_without_a_card_it_is_ready_and_waits(results: dict[str, Any]) -> None:
    seen = results["no_card_at_boot"]
    assert (seen["code"], seen["ActiveState"], seen["state"]) == (0, "active", "waiting"), seen
    assert seen["StatusText"].startswith("fan: waiting")
    assert seen["back"]


def test_what_happened_is_kept_and_read_beside_the_running_service(results: dict[str, Any]) -> None:
    seen = results["events_read"]
    assert {"lost", "opened", "waiting"} <= set(seen.pop("events")), seen
    assert "sudo" in seen["as_nobody"] and "Traceback" not in seen.pop("as_nobody"), seen
    expected = {"code": 0, "pin": 66, "more": True, "root": False, "fault": None, "used": True}
    assert seen == expected


def test_installing_again_upgrades_in_place(results: dict[str, Any]) -> None:
    seen = results["upgraded"]
    assert (seen["code"], seen["ActiveState"], seen["new_process"], seen["kept"]) == (0, "active", True, True), seen


def test_a_wrong_config_is_not_started_again_and_again(results: dict[str, Any]) -> None:
    seen = results["wrong_config"]
    assert (seen["ActiveState"], seen["ExecMainStatus"], seen["NRestarts"]) == ("failed", "78", "0"), seen
    assert "modle" in seen["journal"] and "model" in seen["journal"]
    assert seen["start"] == 0


def test_what_happens_is_sent_over_the_network_drop_in_signed_with_a_credential(results: dict[str, Any]) -> None:
    expected = {"code": 0, "arrived": True, "signed": True, "queue": True, "told": False}
    assert results["ways_out"] == expected


def test_it_stops_in_order(results: dict[str, Any]) -> None:
    seen = results["stopped"]
    assert (seen["ActiveState"], seen["Result"], seen["ExecMainStatus"]) == ("inactive", "success", "0"), seen
    assert "fan: Stopped" in seen["journal"]
    assert not seen["status_file"]


def test_it_leaves(results: dict[str, Any]) -> None:
    assert results["uninstalled"] == {"code": 0, "unit": False}
