"""The C kernel gives numpy's numbers, the same bits in any cut, and its absence costs only time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.bundle.bundle import Bundle
from edge_asd.cli import checks
from edge_asd.contract import LogMelSpec
from edge_asd.errors import ConfigError, UnavailableError
from edge_asd.frontend import LogMel, log_mel
from edge_asd.native import library
from edge_asd.native.build import build

SPECS = {
    "default": LogMelSpec(),
    "htk": LogMelSpec(mel_scale="htk", n_mels=61),
    "magnitude": LogMelSpec(power=1.0, n_mels=40, floor_db=-80.0),
    "44.1 kHz": LogMelSpec(rate_hz=44100, n_fft=2048, hop_samples=441, n_mels=96, fmin_hz=50.0, fmax_hz=20000.0),
    "no overlap": LogMelSpec(n_fft=512, hop_samples=512, n_mels=32, fmin_hz=125.0, fmax_hz=7500.0),
    "more bands than bins": LogMelSpec(n_fft=64, hop_samples=32, n_mels=128),
    "smallest": LogMelSpec(n_fft=16, hop_samples=5, n_mels=4),
    "smallest but one": LogMelSpec(n_fft=32, hop_samples=32, n_mels=8, floor_db=-60.0),
}
TOLERANCE_DB = 1e-4


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the kernel compiled from the source as it stands."""
    if shutil.which("cc") is None:
        pytest.skip("the C kernel needs a C compiler: apt install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("kernel")
    build(folder)
    return folder


@pytest.fixture(params=["plain", "best"])
def native(request: pytest.FixtureRequest, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both builds in turn: the one for every processor, and the best for this one."""
    folder = built
    if request.param == "plain":
        folder = tmp_path
        shutil.copy(built / "liblogmel.so", folder)
    found = library.load(folder)
    assert found.functions is not None, found.detail
    monkeypatch.setattr(library, "load", lambda: found)
    return "native"


def sounds(spec: LogMelSpec) -> dict[str, np.ndarray]:
    n = 2 * spec.rate_hz + 123
    rng = np.random.default_rng(5)
    time_s = np.arange(n) / spec.rate_hz
    noise = 0.1 * rng.standard_normal(n)
    sweep = 0.5 * np.sin(2 * np.pi * (100.0 + 0.1 * spec.rate_hz * time_s) * time_s) + 5e-3 * rng.standard_normal(n)
    half = np.where(time_s < 1.0, noise, 0.0)
    made = {"noise": noise, "quiet": 1e-4 * noise, "sweep": sweep, "falls silent": half, "loud": 1e3 * noise}
    return {name: sound.astype(np.float32) for name, sound in made.items()}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_numpy_gives_the_same_numbers(spec: LogMelSpec, native: str) -> None:
    for name, sound in sounds(spec).items():
        expected = LogMel(spec, padded=False, kernel="numpy").push(sound)
        front_end = LogMel(spec, padded=False, kernel=native)
        found = front_end.push(sound)
        assert front_end.kernel == "native"
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= TOLERANCE_DB, name


def test_silence_and_a_floor_are_numpys(native: str) -> None:
    for spec in (LogMelSpec(), LogMelSpec(floor_db=-37.0, power=1.0)):
        silence = LogMel(spec, padded=False, kernel=native).push(np.zeros(8000, np.float32))
        np.testing.assert_allclose(silence, spec.floor_db, atol=TOLERANCE_DB)


def test_what_is_no_number_stays_none_and_stays_in_its_frames(native: str) -> None:
    sound = sounds(LogMelSpec())["noise"]
    sound[9000] = np.nan
    frames = LogMel(LogMelSpec(), padded=False, kernel=native).push(sound)
    expected = LogMel(LogMelSpec(), padded=False, kernel="numpy").push(sound)
    np.testing.assert_array_equal(np.isnan(frames), np.isnan(expected))
    assert np.isnan(frames).any()


cuts = st.lists(st.one_of(st.sampled_from([0, 1, 511, 512, 513, 1024, 4096]), st.integers(0, 6000)), max_size=30)
SOUND = sounds(LogMelSpec())["sweep"]


@given(cuts=cuts)
def test_the_frames_are_bit_identical_however_the_sound_is_cut(built: Path, cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        found = library.load(built)
        patched.setattr(library, "load", lambda: found)
        whole = LogMel(LogMelSpec(), padded=True, kernel="native")
        expected = np.concatenate((whole.push(SOUND), whole.flush()))
        front_end = LogMel(LogMelSpec(), padded=True, kernel="native")
        pieces = np.split(SOUND, np.minimum(np.cumsum(cuts, dtype=int), SOUND.size)) if cuts else [SOUND]
        frames = np.concatenate([front_end.push(piece) for piece in pieces] + [front_end.flush()])
    np.testing.assert_array_equal(frames, expected)


def test_a_bundle_enrolled_with_one_kernel_scores_the_same_with_the_other(
    tiny_bundle: Bundle, steady_sound, native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {}
    for kernel in ("numpy", "native"):
        monkeypatch.setenv(library.CHOICE_VARIABLE, kernel)
        clip = steady_sound(6.0, seed=9, tone_hz=2500.0, tone_amplitude=0.01)
        scores[kernel] = tiny_bundle.score_clip(log_mel(clip, tiny_bundle.contract.features)).score
    assert scores["native"] == pytest.approx(scores["numpy"], abs=1e-3)


def test_a_length_that_is_no_power_of_two_is_numpys(native: str) -> None:
    spec = LogMelSpec(n_fft=1000, hop_samples=500)
    assert LogMel(spec, padded=False, kernel="auto").kernel == "numpy"
    with pytest.raises(UnavailableError, match="powers of two, not 1000"):
        LogMel(spec, padded=False, kernel=native)


@pytest.mark.parametrize("trouble", ["nothing there", "not a library", "another machine's"])
def test_without_a_usable_library_numpy_takes_over_and_says_why(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble != "nothing there":
        text = b"\x7fELF\x02\x01\x01" if trouble == "another machine's" else b"not a library"
        (tmp_path / "liblogmel.so").write_bytes(text.ljust(4096, b"\0"))
    found = library.load(tmp_path)
    assert found.functions is None
    monkeypatch.setattr(library, "load", lambda: found)
    monkeypatch.delenv(library.CHOICE_VARIABLE, raising=False)
    assert LogMel(LogMelSpec(), padded=False).kernel == "numpy"
    finding = checks.kernel()
    assert finding.state == "ok"
    assert finding.detail == f"numpy (native kernel: {found.detail})"
    monkeypatch.setenv(library.CHOICE_VARIABLE, "native")
    with pytest.raises(UnavailableError, match="EDGE_ASD_KERNEL=numpy"):
        LogMel(LogMelSpec(), padded=False)
    assert checks.kernel().state == "fail"


def test_a_library_of_another_version_is_not_used(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler: apt install gcc libc6-dev")
    source = "int logmel_abi(void) { return 999; } int logmel_may_use_avx2(void) { return 0; }"
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(tmp_path / "liblogmel.so")]
    subprocess.run(command, input=source, text=True, check=True)
    found = library.load(tmp_path)
    assert found.functions is None
    assert "999, not 1" in found.detail


def test_the_choice_is_the_environments_and_a_wrong_word_is_refused(
    native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(library.CHOICE_VARIABLE, "numpy")
    assert LogMel(LogMelSpec(), padded=False).kernel == "numpy"
    assert checks.kernel().detail == "numpy (EDGE_ASD_KERNEL=numpy)"
    monkeypatch.setenv(library.CHOICE_VARIABLE, "auto")
    assert LogMel(LogMelSpec(), padded=False).kernel == "native"
    assert checks.kernel().detail.startswith("native (")
    monkeypatch.setenv(library.CHOICE_VARIABLE, "fast")
    with pytest.raises(ConfigError, match="EDGE_ASD_KERNEL=fast"):
        LogMel(LogMelSpec(), padded=False)
    assert checks.kernel().state == "fail"
