import dataclasses
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the export extra is not installed")

from edge_asd.errors import DataError, MissingInputError, UnavailableError
from export import default_model
from export.generated import channel
from export.generated.generate import code_alone, data_key, decoded, encoded, generate, machine_windows, states_of
from export.recipe import DataSettings
from export.teacher.yamnet import LOG_OFFSET, TEACHER_SIZE, Teacher, without_bands, yamnet_log_mel

TEACHER = os.environ.get("YAMNET_INT8", "")  # no EDGE_ASD_ name: those are settings, and unknown ones are refused
needs_teacher = pytest.mark.skipif(not TEACHER, reason="YAMNET_INT8 does not name the int8 YAMNet file")


def sine(hz, n=33280, level=0.1):
    return (level * np.sin(2 * np.pi * hz * np.arange(n) / 16000)).astype(np.float32)


def test_codes_keep_decibels_to_a_quarter():
    db = np.linspace(-100, 27, 1000, dtype=np.float32)
    assert np.abs(decoded(encoded(db)) - db).max() <= 0.2501
    assert encoded(np.array([-300.0, 300.0])).tolist() == [0, 255]


def test_states_number_machines_and_faults(tiny_recipe):
    states = states_of(tiny_recipe)
    assert states.shape == (8, 4)
    assert states[0].tolist() == [0, 0, 1, 1] == states[1].tolist()
    assert states[7].tolist() == [6, 6, 7, 7]


def test_data_key_follows_data_settings_only(tiny_recipe, tmp_path):
    teacher = tmp_path / "t.tflite"
    teacher.write_bytes(b"one")
    key = data_key(tiny_recipe, teacher)
    steps = dataclasses.replace(tiny_recipe.train, steps=99)
    assert key == data_key(dataclasses.replace(tiny_recipe, train=steps), teacher)
    assert key != data_key(dataclasses.replace(tiny_recipe, data=DataSettings(machines=5)), teacher)
    teacher.write_bytes(b"two")
    assert key != data_key(tiny_recipe, teacher)


def test_a_reworded_generator_makes_no_sound_anew_a_changed_one_does():
    source = '"""Makes sound."""\nLEVEL = 3  # dB\n"""Of it."""\n\ndef made():\n    """Sound."""\n    return LEVEL\n'
    reworded = '"""Sound."""\nLEVEL = 3\n\n\ndef made():\n    # As loud as that.\n    return LEVEL\n'
    assert code_alone(source) == code_alone(reworded)
    assert code_alone(source) != code_alone(source.replace("= 3", "= 4"))
    assert code_alone(source) != code_alone(source.replace("return LEVEL", 'return "LEVEL"'))


class Listening:
    """Keeps the start of what it is given to hear, in place of the teacher, whose file is not part of this project."""

    def features(self, samples):
        return np.resize(samples, TEACHER_SIZE)


def test_the_teacher_hears_the_same_run_alone(tiny_recipe):
    hears = ("clip", "room", "machine")
    data = DataSettings(scenes_per_machine=2, windows_per_clip=2, neighbour_probability=0.0, noise_probability=0.0)

    def heard(hearings, machine_index=0):
        recipe = dataclasses.replace(tiny_recipe, data=dataclasses.replace(data, teacher_hears=hearings))
        return machine_windows(recipe, machine_index, Listening())

    (windows, sounds), (plain, clips) = heard(hears), heard(("clip",))
    assert np.array_equal(windows, plain)
    assert sounds.shape == (2, 4, 3, TEACHER_SIZE) and np.array_equal(sounds[:, :, :1], clips)
    clip, room, machine = sounds.astype(np.float64).reshape(-1, 3, TEACHER_SIZE).transpose(1, 0, 2)

    def likeness(some, others):
        spectra = (np.abs(np.fft.rfft(x, axis=1)) for x in (some, others))
        one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in spectra)
        return one @ other.T

    # Every window of the clip is most like the machine's own sound of the same moment; nothing is heard twice.
    assert np.diag(likeness(clip, room)).mean() > likeness(clip, room).mean()
    assert not np.allclose(room, machine, atol=1e-3) and not np.allclose(room, clip, atol=1e-3)
    # Healthy windows of one machine by itself differ by the run alone, whatever the scene.
    assert likeness(machine[[0, 1]], machine[[4, 5]]).min() > likeness(clip[[0, 1]], clip[[4, 5]]).min()


def test_yamnet_features_are_the_natural_log_of_mel_magnitudes():
    spectra = yamnet_log_mel(sine(1000.0))
    assert spectra.shape == (206, 64)
    assert yamnet_log_mel(np.zeros(33280, np.float32)) == pytest.approx(np.log(LOG_OFFSET))
    band_hz = 700 * (10 ** (np.linspace(*(2595 * np.log10(1 + np.array([125, 7500]) / 700)), 66)[1:-1] / 2595) - 1)
    assert abs(band_hz[spectra.mean(axis=0).argmax()] - 1000) < 60
    louder = yamnet_log_mel(sine(1000.0, level=0.2))
    assert (louder - spectra).max() == pytest.approx(np.log(2), abs=1e-3)


