"""The generated DCASE-2022-shaped set: read as what it is, loudness tells nothing, there whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.cli import main
from edge_asd.errors import DataError, MissingInputError, StorageError, UsageError
from edge_asd.evaluation.dataset import read_dataset
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.simulator import FAULTS
from edge_asd.simulator.dataset_folder import write_dcase2022
from edge_asd.simulator.dcase2022 import MACHINES, MAKERS, SECTIONS, Counts, Section

SMALL = ("simulate", "--clips", "2", "--target-clips", "1", "--test-clips", "1", "--clip-s", "0.3")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every machine and section, few and short clips."""
    folder = tmp_path_factory.mktemp("generated") / "set"
    assert main([*SMALL, "--dcase2022", str(folder)]) == 0
    return folder


def test_the_reader_takes_it_for_what_it_is(small: Path) -> None:
    data = read_dataset(small)
    assert data.year == 2022 and not data.notes
    assert [case.name for case in data.cases] == sorted(f"{m}_{s}" for m in MACHINES for s in SECTIONS)
    for case in data.cases:
        assert [clip.domain for clip in case.enrol] == ["source", "source", "target"]
        assert sorted((clip.domain, clip.anomalous) for clip in case.test) == [
            ("source", False), ("source", True), ("target", False), ("target", True)
        ]  # fmt: skip


def test_clips_are_16_khz_mono_of_16_bits(small: Path) -> None:
    info = soundfile.info(str(next(small.rglob("*.wav"))))
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, "PCM_16", 4800)


def test_the_attribute_tables_say_what_the_names_say(small: Path) -> None:
    with_tables = {clip.file: clip.attributes for case in read_dataset(small).cases for clip in case.enrol + case.test}
    for table in small.rglob("attributes_*.csv"):
        assert len(table.read_text().splitlines()) == 1 + 3 + 4
        table.unlink()
    by_name = {clip.file: clip.attributes for case in read_dataset(small).cases for clip in case.enrol + case.test}
    assert with_tables == by_name
    assert all(len(attributes) in (2, 3) for attributes in by_name.values())


def test_the_domains_differ_in_one_attribute_only() -> None:
    for machine in MACHINES:
        for name in SECTIONS:
            section = Section(machine, name, 0.3, seed=1)
            values: dict[str, dict[str, set[str]]] = {"source": {}, "target": {}}
            for clip in section.clips(Counts(4, 4, 4)):
                for attribute, value in clip.attributes:
                    values[clip.domain].setdefault(attribute, set()).add(value)
            for attribute, source in values["source"].items():
                shared = source & values["target"][attribute]
                assert bool(shared) == (attribute != section.shifted.name)


def test_loudness_alone_tells_nothing(small: Path) -> None:
    normal, anomalous = [], []
    for case in read_dataset(small).cases:
        for clip in case.test:
            samples, _ = soundfile.read(clip.file)
            (anomalous if clip.anomalous else normal).append(10 * np.log10(np.mean(samples**2)))
    assert min(len(normal), len(anomalous)) >= 50
    assert abs(roc_auc(np.array(normal), np.array(anomalous)) - 0.5) < 0.02
    assert np.std(normal) > 1.0


def test_faults_are_some_the_machine_can_have() -> None:
    for maker in MAKERS.values():
        assert len(maker.faults) >= 5 and set(maker.faults) <= set(FAULTS[maker.kind])


def test_a_section_is_the_same_alone_and_among_others(small: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    assert main([*SMALL, "--dcase2022", str(alone), "--machines", "valve", "--sections", "3"]) == 0
    files = sorted(path.relative_to(alone) for path in alone.rglob("*.wav"))
    assert len(files) == 7
    assert all((alone / file).read_bytes() == (small / file).read_bytes() for file in files)
    other = tmp_path / "other"
    assert main([*SMALL, "--dcase2022", str(other), "--machines", "valve", "--sections", "3", "--seed", "2"]) == 0
    assert all((alone / file).read_bytes() != (other / file).read_bytes() for file in files if (other / file).exists())


def test_its_official_score_is_told(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(small / "fan"), "--no-cache", "--jobs", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["datasets"][0]
    assert told["year"] == 2022 and 0.0 <= told["official"] <= 1.0


def test_what_was_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    assert main([*SMALL, "--dcase2022", str(folder), "--machines", "fan,ToyCar", "--sections", "0-1,4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["clips"] == {"train normal": 18, "test normal": 12, "test anomaly": 12}
    assert told["seconds"] == pytest.approx(42 * 0.3)
    assert sorted(path.name for path in folder.iterdir()) == ["ToyCar", "fan"]


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--machines", "fan,pump"), 2, "no machine 'pump' in the set; choose of ToyCar,"),
        (("--machines", ""), 2, "no machine ''"),
        (("--sections", "7"), 2, "no section '07' in the set; choose of 00,01,"),
        (("--sections", "3-"), 2, "3-"),
        (("--sections", "4-2"), 2, "4-2"),
        (("--clips", "0"), 2, "'0' is no number of 1 or more"),
        (("--clips", "-1"), 2, "-1"),
        (("--clip-s", "0"), 2, "0"),
    ],
)
def test_what_cannot_be_made_is_named(
    flags: tuple[str, str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, "--dcase2022", str(tmp_path / "set"), *flags]) == code
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "set" / "thesis.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_dcase2022(kept.parent)
    with pytest.raises(UsageError, match="no directory"):
        write_dcase2022(kept)
    assert kept.read_text() == "mine" and list(kept.parent.iterdir()) == [kept]
    with pytest.raises(MissingInputError, match="does not exist"):
        write_dcase2022(tmp_path / "nowhere" / "set")
    with pytest.raises(DataError, match="no clip"):
        write_dcase2022(tmp_path / "other", clip_s=0.0)
    with pytest.raises(DataError, match="0 source, 2 target and 2 test clips are no set"):
        Counts(source=0)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    made = write_dcase2022(tmp_path, machines=["fan"], sections=["00"], counts=Counts(1, 0, 0), clip_s=0.3)
    assert made.n_clips == 1 and len(list(tmp_path.rglob("*.wav"))) == 1


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the same error from the same call."""
    words = [*SMALL, "--dcase2022", str(tmp_path / "set")]
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); sys.dont_write_bytecode = True;"
        f"from edge_asd.cli import main; sys.exit(main({words!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == StorageError.exit_code
    assert "cannot be written" in ended.stderr and "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_asd", "simulate", "--dcase2022", str(tmp_path / "set"), "--clip-s", "20s"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    for _ in range(3000):
        if list(tmp_path.rglob("*.wav")):
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in words
    assert not list(tmp_path.iterdir())
