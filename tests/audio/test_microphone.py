"""Live capture through the real sounddevice and PortAudio, from an ALSA device that fails on demand."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from fakes.microphone import FakeMicrophones, build_plugin, frame_of, pattern

from edge_asd.audio import look
from edge_asd.audio.condition import Conditioner
from edge_asd.audio.worker import Worker
from edge_asd.errors import UnavailableError

pytestmark = pytest.mark.xdist_group("microphone")
BLOCK = 4000


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_plugin(tmp_path_factory.mktemp("fakemic"))


@pytest.fixture
def microphones(plugin: Path, tmp_path: Path) -> FakeMicrophones:
    return FakeMicrophones(tmp_path, plugin)


def test_capture_at_the_models_rate_is_bit_exact(microphones: FakeMicrophones) -> None:
    seen = microphones.run("exact_16k")
    samples = np.load(microphones.folder / "16k.npy")
    np.testing.assert_array_equal(samples, pattern(0, 4 * BLOCK, bits=16))
    assert seen["kinds"] == ["opened"]
    assert seen["positions"] == [0, BLOCK, 2 * BLOCK, 3 * BLOCK]
    assert seen["gaps"] == [0, 0, 0, 0]
    assert seen["note"] == ""
    assert seen["stderr"] == ""
    assert np.all(np.diff(seen["captured_at"]) > 0)
    assert 0 < seen["now"] - seen["captured_at"][-1] < 60


def test_capture_of_one_channel_of_a_32_bit_stereo_device_is_bit_exact(microphones: FakeMicrophones) -> None:
    microphones.run("exact_48k")
    samples = np.load(microphones.folder / "48k.npy")
    np.testing.assert_array_equal(samples, pattern(0, 36000, bits=24, channel=1))


def test_a_48_khz_microphone_is_conditioned_like_a_file(microphones: FakeMicrophones) -> None:
    seen = microphones.run("resampled")
    samples = np.load(microphones.folder / "resampled.npy")
    wanted = Conditioner(48000, 16000).push(pattern(0, 4 * 12000, bits=24))
    np.testing.assert_array_equal(samples, wanted[: samples.size])
    assert "listening to channel 0" in seen["note"]
    assert "48000 Hz" in seen["details"][0]


def test_an_overrun_of_the_driver_is_counted_and_never_bridged(microphones: FakeMicrophones) -> None:
    seen = microphones.run("overrun")
    assert seen["kinds"] == ["opened", "overrun"]
    (gap,) = [g for g in seen["gaps"] if g]
    assert seen["lost"][1] == gap
    at = seen["gaps"].index(gap)
    assert seen["positions"][at] == seen["positions"][at - 1] + seen["sizes"][at - 1] + gap
    truly_lost = (frame_of(seen["first"][at]) - frame_of(seen["last"][at - 1]) - 1) % 65536
    assert truly_lost >= 8000
    assert abs(gap - truly_lost) < 1600, "the estimate is off by more than 0.1 s"
    assert_no_block_spans_a_gap(np.load(microphones.folder / "overrun.npy"), seen["sizes"])


def test_a_reader_that_is_too_slow_loses_samples_and_knows_how_many(microphones: FakeMicrophones) -> None:
    seen = microphones.run("slow_reader")
    assert "overrun" in seen["kinds"]
    for at in np.flatnonzero(seen["gaps"]):
        truly_lost = (frame_of(seen["first"][at]) - frame_of(seen["last"][at - 1]) - 1) % 65536
        assert seen["gaps"][at] == truly_lost > 0
    assert_no_block_spans_a_gap(np.load(microphones.folder / "slow.npy"), seen["sizes"])


def test_a_stalled_microphone_counts_as_gone_and_is_opened_again(microphones: FakeMicrophones) -> None:
    seen = microphones.run("stall")
    assert seen["kinds"][:2] == ["opened", "lost"]
    assert seen["kinds"][-1] == "back"
    assert "no sound" in seen["details"][1]
    assert_one_gap_of_time_away(seen)


def test_an_unplugged_microphone_is_waited_for_and_goes_on(microphones: FakeMicrophones) -> None:
    seen = microphones.run("unplug")
    assert seen["kinds"][:3] == ["opened", "lost", "waiting"]
    assert seen["kinds"][-1] == "back"
    assert "gone" in seen["details"][1]
    assert "mic48" in seen["details"][2], "the candidates are named while waiting"
    assert_one_gap_of_time_away(seen)


def test_with_wait_a_microphone_may_come_late(microphones: FakeMicrophones) -> None:
    seen = microphones.run("appears_late")
    assert seen["kinds"][0] == "waiting"
    assert seen["kinds"][-1] == "opened"
    assert seen["positions"] == [0]


def test_a_driver_that_hangs_cannot_keep_the_process(microphones: FakeMicrophones) -> None:
    seen = microphones.run("hang")
    assert len(seen["positions"]) == 2


def test_a_driver_that_fails_without_end_is_noticed_and_does_not_flood_the_journal(
    microphones: FakeMicrophones,
) -> None:
    seen = microphones.run("broken")
    assert seen["kinds"] == ["opened", "lost", "lost", "back"]
    assert "no sound" in seen["details"][1] and "does not answer" in seen["details"][2]
    assert_one_gap_of_time_away(seen)
    assert seen["stderr"] == ""


def test_a_driver_that_fails_on_opening_is_not_called_an_unanticipated_host(microphones: FakeMicrophones) -> None:
    seen = microphones.run("broken_from_the_start")
    assert seen["code"] == 69
    assert "its driver fails" in seen["message"] and "host error" not in seen["message"]


def test_names_that_cannot_be_used_end_with_69_and_the_candidates(microphones: FakeMicrophones) -> None:
    seen = microphones.run("names")
    assert {code for code, _ in seen["errors"].values()} == {69}
    said = {name: message for name, (_, message) in seen["errors"].items()}
    assert set(said) == {"nowhere", "mic", "0", "attic", "mic48", "mic16"}
    assert "'nowhere'" in said["nowhere"] and "mic16, mic48" in said["nowhere"]
    assert "fits 2 devices" in said["mic"]
    assert "boot to boot" in said["0"]
    assert "alias of 'gone'" in said["attic"]
    assert "channel 2 is not there, it has 2" in said["mic48"]
    assert "at 44100 Hz" in said["mic16"]
    assert seen["alias_gave"] == 1
    assert "spare" not in seen["listed_while_busy"]
    assert seen["found"] == {"mic16": [[16000], 1, ""], "mic48": [[48000], 2, ""], "spare": [[16000], 1, ""]}
    assert seen["stderr"] == "", "PortAudio's debug lines stay away from the user"


def test_a_busy_microphone_says_so(microphones: FakeMicrophones) -> None:
    seen = microphones.run("busy")
    assert "busy" in seen["problem"]
    assert seen["code"] == 69
    assert "mic16" in seen["message"]


def test_a_card_that_portaudio_hides_is_listed_with_the_reason(microphones: FakeMicrophones) -> None:
    seen = microphones.run("hidden_card")
    assert seen["name"] == "card:Webcam"
    assert "group audio" in seen["problem"]
    assert seen["problem"] in seen["error"]


def assert_no_block_spans_a_gap(samples: np.ndarray, sizes: list[int]) -> None:
    for block in np.split(samples, np.cumsum(sizes)[:-1]):
        first = frame_of(float(block[0]))
        np.testing.assert_array_equal(block, pattern(first, block.size, bits=16))


def assert_one_gap_of_time_away(seen: dict) -> None:
    (gap,) = [g for g in seen["gaps"] if g]
    at = seen["gaps"].index(gap)
    assert seen["lost"][-1] == gap
    assert seen["positions"][at] == seen["positions"][at - 1] + seen["sizes"][at - 1] + gap
    away_s = seen["captured_at"][at] - seen["captured_at"][at - 1] - seen["sizes"][at - 1] / 16000
    assert gap / 16000 == pytest.approx(away_s, abs=0.5)


def test_two_channels_of_one_device_are_heard_by_two_machines_bit_exact(microphones: FakeMicrophones) -> None:
    seen = microphones.run("shared_device")
    for channel in (0, 1):
        samples = np.load(microphones.folder / f"channel{channel}.npy")
        first = int(np.flatnonzero(pattern(0, 96000, bits=24, channel=channel) == samples[0])[0])
        np.testing.assert_array_equal(samples, pattern(first, samples.size, bits=24, channel=channel))
        assert seen[f"channel{channel}"]["kinds"] == ["opened"]


def test_a_microphone_that_comes_back_is_opened_beside_the_others(microphones: FakeMicrophones) -> None:
    seen = microphones.run("one_of_two_unplugged")
    kinds = seen["mic16"]["kinds"]
    assert kinds[:2] == ["opened", "lost"] and kinds[-1] == "back" and "waiting" in kinds
    assert seen["spare"]["kinds"] == ["opened"]
    assert not any(seen["spare"]["gaps"])


def test_a_microphone_that_was_never_listed_interrupts_the_others_once_and_says_so(
    microphones: FakeMicrophones,
) -> None:
    seen = microphones.run("one_of_two_appears_late")
    assert seen["mic16"]["kinds"][0] == "waiting" and seen["mic16"]["kinds"][-1] == "opened"
    assert seen["spare"]["kinds"] == ["opened", "lost", "back"]
    assert "was interrupted to read the list of devices again" in seen["spare"]["details"][1]
    assert sum(1 for gap in seen["spare"]["gaps"] if gap) == 1


def test_a_microphone_whose_card_has_another_number_is_found_beside_the_others(microphones: FakeMicrophones) -> None:
    seen = microphones.run("one_of_two_under_an_old_number")
    assert seen["mic16"]["kinds"] == ["opened"]
    assert seen["spare"]["kinds"] == ["opened", "lost", "back"]
    assert len(seen["mic16"]["gaps"]) == 8 and not any(seen["mic16"]["gaps"]), "closing the old stream hits no new one"


def test_a_microphone_in_the_place_of_another_is_not_opened_as_that(microphones: FakeMicrophones) -> None:
    seen = microphones.run("one_of_two_in_the_place_of_another")
    assert seen["mic16"]["kinds"] == ["opened"]
    assert seen["spare"]["kinds"] == ["opened", "lost", "back"]


@pytest.mark.parametrize(
    ("code", "printed", "said"),
    [
        (0, 'plugin loaded\n{"name": "mic16", "channels": 1, "rate_hz": 16000}\n', None),
        (0, "plugin loaded\n", "cannot be read: 'plugin loaded'"),
        (0, "", "cannot be read"),
        (69, "plugin loaded\nno input is called 'mic9'\n", "^no input is called 'mic9'$"),
        (-11, "", "the list of devices cannot be read$"),
    ],
)
def test_a_new_process_is_understood_whatever_the_driver_prints_in_it(
    monkeypatch: pytest.MonkeyPatch, code: int, printed: str, said: str | None
) -> None:
    monkeypatch.setattr(look.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], code, printed))
    wanted = look.Wanted("mic16", 16000, None, None, {})
    if said is None:
        assert look.look(wanted) == look.Found("mic16", 1, 16000)
    else:
        with pytest.raises(UnavailableError, match=said):
            look.look(wanted)


def test_the_drivers_thread_tells_how_long_its_call_has_taken() -> None:
    worker, release = Worker("a test"), threading.Event()
    assert worker.busy_s() == 0.0
    first, second = worker.submit(release.wait), worker.submit(lambda: None)
    while not worker.busy_s() > 0.0:
        pass
    release.set()
    second.done.wait()
    assert first.result() is True
    worker.submit(lambda: None).done.wait()
    worker.close()


def test_a_microphone_that_stays_away_does_not_touch_the_others(microphones: FakeMicrophones) -> None:
    seen = microphones.run("one_of_two_stays_away")
    assert seen["mic16"]["kinds"][:4] == ["opened", "lost", "waiting", "waiting"]
    first, second = sorted(seen["tried"].values(), key=len, reverse=True)
    assert (first, second) == ([48000, 44100, 16000], [16000]), "nothing may fail beside a running stream"
    assert seen["spare"]["kinds"] == ["opened"]
    assert not any(seen["spare"]["gaps"])
