"""Every year's folders read back as what they are, and every way they can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.errors import DataError, MissingInputError
from edge_asd.evaluation.clip_names import parse_attributes, parse_clip
from edge_asd.evaluation.dataset import read_dataset
from edge_asd.evaluation.official import MIMII

SAMPLES = Path("../shared/data/dcase_samples")


@pytest.mark.parametrize(
    ("name", "naming", "machine", "section", "role", "label", "domain", "attributes"),
    [
        ("fan/train/normal_id_00_00000000.wav", "id", "fan", "00", "train", "normal", "", {}),
        ("ToyCar/test/anomaly_id_03_00000012.wav", "id", "ToyCar", "03", "test", "anomaly", "", {}),
        ("fan/test/id_01_00000000.wav", "id", "fan", "01", "test", "", "", {}),
        ("fan/train/section_02_source_train_normal_0007_strength_1_ambient.wav", "section", "fan", "02", "train",
         "normal", "source", {"strength": "1", "ambient": ""}),
        ("fan/target_test/section_02_target_test_anomaly_0007.wav", "section", "fan", "02", "test", "anomaly",
         "target", {}),
        ("fan/source_test/section_03_0007.wav", "section", "fan", "03", "test", "", "source", {}),
        ("slider/test/section_00_source_test_normal_0027_vel_730_ac_0.11.wav", "section", "slider", "00", "test",
         "normal", "source", {"vel": "730", "ac": "0.11"}),
        ("fan/test/section_03_test_0000.wav", "section", "fan", "03", "test", "", "", {}),
        ("AutoTrash/train/section_00_source_train_normal_0000_noAttribute.wav", "section", "AutoTrash", "00", "train",
         "normal", "source", {}),
        ("6_dB_fan/id_04/abnormal/00000011.wav", "mimii", "6_dB_fan", "04", "", "anomaly", "", {}),
    ],
)  # fmt: skip
def test_names_tell_what_they_say(name, naming, machine, section, role, label, domain, attributes) -> None:
    clip = parse_clip(f"/data/{name}")
    assert clip is not None
    assert (clip.naming, clip.machine, clip.section) == (naming, machine, section)
    assert (clip.role, clip.label, clip.domain, dict(clip.attributes)) == (role, label, domain, attributes)


@pytest.mark.parametrize("name", ["fan/train/a.wav", "fan/normal/00000000.wav", "section_00_source_train_normal_1.wav"])
def test_other_names_tell_nothing(name: str) -> None:
    assert parse_clip(f"/data/{name}") is None


def test_attributes_may_hold_signs_of_their_own() -> None:
    assert parse_attributes("m-n_W") == (("m-n", "W"),)
    assert dict(parse_attributes("car_A1_spd_28V_mic_1")) == {"car": "A1", "spd": "28V", "mic": "1"}


@pytest.mark.parametrize("year", [MIMII, *range(2020, 2027)])
def test_every_year_is_known_by_its_looks(make_dataset, tmp_path: Path, year: int) -> None:
    dataset = read_dataset(make_dataset(tmp_path / "some_folder", year))
    assert dataset.year == year, dataset.reason
    sections = ["00", "01"] if year in (2021, 2022) else ["00"]
    assert [case.name for case in dataset.cases] == [f"{m}_{s}" for m in ("fan", "pump") for s in sections]
    fan = dataset.cases[0]
    assert (fan.machine, fan.section) == ("fan", "00")
    n_enrol, n_normal, n_anomaly = {MIMII: (4, 3, 3), 2020: (4, 3, 3)}.get(year, (5, 4, 4))
    assert len(fan.enrol) == n_enrol and not any(clip.anomalous for clip in fan.enrol)
    assert [clip.anomalous for clip in fan.test].count(False) == n_normal
    assert [clip.anomalous for clip in fan.test].count(True) == n_anomaly
    domains = {clip.domain for clip in fan.test}
    assert domains == ({""} if year < 2021 else {"source", "target"})
    if year in (2022, 2023, 2025, 2026):
        assert dict(fan.test[0].attributes) == {"vel": "9", "loc": "A"}
    assert bool(dataset.notes) == (year == 2025)


def test_the_folder_names_the_year_before_its_looks_do(make_dataset, tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "dcase2024t2" / "dev_data", 2023)
    assert read_dataset(root).year == 2024
    assert read_dataset(root, 2026).year == 2026
    assert read_dataset(root / "fan").cases[0].name == "fan_00"
    # A year whose clips are named otherwise is no hint.
    misnamed = make_dataset(tmp_path / "copy_of_2020_disk" / "x", 2022)
    assert read_dataset(misnamed).year == 2022


def test_mimii_splits_are_drawn_once_and_hold_no_clip_twice(make_dataset, tmp_path: Path) -> None:
    root = tmp_path / "mimii"
    for noise in ("0_dB", "6_dB"):
        make_dataset(root / noise, MIMII)
    dataset = read_dataset(root)
    assert {"0_dB-fan_00", "6_dB-fan_00"} <= {case.name for case in dataset.cases}
    for case, again in zip(dataset.cases, read_dataset(root).cases, strict=True):
        assert case == again
        assert not {clip.file for clip in case.enrol} & {clip.file for clip in case.test}


def test_attribute_tables_win_over_names(make_dataset, tmp_path: Path) -> None:
    root = make_dataset(tmp_path, 2023)
    name = "section_00_source_test_normal_0000_vel_9_loc_A"
    (root / "fan" / "attributes_00.csv").write_text(
        f"file_name,d1p,d1v,d2p,d2v\nfan/test/{name}.wav,vel,9 m/s,load,full\n", encoding="utf-8"
    )
    fan = read_dataset(root).cases[0]
    (clip,) = (clip for clip in fan.test if name in clip.file)
    assert dict(clip.attributes) == {"vel": "9 m/s", "load": "full"}


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, np.zeros(8), 16000)
    return root


TRAIN, TEST = "fan/train/section_00_source_train_normal_0000.wav", "fan/test/section_00_source_test_normal_0000.wav"


@pytest.mark.parametrize(
    ("names", "year", "error", "words"),
    [
        ((), None, MissingInputError, "no clip in this directory"),
        (("fan/a.wav", "b.wav"), None, DataError, "no clip is named as in any DCASE Task 2 year or MIMII"),
        ((TRAIN, "fan/train/normal_id_00_00000000.wav"), None, DataError, "more than one year"),
        ((TRAIN, TEST), 2020, DataError, "not named as in DCASE 2020"),
        ((TRAIN, TEST), MIMII, DataError, "not named as in MIMII"),
        ((TEST,), None, DataError, "fan section 00 has no training clips"),
        ((TRAIN,), None, DataError, "no labelled test clip"),
        ((TRAIN, "fan/test/section_00_0000.wav"), None, DataError, "no labelled test clip"),
        ((TRAIN, TEST, f"copy/{TEST}"), None, DataError, "two clips of one name"),
        ((TEST, TRAIN, "fan/train/section_00_source_train_anomaly_0000.wav"), None, DataError, "an anomaly among"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path, names, year, error, words) -> None:
    with pytest.raises(error, match=words):
        read_dataset(_touch(tmp_path, *names), year)


def test_unlabelled_and_odd_clips_are_left_out_with_a_word(tmp_path: Path) -> None:
    root = _touch(tmp_path, TRAIN, TEST, "fan/test/section_00_0001.wav", "fan/readme.wav", "fan/test/._hidden.wav")
    dataset = read_dataset(root)
    assert len(dataset.cases[0].test) == 1
    assert sorted(words.split(" ", 1)[1] for words in dataset.notes)[0].startswith("clips with other names")
    assert any("1 test clips have no label" in words for words in dataset.notes)


def test_bundles_need_no_training_clips(tmp_path: Path) -> None:
    (case,) = read_dataset(_touch(tmp_path, TEST), enrolled=True).cases
    assert (case.enrol, len(case.test)) == ((), 1)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs the private recordings")
def test_real_samples_are_read() -> None:
    assert read_dataset(SAMPLES / "dcase2020", enrolled=True).year == 2020
    dataset = read_dataset(SAMPLES / "dcase2023")
    assert [case.machine for case in dataset.cases] == ["bearing", "fan", "gearbox", "slider", "valve"]


def test_folders_with_a_link_to_themselves_end(tmp_path: Path) -> None:
    root = _touch(tmp_path, TRAIN, TEST)
    (root / "fan" / "loop").symlink_to(root)
    assert len(read_dataset(root).cases) == 1


def test_a_dataset_may_lie_behind_a_link(make_dataset, tmp_path: Path) -> None:
    make_dataset(tmp_path / "disk", 2023)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fan").symlink_to(tmp_path / "disk" / "fan")
    assert [case.name for case in read_dataset(tmp_path / "data").cases] == ["fan_00"]
