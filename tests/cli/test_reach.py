"""Sound of another rate than was enrolled is told before it raises alarms that no machine caused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.audio.condition import Conditioner
from edge_asd.bundle.bundle import load_bundle
from edge_asd.cli import main
from edge_asd.cli.reach import PASSED, differ, reach_hz

MODEL_HZ = 16000


def hiss(path: Path, rate_hz: int, seconds: float, seed: int) -> Path:
    """White noise of the same density at any rate."""
    rng = np.random.default_rng(seed)
    sound = 0.02 * np.sqrt(rate_hz / MODEL_HZ) * rng.standard_normal(round(rate_hz * seconds))
    soundfile.write(path, sound.astype(np.float32), rate_hz, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reach")
    clip, path = hiss(folder / "normal.wav", MODEL_HZ, 70.0, 1), folder / "fan.asd"
    assert main(["enroll", str(clip), "--out", str(path), "--scorer", "spectrum:knn"]) == 0
    assert load_bundle(path).provenance["sound_hz"] == "16000"
    return path


@pytest.mark.parametrize("rate_hz", [44100, 48000, 96000])
def test_the_resampler_passes_what_is_said_and_damps_what_lies_above(rate_hz: int) -> None:
    conditioner = Conditioner(rate_hz, MODEL_HZ, dc_block=False)
    noise = np.random.default_rng(0).standard_normal(20 * rate_hz).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(np.concatenate((conditioner.push(noise), conditioner.flush())))))
    hz = np.linspace(0.0, MODEL_HZ / 2, power.size)

    def level_db(low: float, high: float) -> float:
        return float(10.0 * np.log10(power[(hz >= low) & (hz < high)].mean()))

    edge_hz = PASSED * MODEL_HZ / 2
    usual_db = level_db(1000.0, 6000.0)
    assert level_db(edge_hz - 100.0, edge_hz) == pytest.approx(usual_db, abs=0.5)
    assert level_db(0.99 * MODEL_HZ / 2, MODEL_HZ / 2) < usual_db - 20.0
    assert reach_hz(rate_hz, MODEL_HZ) == edge_hz and reach_hz(MODEL_HZ, MODEL_HZ) == MODEL_HZ / 2


def test_rates_above_the_models_are_alike_and_others_differ() -> None:
    assert not differ({44100, 48000}, MODEL_HZ) and not differ({16000}, MODEL_HZ) and not differ(set(), MODEL_HZ)
    assert differ({16000, 48000}, MODEL_HZ) and differ({8000, 16000}, MODEL_HZ)


def test_a_source_of_another_rate_is_told_and_one_of_the_same_is_not(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for rate_hz, told in ((MODEL_HZ, False), (48000, True)):
        clip = hiss(tmp_path / f"{rate_hz}.wav", rate_hz, 6.0, 2)
        assert main(["run", "--bundle", str(bundle), "--input", str(clip), "--fast"]) == 0
        said = capfd.readouterr().err
        assert (f"comes at {rate_hz} Hz and 16000 Hz were enrolled" in said) == told
    assert "above 7.3 kHz" in said


def test_clips_of_several_rates_are_told_when_they_are_enrolled(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for rate_hz in (16000, 48000):
        hiss(tmp_path / f"{rate_hz}.wav", rate_hz, 35.0, rate_hz)
    path = tmp_path / "fan.asd"
    assert main(["enroll", str(tmp_path), "--out", str(path), "--scorer", "spectrum:knn"]) == 0
    assert "clips of 16000, 48000 Hz were enrolled together" in capfd.readouterr().err
    assert load_bundle(path).provenance["sound_hz"] == "16000,48000"
