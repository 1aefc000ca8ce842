"""Standard input through a real pipe: WAV recognised, raw PCM in every format, every bad stream refused."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from edge_asd.audio.files import read_clip
from edge_asd.audio.stdin import PCM_BYTES, StdinSource
from edge_asd.errors import DataError, UsageError

RATE_HZ = 16000


@contextmanager
def piped(data: bytes, piece: int = 1000) -> Iterator[BinaryIO]:
    """The reading end of a pipe that `data` is pushed into, a piece at a time."""
    read_end, write_end = os.pipe()

    def push() -> None:
        try:
            for at in range(0, len(data), piece):
                os.write(write_end, data[at : at + piece])
        except BrokenPipeError:
            pass
        finally:
            os.close(write_end)

    writer = threading.Thread(target=push, daemon=True)
    writer.start()
    with os.fdopen(read_end, "rb") as stream:
        yield stream
    writer.join(20.0)


def collect(data: bytes, piece: int = 1000, **settings: object) -> tuple[np.ndarray, StdinSource]:
    with piped(data, piece) as stream:
        source = StdinSource(RATE_HZ, stream=stream, paced=False, **settings)  # type: ignore[arg-type]
        blocks = list(source.blocks())
        source.close()
    assert [b.position for b in blocks] == list(np.cumsum([0] + [b.samples.size for b in blocks])[:-1])
    return np.concatenate([b.samples for b in blocks]), source


def sound(n: int, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(n).standard_normal((n, channels)).astype(np.float32)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("rate_hz, channels", [(16000, 1), (44100, 2)])
def test_a_piped_wav_scores_like_the_file(tmp_path: Path, subtype: str, rate_hz: int, channels: int) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, sound(30000, channels), rate_hz, subtype=subtype)
    got, source = collect(path.read_bytes() + b"LIST\x04\0\0\0abcd", piece=777, channel=channels - 1)
    np.testing.assert_array_equal(got, read_clip(path, RATE_HZ, channel=channels - 1))
    assert source.note == ""


@pytest.mark.parametrize("pcm_format, subtype", [("s16le", "PCM_16"), ("s24le", "PCM_24"), ("f32le", "FLOAT")])
def test_raw_pcm_scores_like_the_file(tmp_path: Path, pcm_format: str, subtype: str) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, sound(30000, 2), 48000, subtype=subtype)
    whole = path.read_bytes()
    raw = whole[whole.index(b"data") + 8 :][: 30000 * 2 * PCM_BYTES[pcm_format]]
    got, source = collect(raw, pcm_rate_hz=48000, pcm_channels=2, pcm_format=pcm_format)
    np.testing.assert_array_equal(got, read_clip(path, RATE_HZ))
    assert "2 channels, listening to channel 0" in source.note


def test_raw_pcm_is_16_bit_mono_at_the_models_rate_unless_told() -> None:
    got, _ = collect(np.full(20000, 1000, "<i2").tobytes())
    assert got.size == 20000


def test_a_wav_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", sound(20000), RATE_HZ)
    data = bytearray((tmp_path / "clip.wav").read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert collect(bytes(data))[0].size == 20000


@pytest.mark.parametrize(
    "data, word",
    [
        (b"", "no sound"),
        (b"\x01", "no sound"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "ends within its WAV header"),
        (b"RIFF\x10\0\0\0AVI LIST", "not a WAV file"),
        (b"fLaC\0\0\0\x22", "FLAC"),
        (b"OggS\0\0\0\0", "OGG"),
        (b"ID3\x04\0\0\0", "MP3"),
    ],
)
def test_what_is_no_sound_is_refused(data: bytes, word: str) -> None:
    with pytest.raises(DataError, match=word) as refused:
        collect(data)
    assert "standard input" in str(refused.value)


def test_a_truncated_wav_says_how_much_came(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", sound(20000), RATE_HZ)
    with pytest.raises(DataError, match="promises 20000 samples and 12345 came"):
        collect((tmp_path / "clip.wav").read_bytes()[: 44 + 2 * 12345])


def test_a_wav_encoding_that_cannot_be_streamed_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", sound(20000), RATE_HZ, subtype="IMA_ADPCM")
    with pytest.raises(DataError, match="encoding 17 and 4 bits"):
        collect((tmp_path / "clip.wav").read_bytes())


def test_a_short_final_sample_is_ignored_aloud() -> None:
    got, source = collect(np.zeros(5000, "<i2").tobytes() + b"\x01")
    assert got.size == 5000
    assert "ended within a sample: 1 of 2 bytes ignored" in source.note


def test_a_float_that_is_no_number_is_named_by_its_place() -> None:
    samples = np.zeros(40000, "<f4")
    samples[20001] = np.nan
    with pytest.raises(DataError, match="sample 20001"):
        collect(samples.tobytes(), pcm_format="f32le")


def test_a_bad_description_of_the_pcm_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"mp3.*s16le"):
        StdinSource(RATE_HZ, pcm_format="mp3", stream=io.BytesIO())
    with pytest.raises(UsageError, match="0 channels"):
        StdinSource(RATE_HZ, pcm_channels=0, stream=io.BytesIO())


def test_stop_ends_a_stream_that_gives_nothing() -> None:
    read_end, write_end = os.pipe()
    stop = threading.Event()
    with os.fdopen(read_end, "rb") as stream:
        source = StdinSource(RATE_HZ, stream=stream, stop=stop)
        ended: list[list[object]] = []
        reader = threading.Thread(target=lambda: ended.append(list(source.blocks())), daemon=True)
        reader.start()
        stop.set()
        reader.join(20.0)
        assert ended == [[]]
    os.close(write_end)


def test_a_live_producer_is_the_clock_and_is_never_held_back() -> None:
    now = [1000.0]

    def never(seconds: float) -> None:
        raise AssertionError(f"held back by {seconds} s")

    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream:
        source = StdinSource(RATE_HZ, stream=stream, clock=lambda: now[0], sleep=never)
        blocks = source.blocks()
        quarter = np.ones(4000, "<i2").tobytes()
        for turn in range(3):
            # Its clock runs 10 % fast: 0.25 s of sound every 0.225 s.
            def produce(at: float = 1000.0 + 0.225 * (turn + 1)) -> None:
                now[0] = at
                os.write(write_end, quarter)

            timer = threading.Timer(0.1, produce)
            timer.start()
            block = next(blocks)
            timer.join()
            assert block.captured_at + block.samples.size / RATE_HZ == pytest.approx(now[0], abs=0.003)
        os.close(write_end)


def test_sound_that_is_there_already_is_paced() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    stream = io.BytesIO(np.ones(16000, "<i2").tobytes())
    source = StdinSource(RATE_HZ, stream=stream, clock=lambda: now[0], sleep=sleep)
    assert sum(b.samples.size for b in source.blocks()) == 16000
    assert sum(slept) == pytest.approx(1.0)
