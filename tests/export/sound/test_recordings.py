import dataclasses

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import DataError  # noqa: E402
from export.recipe import (  # noqa: E402
    Recipe,
    RecordingSettings,
    Subset,
)
from export.sound.recordings import clip_classes, machine_clips, remarks  # noqa: E402
from export.systems.units import units, unserved  # noqa: E402


def write(path, seconds=0.1, rate_hz=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(rate_hz * seconds), np.float32) + 0.1, rate_hz, subtype="PCM_16")


@pytest.fixture
def dataset(tmp_path):
    """Two machines, sections 00 and 03, two source and one target clip each, and test clips."""
    for machine in ("fan", "valve"):
        for section in ("00", "03"):
            for i, domain in enumerate(("source", "source", "target")):
                name = f"section_{section}_{domain}_train_normal_{i:04d}_vel_{i}.wav"
                write(tmp_path / "dcase2022" / machine / "train" / name)
            write(tmp_path / "dcase2022" / machine / "test" / f"section_{section}_source_test_anomaly_0000_vel_1.wav")
    return tmp_path / "dcase2022"


@pytest.mark.parametrize(
    ("settings", "classes", "n_clips"),
    [
        ({}, 12, 12),
        ({"domains": ("source",), "classes": ("machine",)}, 2, 8),
        ({"classes": ("machine", "section")}, 4, 12),
        ({"sections": "0", "classes": ("machine", "section", "domain")}, 4, 6),
        ({"sections": "0_3", "machines": ("fan",), "classes": ("section", "attributes")}, 6, 6),
    ],
)
def test_clips_are_chosen_and_sorted_as_the_recipe_says(dataset, settings, classes, n_clips):
    clips = clip_classes(dataset, RecordingSettings(**settings))
    assert (len(clips.names), len(clips.paths)) == (classes, n_clips)
    assert not any("test" in path.parts for path in clips.paths)
    assert clips.target.sum() == (0 if settings.get("domains") else n_clips // 3)
    for path, section in zip(clips.paths, clips.sections, strict=True):
        machine, number = clips.section_names[section].split("/")
        assert path.parent.parent.name == machine and path.name.startswith(f"section_{number}_")


def test_a_section_and_a_domain_that_are_not_there_are_named(dataset):
    with pytest.raises(DataError, match="fan section 01 has no training clips"):
        clip_classes(dataset, RecordingSettings(sections="dev"))
    with pytest.raises(DataError, match="no machine 'pump'; there are fan, valve"):
        clip_classes(dataset, RecordingSettings(machines=("pump",)))
    for file in (dataset / "fan" / "train").glob("section_00*"):
        file.unlink()
    with pytest.raises(DataError, match="fan section 00 has no normal training clips"):
        clip_classes(dataset)


def test_data_of_another_year_is_refused_with_the_reason(dataset):
    assert machine_clips(dataset, RecordingSettings(years=(2022,))).year == 2022
    with pytest.raises(DataError, match=r"2022.*folder's name.*made for 2020, 2021"):
        machine_clips(dataset, RecordingSettings(years=(2020, 2021)))


def test_of_mimii_no_clip_is_learnt_that_is_tested(tmp_path):
    for i in range(8):
        write(tmp_path / "fan" / "id_00" / "normal" / f"{i:08d}.wav")
        write(tmp_path / "fan" / "id_02" / "normal" / f"{i:08d}.wav")
    for i in range(3):
        write(tmp_path / "fan" / "id_00" / "abnormal" / f"{i:08d}.wav")
    found = machine_clips(tmp_path)
    assert {place: len(clips) for place, clips in found.by_section.items()} == {("fan", "00"): 5, ("fan", "02"): 8}


def test_what_differs_from_what_the_model_hears_is_said(dataset):
    contract = dataclasses.replace(Recipe("x").model_contract(), window_frames=16, step_frames=8, short_clip="reflect")
    clips = list(clip_classes(dataset).paths)
    write(clips[0], seconds=1.0, rate_hz=8000)
    write(clips[1], seconds=1.0, rate_hz=48000)
    said = "\n".join(remarks(clips, contract))
    assert "1 of 12 clips have 8000 Hz: resampled to 16000 Hz; nothing of them lies above 4000 Hz" in said
    assert "1 of 12 clips have 48000 Hz: resampled to 16000 Hz\n" in said
    assert "10 of 12 clips are shorter than a window of 0.54 s: played back and forth" in said
    assert "2 of 12 clips are not 0.1 s long (0.1 to 1 s)" in said
    write(clips[2], seconds=0.0)
    with pytest.raises(DataError, match="holds 0 samples at 16000 Hz"):
        remarks(clips, contract)
    write(clips[2], seconds=0.05)
    with pytest.raises(DataError, match=r"holds 800 samples at 16000 Hz; at least 0.1 s"):
        remarks(clips, contract)
    clips[2].write_bytes(b"no sound")
    with pytest.raises(DataError, match="not a readable clip"):
        remarks(clips, contract)


def networks(dataset, **settings):
    recipe = Recipe("x", recordings=RecordingSettings(classes=("machine", "section"), **settings))
    found = machine_clips(dataset)
    return units(recipe, found, dataset), found


def test_one_network_serves_all_or_each_machine_has_its_own(dataset):
    (one,), found = networks(dataset)
    assert one.name == "" and one.serves == tuple(found.by_section) and len(one.clips.names) == 4
    each, _ = networks(dataset, models="machine")
    assert [(unit.name, unit.clips.names, len(unit.serves)) for unit in each] == [
        ("fan", ("fan/00", "fan/03"), 2),
        ("valve", ("valve/00", "valve/03"), 2),
    ]


def test_a_machine_of_one_section_has_nothing_to_tell_apart(dataset):
    for clip in (dataset / "valve").rglob("section_03_*"):
        clip.unlink()
    with pytest.raises(DataError, match="all clips of valve are of one class, 'valve/00'"):
        networks(dataset, models="machine")


def test_subsets_train_on_their_sections_and_serve_theirs(dataset):
    subsets = (
        Subset("first", "0", epochs=3, serves={"*": "0"}),
        Subset("second", "3", steps=7, serves={"*": "3"}),
        Subset("both", "all", serves={"fan": "all"}),
    )
    made, found = networks(dataset, subsets=subsets)
    assert [unit.serves for unit in made] == [
        (("valve", "00"),),
        (("valve", "03"),),
        (("fan", "00"), ("fan", "03")),
    ]
    assert [(unit.recipe.train.epochs, unit.recipe.train.steps) for unit in made] == [(3, 1000), (0, 7), (0, 1000)]
    assert [len(unit.clips.paths) for unit in made] == [6, 6, 12]
    assert unserved(made, found) == [] and unserved(made[:2], found) == ["fan/00", "fan/03"]
    with pytest.raises(DataError, match="two networks serve fan/00"):
        networks(dataset, subsets=(*subsets[2:], Subset("again", "0", serves={"fan": "0"})))
