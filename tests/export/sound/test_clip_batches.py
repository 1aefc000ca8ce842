import dataclasses

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError, DataError, MissingInputError  # noqa: E402
from edge_asd.frontend import LogMel  # noqa: E402
from export.recipe import AugmentSettings  # noqa: E402
from export.sound.clip_batches import ClipBatches, one_window  # noqa: E402
from export.sound.recordings import clip_classes  # noqa: E402
from export.training.train import train  # noqa: E402

WINDOW_SAMPLES = 63 * 512 + 1024


def write(path, seconds=3.0, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal(int(16000 * seconds))
    soundfile.write(path, samples, 16000, subtype="PCM_16")


@pytest.fixture
def recordings(tmp_path):
    for i, name in enumerate(("fan", "pump", "mill/slow")):
        for j in range(4):
            write(tmp_path / "data" / name / f"{j}.wav", seconds=3.0 if j else 0.8, seed=10 * i + j)
    return tmp_path / "data"


@pytest.fixture
def recipe(tiny_recipe):
    settings = dataclasses.replace(
        tiny_recipe.train, distil_weight=0.0, relation_weight=0.0, identity_weight=1.0, windows_per_group=2
    )
    return dataclasses.replace(tiny_recipe, train=settings)


def test_each_subfolder_is_a_class(recordings):
    clips = clip_classes(recordings)
    assert clips.names == ("fan", "mill/slow", "pump")
    assert [clips.names[label] for label in clips.labels] == [
        str(p.parent.relative_to(recordings)) for p in clips.paths
    ]


def test_of_a_dcase_dataset_only_normal_training_clips_are_taken(tmp_path):
    for name in (
        "fan/train/section_00_source_train_normal_0000_m-n_W.wav",
        "fan/train/section_00_source_train_normal_0001_m-n_X.wav",
        "fan/train/section_01_target_train_normal_0000_m-n_W.wav",
        "fan/test/section_00_source_test_normal_0000_m-n_W.wav",
        "fan/test/section_00_source_test_anomaly_0000_m-n_W.wav",
        "gearbox/train/section_00_source_train_normal_0000.wav",
        "stray.wav",
    ):
        write(tmp_path / name, seconds=0.2)
    clips = clip_classes(tmp_path)
    assert clips.names == (
        "fan/00/source/m-n_W", "fan/00/source/m-n_X", "fan/01/target/m-n_W", "gearbox/00/source",
    )  # fmt: skip
    assert len(clips.paths) == 4


def test_what_cannot_be_learnt_from_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="absent"):
        clip_classes(tmp_path / "absent")
    write(tmp_path / "one" / "a.wav")
    with pytest.raises(DataError, match="one class"):
        clip_classes(tmp_path / "one")


def test_a_batch_is_what_a_device_would_feed_the_network(recordings, recipe):
    batches = ClipBatches(recipe, clip_classes(recordings))
    batch = batches[0]
    assert batch.inputs[0].shape == (8, 1, 64, 128) and batch.partners is None
    again = ClipBatches(recipe, clip_classes(recordings))[0]
    assert torch.equal(batch.inputs[0], again.inputs[0]) and torch.equal(batch.labels, again.labels)
    assert not torch.equal(batch.inputs[0], batches[1].inputs[0])


def test_a_window_is_the_live_streams_own(recordings, recipe):
    samples = soundfile.read(recordings / "fan" / "1.wav", dtype="float32")[0]
    batches = ClipBatches(recipe, clip_classes(recordings))
    window = batches._random_windows(samples, 1, np.random.default_rng(5))
    stream = LogMel(recipe.features, padded=False)
    starts = range(samples.size - WINDOW_SAMPLES - 1)
    rng = np.random.default_rng(5)
    rng.integers(-1, 2)  # the speed
    start = int(rng.integers(len(starts)))
    assert np.array_equal(window.frames[0], stream.push(samples[start : start + WINDOW_SAMPLES]))


def test_everything_is_augmented_but_validation(recordings, recipe):
    settings = dataclasses.replace(recipe.train, validation_share=0.25)
    plain = dataclasses.replace(recipe, train=settings)
    rich = dataclasses.replace(
        plain,
        augment=AugmentSettings(
            mixup_probability=0.5, speed_spread=0.1, room_probability=0.5, level_db=(-12, 6), time_masks=1, mel_masks=1
        ),
    )
    clips = clip_classes(recordings)
    one, other = ClipBatches(plain, clips), ClipBatches(rich, clips)
    assert torch.isfinite(other[0].inputs[0]).all() and not torch.equal(one[0].inputs[0], other[0].inputs[0])
    kept, same = list(one.validation()), list(other.validation())
    assert sum(len(batch.labels) for batch in kept) == 3 * 2  # a clip of each class, two windows each
    assert all(torch.equal(a.inputs[0], b.inputs[0]) for a, b in zip(kept, same, strict=True))


def test_recordings_train_end_to_end(recordings, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, validation_share=0.25))
    _, summary = train(recipe, ClipBatches(recipe, clip_classes(recordings)), tmp_path / "run", key="k")
    assert summary["data"].startswith("12 recordings of 3 classes, 3 kept")


def test_a_teacher_does_not_listen_to_recordings(recordings, tiny_recipe):
    with pytest.raises(ConfigError, match="follows a teacher"):
        ClipBatches(tiny_recipe, clip_classes(recordings))


def test_batches_larger_than_the_data_are_refused(recordings, recipe):
    greedy = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, groups_per_batch=13))
    with pytest.raises(ConfigError, match="13 clips need more than 12"):
        ClipBatches(greedy, clip_classes(recordings))


@pytest.mark.parametrize("missing", [1, 600, 5000])
def test_a_sound_shorter_than_a_window_has_a_waveform_as_long_as_its_frames(tiny_recipe, missing):
    """A little shorter, it has as many centred frames as a window and yet too few samples of its own."""
    contract = dataclasses.replace(tiny_recipe.model_contract(), inputs=("waveform",))
    sound = np.random.default_rng(0).normal(0, 0.1, contract.window_samples - missing).astype(np.float32)
    window = one_window(sound, contract, LogMel(contract.features, padded=False))
    assert window.frames.shape == (1, contract.window_frames, contract.features.n_mels)
    assert window.samples.shape == (1, contract.window_samples)
    half = contract.features.n_fft // 2
    np.testing.assert_array_equal(window.samples[0, half : half + 1000], sound[:1000])
