"""Names of microphones: stable over reboots, never a number, ambiguous ones answered with the candidates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_asd.audio.capture import SILENT_LOSS_S, LossMeter, candidate_rates_hz
from edge_asd.audio.cards import capture_cards, holder
from edge_asd.audio.devices import InputDevice, open_channels, resolve
from edge_asd.errors import UnavailableError

RATE_HZ = 16000


def device(name: str, stable_name: str = "", **settings: object) -> InputDevice:
    settings = {"index": 0, "channels": 1, "default_rate_hz": 48000, **settings}
    return InputDevice(name=name, stable_name=stable_name or name, **settings)  # type: ignore[arg-type]


USB = device("USB PnP Sound Device: Audio (hw:1,0)", "usb:0d8c:0014:A1", hardware=(1, 0))
CAMERA = device("HD Webcam: USB Audio (hw:2,0)", "usb-port:1-1.3", hardware=(2, 0))
DEFAULT = device("default", channels=128, is_default=True)
ALL = [USB, CAMERA, DEFAULT]


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("usb:0d8c:0014:A1", USB),
        ("HD Webcam: USB Audio (hw:2,0)", CAMERA),
        ("webcam", CAMERA),
        ("pnp sound", USB),
        ("DEFAULT", DEFAULT),
        ("mic0", CAMERA),
        (None, DEFAULT),
    ],
)
def test_a_name_means_one_device(name: str | None, wanted: InputDevice) -> None:
    assert resolve(name, ALL, {"mic0": "usb-port:1-1.3"}) is wanted


def test_an_exact_name_wins_over_others_that_contain_it() -> None:
    assert resolve("mic", [device("mic"), device("mic two")]).name == "mic"


def test_a_card_that_a_rule_named_is_found_by_that_name_unless_alsa_has_one() -> None:
    named = device("USB PnP Sound Device: Audio (hw:1,0)", "usb:0d8c:0014:A1", card_id="mic0")
    assert resolve("mic0", [named, CAMERA]) is named
    shared = device("mic0")
    assert resolve("mic0", [named, shared]) is shared, "such as a dsnoop of it in asound.conf"


@pytest.mark.parametrize(
    "name, word",
    [("usb", "fits 2 devices"), ("attic", "no input is called"), ("", "no input is called"), ("1", "boot to boot")],
)
def test_a_name_that_means_none_or_several_is_answered_with_candidates(name: str, word: str) -> None:
    with pytest.raises(UnavailableError, match=word) as refused:
        resolve(name, ALL)
    assert "usb:0d8c:0014:A1 (USB PnP Sound Device: Audio (hw:1,0))" in str(refused.value)
    assert refused.value.exit_code == 69


def test_without_a_name_there_must_be_a_default_or_only_one() -> None:
    assert resolve(None, [CAMERA]) is CAMERA
    with pytest.raises(UnavailableError, match="no default input"):
        resolve(None, [USB, CAMERA])
    with pytest.raises(UnavailableError, match="no input device.*arecord -l"):  # noqa: RUF043
        resolve(None, [])


def test_hardware_is_opened_at_the_models_rate_and_made_up_names_at_hardwares() -> None:
    assert candidate_rates_hz(USB, RATE_HZ)[0] == RATE_HZ
    assert candidate_rates_hz(DEFAULT, RATE_HZ)[:3] == [48000, 44100, RATE_HZ]
    assert len(set(candidate_rates_hz(USB, RATE_HZ))) == len(candidate_rates_hz(USB, RATE_HZ))


def test_all_channels_are_opened_but_not_a_sound_servers_128() -> None:
    assert open_channels(device("i2s", channels=2), None) == 2
    assert open_channels(DEFAULT, None) == 2
    assert open_channels(DEFAULT, 5) == 6


def card_tree(root: Path) -> Path:
    """A machine with a built-in card, two USB microphones of one make with serial numbers, and one without."""
    asound, usb = root / "proc/asound", root / "sys/devices/usb1"
    asound.mkdir(parents=True)
    lines = ["00-00: ALC892 Analog : ALC892 Analog : playback 1 : capture 1", "00-03: HDMI 0 : HDMI 0 : playback 1"]
    ids = ["PCH", "Mic", "Mic_1", "Device", "Clone", "Clone_1"]
    serials = {1: "A1", 2: "B 2", 3: "", 4: "123", 5: "123"}
    for card, serial in serials.items():
        lines.append(f"{card:02}-00: USB Audio : USB Audio : capture 1")
        port = usb / f"1-1.{card}"
        (port / "sound" / f"card{card}").mkdir(parents=True)
        for name, text in (("idVendor", "0d8c"), ("idProduct", "0014"), ("serial", serial)):
            (port / name).write_text(text + "\n")
        link = root / f"sys/class/sound/card{card}"
        link.mkdir(parents=True)
        (link / "device").symlink_to(port / "sound")
    lines.append("01-01: USB Audio : USB Audio #1 : capture 1")
    for card, card_id in enumerate(ids):
        (asound / f"card{card}").mkdir()
        (asound / f"card{card}/id").write_text(card_id + "\n")
    (asound / "pcm").write_text("\n".join(lines) + "\n")
    return root


def test_cards_have_names_that_survive_a_reboot(tmp_path: Path) -> None:
    cards = capture_cards(card_tree(tmp_path))
    assert [c.card_id for c in cards] == ["PCH", "Mic", "Mic,1", "Mic_1", "Device", "Clone", "Clone_1"]
    names = {(c.card, c.device): c.stable_name for c in cards}
    assert names == {
        (0, 0): "card:PCH",
        (1, 0): "usb:0d8c:0014:A1",
        (1, 1): "usb:0d8c:0014:A1,1",
        (2, 0): "usb:0d8c:0014:B_2",
        (3, 0): "usb-port:1-1.3",
        (4, 0): "usb-port:1-1.4",
        (5, 0): "usb-port:1-1.5",
    }


def test_a_machine_without_alsa_has_no_cards(tmp_path: Path) -> None:
    assert capture_cards(tmp_path) == []


def test_the_holder_of_a_busy_card_is_named(tmp_path: Path) -> None:
    fds = tmp_path / "proc/321/fd"
    fds.mkdir(parents=True)
    (tmp_path / "proc/321/comm").write_text("arecord\n")
    (fds / "0").symlink_to("/dev/null")
    (fds / "5").symlink_to("/dev/snd/pcmC1D0c")
    assert holder(1, 0, tmp_path) == "arecord (pid 321)"
    assert holder(2, 0, tmp_path) == ""


def test_a_holder_that_a_service_may_not_see_is_named_by_its_number(tmp_path: Path) -> None:
    status = tmp_path / "proc/asound/card1/pcm0c/sub0/status"
    status.parent.mkdir(parents=True)
    status.write_text("state: RUNNING\nowner_pid   : 322\ntrigger_time: 12.3\n")
    assert holder(1, 0, tmp_path) == "a process of another user (pid 322)"
    (tmp_path / "proc/322").mkdir()
    (tmp_path / "proc/322/status").write_text("Name:\tcapture\nTgid:\t321\nPid:\t322\n")
    (tmp_path / "proc/321").mkdir()
    (tmp_path / "proc/321/comm").write_text("arecord\n")
    assert holder(1, 0, tmp_path) == "arecord (pid 321)"
    status.write_text("closed\n")
    assert holder(1, 0, tmp_path) == ""


BLOCK = 4000
BLOCK_S = BLOCK / RATE_HZ


def losses(times: list[tuple[float, float, bool]]) -> list[int]:
    meter = LossMeter(RATE_HZ)
    return [meter.lost(driver_s, arrival_s, BLOCK, flagged) for driver_s, arrival_s, flagged in times]


def test_sound_missing_from_both_clocks_is_lost() -> None:
    assert losses([(0, 10, False), (BLOCK_S + 0.5, 10 + BLOCK_S + 0.5, False), (2 * BLOCK_S + 0.5, 11.0, False)]) == [
        0,
        8000,
        0,
    ]


def test_a_clock_that_was_set_or_a_late_callback_is_no_loss() -> None:
    assert losses([(0, 10, False), (BLOCK_S + 3600, 10 + BLOCK_S, False)]) == [0, 0]
    assert losses([(0, 10, False), (BLOCK_S, 10 + BLOCK_S + 2.0, False), (2 * BLOCK_S, 10 + 2 * BLOCK_S, False)]) == [
        0,
        0,
        0,
    ]
    assert losses([(0, 10, False), (BLOCK_S + SILENT_LOSS_S / 2, 10 + BLOCK_S + SILENT_LOSS_S / 2, False)]) == [0, 0]


def test_the_drivers_flag_counts_even_when_no_clock_shows_it() -> None:
    assert losses([(0, 10, False), (BLOCK_S, 10 + BLOCK_S, True)]) == [0, 1]
    assert losses([(0, 10, False), (BLOCK_S + 0.05, 10.05 + BLOCK_S, True)]) == [0, 800]


def test_without_portaudio_the_remedy_is_named() -> None:
    program = (
        "import ctypes.util; ctypes.util.find_library = lambda name: None\n"
        "from edge_asd.audio import portaudio\n"
        "try: portaudio.load()\n"
        "except portaudio.UnavailableError as error: print(error.exit_code, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == (
        "69 no microphone access: the PortAudio library is missing; run: sudo apt install libportaudio2\n"
    )


def test_nothing_heavy_is_imported_before_a_device_is_opened() -> None:
    program = (
        "import sys\n"
        "import edge_asd.audio.microphone, edge_asd.audio.files, edge_asd.audio.stdin, edge_asd.audio.generator\n"
        "print([m for m in ('sounddevice', 'soundfile', 'soxr', 'cffi', 'scipy') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