def test_bands_are_averaged_channel_by_channel():
    features = np.arange(2 * TEACHER_SIZE, dtype=np.float32).reshape(2, TEACHER_SIZE)
    averaged = without_bands(features)
    assert averaged.shape == (2, 256)
    assert averaged[1, 3] == pytest.approx(np.mean([features[1, 3 + 256 * band] for band in range(4)]))


def test_mixing_puts_the_other_so_far_below():
    signal, other = sine(500.0), np.random.default_rng(0).normal(0, 3, 33280).astype(np.float32)
    added = channel.mixed(signal, other, 12.0) - signal
    assert 20 * np.log10(channel.rms(signal) / channel.rms(added)) == pytest.approx(12.0, abs=0.01)


def test_the_equaliser_tilts_by_what_it_was_given():
    rng = np.random.default_rng(4)
    low, high = sine(500.0), sine(2000.0)
    ratios = []
    for _ in range(20):
        state = rng.bit_generator.state
        a = channel.equalised(low, 16000, 3.0, rng)
        rng.bit_generator.state = state
        b = channel.equalised(high, 16000, 3.0, rng)
        ratios.append(20 * np.log10(channel.rms(b) / channel.rms(a)) / 2)
    assert max(map(abs, ratios)) <= 3.01
    assert max(ratios) - min(ratios) > 2.0


def test_a_recording_has_the_floor_of_sixteen_bits():
    taken = channel.recorded(sine(500.0), np.random.default_rng(0))
    steps = taken * channel.FULL_SCALE
    assert np.array_equal(steps, np.round(steps)) and np.abs(taken).max() <= 1.0


def test_a_missing_or_wrong_teacher_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="absent"):
        Teacher(tmp_path / "absent.tflite")
    (tmp_path / "other.tflite").write_bytes(b"not a model at all" * 10)
    with pytest.raises(DataError, match="not a TensorFlow Lite model"):
        Teacher(tmp_path / "other.tflite")


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"--recipe": "absent"}, 66), ({"--teacher": "absent.tflite"}, 66), ({"--processes": "0"}, 78)],
)
def test_the_command_ends_with_one_line_and_its_exit_code(changes, code, tmp_path, capsys):
    arguments = {"--teacher": "t.tflite", "--work": str(tmp_path / "w"), "--out": str(tmp_path / "o"), **changes}
    assert default_model.main([part for pair in arguments.items() for part in pair]) == code
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert not (tmp_path / "o").exists()


@needs_teacher
def test_generated_data_do_not_depend_on_the_processes_and_are_kept(tiny_recipe, tmp_path):
    small = dataclasses.replace(
        tiny_recipe, data=DataSettings(machines=2, scenes_per_machine=1, windows_per_clip=1, neighbour_probability=1.0)
    )
    one = generate(small, TEACHER, tmp_path / "a", processes=1)
    two = generate(small, TEACHER, tmp_path / "b", processes=2)
    assert np.array_equal(one.windows, two.windows) and np.array_equal(one.teacher, two.teacher)
    assert one.windows.shape == (2, 2, 64, 128) and one.teacher.shape == (2, 2, 1, 1024)
    lines: list[str] = []
    generate(small, TEACHER, tmp_path / "a", progress=lines.append)
    assert lines == []
    shard = next(Path(tmp_path / "a").glob("*.npz"))
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged"):
        generate(small, TEACHER, tmp_path / "a")


@needs_teacher
def test_the_teacher_tells_sounds_apart():
    teacher = Teacher(TEACHER)
    low, high, again = (teacher.features(x) for x in (sine(300.0), sine(3000.0), sine(300.0)))
    assert low.shape == (1024,) and np.array_equal(low, again)
    assert np.abs(low - high).max() > 0.1
    with pytest.raises(DataError, match="too short"):
        teacher.features(np.zeros(15000, np.float32))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX only")
def test_a_killed_process_ends_the_run_with_a_remedy(tiny_recipe, tmp_path):
    recipe = dataclasses.replace(tiny_recipe, data=dataclasses.replace(tiny_recipe.data, machines=2 * 16))
    over = threading.Event()

    def kill_the_first():
        while not over.wait(0.02):
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
                return

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    try:
        with pytest.raises(
            UnavailableError, match=r"one of 2 processes .* memory; run it again with fewer --processes"
        ):
            generate(recipe, None, tmp_path, processes=2)
    finally:
        over.set()
        killer.join()
    assert not multiprocessing.active_children()
