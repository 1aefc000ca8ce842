"""The parts of adaptation that make and spoil sound."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")
sf = pytest.importorskip("soundfile")

from edge_asd.contract import ModelContract  # noqa: E402
from edge_asd.errors import DataError, MissingInputError, UsageError  # noqa: E402
from edge_asd.frontend import log_mel, mel_edges_hz  # noqa: E402
from export.adapt.changes import CHANGE_NAMES, CHANGES, Cutter  # noqa: E402
from export.adapt.pretenders import KINDS_OF_PRETENDERS, STRENGTHS_DB, Pretenders  # noqa: E402
from export.adapt.sound import FOLDS, MachineSound, cut, machine_folders, read_machine  # noqa: E402

RATE_HZ = 16000


@pytest.fixture(scope="module")
def contract(tiny_recipe):
    return tiny_recipe.model_contract()


def tone(hz, seconds=6.0):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def changed(contract: ModelContract, name, samples, seed=1):
    return Cutter(contract).window(samples, CHANGE_NAMES.index(name), np.random.default_rng(seed))


def peak_hz(window, contract):
    return mel_edges_hz(contract.features)[1:-1][window.mean(axis=0).argmax()]


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_gives_a_window_that_its_seed_settles_and_that_is_not_the_plain_one(contract, steady_sound, name):
    samples = steady_sound(6.0, seed=3)
    window = changed(contract, name, samples)
    assert window.shape == (contract.window_frames, contract.features.n_mels) and window.dtype == np.float32
    assert np.isfinite(window).all() and window.min() >= contract.features.floor_db - 1e-3
    np.testing.assert_array_equal(window, changed(contract, name, samples))
    if name != "plain":
        assert not np.allclose(window, changed(contract, "plain", samples), atol=0.5)
    short = changed(contract, name, samples[: RATE_HZ // 2])
    assert short.shape == window.shape and np.isfinite(short).all()


def test_changes_do_what_they_are_called(contract, steady_sound):
    assert peak_hz(changed(contract, "faster", tone(2000)), contract) > 2080
    assert peak_hz(changed(contract, "slower", tone(2000)), contract) < 1920
    assert abs(peak_hz(changed(contract, "hurried", tone(2000)), contract) - 2000) < 80  # pitch stays
    rising = np.linspace(0.001, 0.3, 6 * RATE_HZ, dtype=np.float32) * steady_sound(6.0)
    assert np.diff(changed(contract, "plain", rising).mean(axis=1)[[0, -1]]) > 0
    assert np.diff(changed(contract, "reversed", rising).mean(axis=1)[[0, -1]]) < 0
    plain = changed(contract, "plain", steady_sound(6.0)).mean(axis=0)
    tilted = changed(contract, "brighter", steady_sound(6.0)).mean(axis=0) - plain
    assert tilted[-1] > 3 and tilted[0] < -3


@pytest.mark.parametrize("kind", KINDS_OF_PRETENDERS)
def test_pretenders_keep_the_clip_and_grow_with_their_strength(steady_sound, kind):
    clip, pretenders = steady_sound(3.0, seed=5), Pretenders(RATE_HZ, 1)
    assert kind not in CHANGES  # the guard's witnesses were never trained on
    made = [pretenders.spoilt(clip, kind, i) for i in range(len(STRENGTHS_DB))]
    np.testing.assert_array_equal(made[1], Pretenders(RATE_HZ, 1).spoilt(clip, kind, 1))
    assert all(own.shape == clip.shape and np.isfinite(own).all() for own in made)
    away = {strength: np.abs(own - clip).mean() for strength, own in zip(STRENGTHS_DB, made, strict=True)}
    order = [away[strength] for strength in sorted(away)]
    assert order[0] < order[len(order) // 2] < order[-1]


def test_other_machines_at_hand_are_what_is_mixed_in(steady_sound):
    clip, other = steady_sound(2.0, seed=5), tone(5000, 3.0)
    spoilt = Pretenders(RATE_HZ, 1).spoilt(clip, "other machine", 0, [other])
    spectrum = np.abs(np.fft.rfft(spoilt - clip))
    assert abs(np.fft.rfftfreq(clip.size, 1 / RATE_HZ)[spectrum.argmax()] - 5000) < 2


def test_folds_keep_neighbours_and_groups_together(steady_sound):
    samples = steady_sound(60.0)
    plain = MachineSound("fan", tuple(cut(samples, RATE_HZ, "a.wav")), RATE_HZ)
    assert plain.folds().tolist() == sorted(plain.folds().tolist()) and set(plain.folds()) == set(range(FOLDS))
    assert plain.seconds == pytest.approx(60.0) and len(plain.clips) == 12
    assert plain.clips[3].start_s == pytest.approx(15.0)
    grouped = [part for i in range(5) for part in cut(samples[: 12 * RATE_HZ], RATE_HZ, f"{i}.wav", group=f"day {i}")]
    sound = MachineSound("fan", tuple(grouped), RATE_HZ)
    by_group = {clip.group: fold for clip, fold in zip(sound.clips, sound.folds(), strict=True)}
    assert [by_group[clip.group] for clip in sound.clips] == sound.folds().tolist()
    assert set(by_group.values()) == set(range(FOLDS))


def write(path, samples, rate_hz=RATE_HZ, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, samples, rate_hz, **options)


def test_a_machine_is_read_whole_and_unusable_sound_is_refused(tmp_path, steady_sound):
    for i in range(2):
        write(tmp_path / "fan" / f"{i}.wav", steady_sound(65.0, seed=i))
    assert read_machine("fan", tmp_path / "fan", RATE_HZ).seconds == pytest.approx(130.0)
    for name, samples, options, words in (
        ("short", steady_sound(30.0), {}, "at least 120 s"),
        ("low", steady_sound(4.0)[::2], {"rate_hz": 8000}, "8000 Hz"),
        ("silent", np.zeros(4 * RATE_HZ, np.float32), {}, "silent"),
        ("broken", np.full(4 * RATE_HZ, np.nan, np.float32), {"subtype": "FLOAT"}, "finite"),
    ):
        write(tmp_path / name / "a.wav", samples, **options)
        with pytest.raises(DataError, match=words):
            read_machine(name, tmp_path / name, RATE_HZ)


def test_machines_are_subfolders_or_one_folder(tmp_path, steady_sound):
    with pytest.raises(MissingInputError, match="no such directory"):
        machine_folders(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match="no audio"):
        machine_folders(tmp_path)
    for name in ("fan", "pump"):
        write(tmp_path / name / "day" / "a.wav", steady_sound(1.0))
    assert machine_folders(tmp_path) == {"fan": tmp_path / "fan", "pump": tmp_path / "pump"}
    assert list(machine_folders(tmp_path / "fan" / "day")) == [""]
    write(tmp_path / "loose.wav", steady_sound(1.0))
    with pytest.raises(UsageError, match=r"loose\.wav"):
        machine_folders(tmp_path)


def test_frames_of_a_changed_window_are_the_devices_own(contract, steady_sound):
    samples = steady_sound(6.0, seed=9)
    window = changed(contract, "plain", samples)
    start = int(np.random.default_rng(1).integers(samples.size - (63 * 512 + 1024) + 1))
    frames = log_mel(samples[start:], contract.features)[1:]  # frame 0 is half padding
    np.testing.assert_allclose(window, frames[: contract.window_frames], atol=1e-3)


def test_of_several_channels_one_is_heard(tmp_path, steady_sound):
    near, far = steady_sound(130.0, seed=1), 0.1 * steady_sound(130.0, seed=2)
    sf.write(tmp_path / "both.wav", np.stack((near, far), axis=1), RATE_HZ, subtype="FLOAT")
    said: list[str] = []
    level = {}
    for channel in (None, 1):
        sound = read_machine("fan", tmp_path, RATE_HZ, channel=channel, on_note=said.append)
        level[channel] = np.std(np.concatenate([clip.samples for clip in sound.clips]))
    assert level[1] < 0.2 * level[None]
    assert len(said) == 1 and "--channel" in said[0]
