"""Files: every bad one refused with the right word, every good one the same by any path."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asd.audio.condition import output_samples
from edge_asd.audio.files import FileSource, find_clips, read_clip
from edge_asd.audio.generator import GeneratedSource
from edge_asd.errors import DataError, EdgeAsdError, MissingInputError

RATE_HZ = 16000


def sound(n: int = 8000, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(n).standard_normal((n, channels)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
@pytest.mark.parametrize("channels", [1, 8])
def test_any_format_rate_and_channel_count_is_read(tmp_path: Path, subtype: str, rate_hz: int, channels: int) -> None:
    samples = sound(9000, channels)
    path = write(tmp_path / "clip.wav", samples, rate_hz, subtype)
    clip = read_clip(path, RATE_HZ, channel=channels - 1)
    assert clip.dtype == np.float32
    assert clip.shape == (output_samples(9000, rate_hz, RATE_HZ),)
    assert np.std(clip) == pytest.approx(np.std(samples[:, -1]), rel=0.5)


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "ogg"])
def test_whole_clip_and_stream_give_the_same_numbers(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"clip.{suffix}", sound(50000, 2), 44100)
    whole = read_clip(path, RATE_HZ, channel=1)
    for paced in (True, False):
        source = FileSource(path, RATE_HZ, channel=1, paced=paced, clock=lambda: 0.0, sleep=lambda seconds: None)
        blocks = list(source.blocks())
        source.close()
        np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), whole)
        assert [b.position for b in blocks] == list(np.cumsum([0] + [b.samples.size for b in blocks])[:-1])


def test_a_long_file_is_never_loaded_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", sound(5 * RATE_HZ))
    source = FileSource(path, RATE_HZ, paced=False)
    assert max(b.samples.size for b in source.blocks()) <= RATE_HZ + 64
    source.close()


@pytest.mark.parametrize("cut", [1, 2, 7, 20, 43, 44, 45, 46, 200, 8000, 15999, 16043])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_wav_cut_anywhere_is_refused(tmp_path: Path, cut: int, channels: int) -> None:
    whole = write(tmp_path / "whole.wav", sound(8000, channels), subtype="PCM_16").read_bytes()
    path = tmp_path / "cut.wav"
    path.write_bytes(whole[:cut])
    with pytest.raises(DataError) as refused:
        read_clip(path, RATE_HZ)
    assert str(path) in str(refused.value)
    if cut > 44:
        assert f"promises {16000 * channels} bytes of sound and {cut - 44} are there" in str(refused.value)


@pytest.mark.parametrize("suffix", ["flac", "aiff", "mp3", "caf"])
def test_other_formats_cut_in_half_are_refused(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"whole.{suffix}", sound(32000)).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        read_clip(path, RATE_HZ)


def test_a_recorder_that_did_not_know_the_length_is_believed(tmp_path: Path) -> None:
    whole = bytearray(write(tmp_path / "whole.wav", sound(), subtype="PCM_16").read_bytes())
    at = whole.index(b"data") + 4
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000):
        whole[at : at + 4] = size.to_bytes(4, "little")
        (tmp_path / "open.wav").write_bytes(whole)
        assert read_clip(tmp_path / "open.wav", RATE_HZ).size == 8000


def test_chunks_of_odd_size_and_rf64_are_walked_over(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.wav", sound(), subtype="PCM_16").read_bytes()
    odd = whole[:12] + b"LIST\x03\0\0\0abc\0" + whole[12:]
    (tmp_path / "odd.wav").write_bytes(odd)
    np.testing.assert_array_equal(read_clip(tmp_path / "odd.wav", RATE_HZ), read_clip(tmp_path / "whole.wav", RATE_HZ))
    long_form = write(tmp_path / "long.rf64", sound(), subtype="PCM_16")
    np.testing.assert_array_equal(read_clip(long_form, RATE_HZ), read_clip(tmp_path / "whole.wav", RATE_HZ))
    for path in (tmp_path / "odd.wav", long_form):
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(DataError, match="promises 16000 bytes of sound and 15900 are there"):
            read_clip(path, RATE_HZ)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_named_by_its_place(tmp_path: Path, bad: float) -> None:
    samples = sound(40000, 2)
    samples[30001, 1] = bad
    path = write(tmp_path / "bad.wav", samples, subtype="FLOAT")
    with pytest.raises(DataError, match=r"sample 30001 \(1\.875 s\) is not a finite number"):
        read_clip(path, RATE_HZ)


def test_a_sample_beyond_all_sound_is_refused_before_it_overflows(tmp_path: Path) -> None:
    samples = sound(40000, 2)
    samples[30001, 1] = -1e20
    path = write(tmp_path / "bad.wav", samples, subtype="FLOAT")
    with pytest.raises(DataError, match=r"sample 30001 \(1\.875 s\) is -1e\+20, full scale is 1; this is no sound"):
        read_clip(path, RATE_HZ)


@pytest.mark.parametrize(
    "content, error, word",
    [
        (None, MissingInputError, "no such file"),
        (b"", DataError, "empty"),
        (b"hello, I am a text file, and a rather long one", DataError, "not a sound file"),
    ],
)
def test_what_is_no_clip_is_refused(
    tmp_path: Path, content: bytes | None, error: type[EdgeAsdError], word: str
) -> None:
    path = tmp_path / "clip.wav"
    if content is not None:
        path.write_bytes(content)
    for use in (lambda: read_clip(path, RATE_HZ), lambda: FileSource(path, RATE_HZ)):
        with pytest.raises(error, match=word) as refused:
            use()
        assert "\n" not in str(refused.value)
        assert str(path) in str(refused.value)


def test_one_sample_a_directory_and_a_missing_channel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 1 sample at 16000 Hz"):
        read_clip(write(tmp_path / "one.wav", sound(1)), RATE_HZ)
    with pytest.raises(DataError, match="holds 0 samples"):
        read_clip(write(tmp_path / "none.wav", sound(0)), RATE_HZ)
    with pytest.raises(DataError, match="is a directory"):
        read_clip(tmp_path, RATE_HZ)
    stereo = write(tmp_path / "stereo.wav", sound(8000, 2))
    for use in (lambda: read_clip(stereo, RATE_HZ, channel=2), lambda: FileSource(stereo, RATE_HZ, channel=2)):
        with pytest.raises(DataError, match="channel 2 is not there"):
            use()
    assert "2 channels" in FileSource(stereo, RATE_HZ).note


def test_a_pipe_is_not_taken_for_an_empty_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(DataError, match="a device or pipe, not a sound file; pipe it into `edge-asd run --input -`"):
        read_clip(tmp_path / "pipe.wav", RATE_HZ)


def test_clips_are_found_below_directories_in_order(tmp_path: Path) -> None:
    for name in ("b.wav", "a/z.flac", "a/c.WAV", "a/notes.txt", "a/._z.flac"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    names = [p.relative_to(tmp_path).as_posix() for p in find_clips([tmp_path / "b.wav", tmp_path])]
    assert names == ["b.wav", "a/c.WAV", "a/z.flac", "b.wav"]
    (tmp_path / "empty").mkdir()
    for missing in ("empty", "nowhere.wav"):
        with pytest.raises(MissingInputError, match=missing):
            find_clips([tmp_path / missing])


class SlowTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


def test_paced_sound_comes_when_its_last_sample_would_have_been_heard() -> None:
    time = SlowTime()
    source = GeneratedSource(sound(20000)[:, 0], RATE_HZ, clock=lambda: time.now_s, sleep=time.sleep)
    for block in source.blocks():
        assert block.captured_at == pytest.approx(1000.0 + block.position / RATE_HZ)
        assert time.now_s == pytest.approx(block.captured_at + block.samples.size / RATE_HZ)
    assert time.now_s == pytest.approx(1001.25)


def test_unpaced_sound_never_sleeps_and_keeps_its_times() -> None:
    def never(seconds: float) -> None:
        raise AssertionError

    samples = sound(20000)[:, 0]
    source = GeneratedSource(samples, RATE_HZ, paced=False, clock=lambda: 5.0, sleep=never)
    blocks = list(source.blocks())
    assert [b.captured_at for b in blocks] == pytest.approx([5.0 + b.position / RATE_HZ for b in blocks])
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), samples)


def test_stop_ends_a_paced_stream_in_the_middle_of_its_wait() -> None:
    stop = threading.Event()
    source = GeneratedSource(sound(3600 * 10)[:, 0], 10, clock=lambda: 0.0, stop=stop, sleep=lambda seconds: stop.set())
    assert list(source.blocks()) == []
