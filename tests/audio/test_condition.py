"""Conditioning: the same numbers in any cut, exact lengths, no aliases, no offset, never a mix of channels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.audio.condition import Conditioner, output_samples, pcm_to_float32
from edge_asd.audio.dcblock import CORNER_HZ, DcBlock
from edge_asd.errors import DataError

RATES_HZ = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)


def whole(conditioner: Conditioner, raw: np.ndarray) -> np.ndarray:
    return np.concatenate((conditioner.push(raw), conditioner.flush()))


@given(st.sampled_from(RATES_HZ), st.lists(st.integers(0, 12000), max_size=8), st.integers(0, 12000), st.booleans())
def test_the_cut_of_the_stream_never_shows(rate_hz: int, cuts: list[int], n: int, dc_block: bool) -> None:
    raw = (0.2 + 0.1 * np.random.default_rng(n).standard_normal((n, 2))).astype(np.float32)
    conditioner = Conditioner(rate_hz, 16000, channel=1, dc_block=dc_block)
    once = whole(conditioner, raw)
    pieces = [conditioner.push(piece) for piece in np.split(raw, sorted(min(cut, n) for cut in cuts))]
    np.testing.assert_array_equal(np.concatenate([*pieces, conditioner.flush()]), once)
    assert once.dtype == np.float32


@given(st.sampled_from(RATES_HZ), st.integers(0, 30000))
def test_every_stream_has_its_exact_length(rate_hz: int, n: int) -> None:
    got = whole(Conditioner(rate_hz, 16000), np.zeros(n, np.float32)).size
    assert got == output_samples(n, rate_hz, 16000) == int(n * 16000 / rate_hz + 0.5)


@pytest.mark.parametrize("rate_hz", [44100, 48000, 96000])
def test_what_the_model_rate_cannot_hold_is_gone_and_the_rest_stays(rate_hz: int) -> None:
    time_s = np.arange(2 * rate_hz) / rate_hz
    for tone_hz, gain_db in ((100.0, 0.0), (7000.0, 0.0), (9500.0, None), (rate_hz / 2 - 500.0, None)):
        tone = (0.5 * np.sin(2 * np.pi * tone_hz * time_s)).astype(np.float32)
        heard = whole(Conditioner(rate_hz, 16000), tone)[4000:-4000]
        level_db = 20 * np.log10(np.sqrt(2) * np.sqrt(np.mean(heard**2)) / 0.5 + 1e-12)
        if gain_db is None:
            assert level_db < -90, f"{tone_hz} Hz comes back as an alias"
        else:
            assert level_db == pytest.approx(gain_db, abs=0.05)


def test_dc_block_is_the_one_pole_high_pass_it_says() -> None:
    x = (0.3 + 0.1 * np.random.default_rng(1).standard_normal(20000)).astype(np.float32)
    block = DcBlock(16000)
    got = np.concatenate((block.push(x), block.flush()))
    decay, mean = np.exp(-2 * np.pi * CORNER_HZ / 16000), float(x[0])
    wanted = np.empty(x.size)
    for i, sample in enumerate(x.tolist()):
        mean = decay * mean + (1 - decay) * sample
        wanted[i] = sample - mean
    np.testing.assert_allclose(got, wanted, atol=3e-7)


def test_an_offset_is_removed_without_a_step_at_the_start() -> None:
    offset = np.full(16000, 0.7, np.float32)
    assert np.abs(whole(Conditioner(16000, 16000), offset)).max() < 1e-6
    assert np.abs(whole(Conditioner(16000, 16000, dc_block=False), offset) - 0.7).max() == 0


def test_reset_forgets_everything() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.standard_normal(5000).astype(np.float32), rng.standard_normal(5000).astype(np.float32)
    conditioner = Conditioner(48000, 16000)
    conditioner.push(before)
    conditioner.reset()
    np.testing.assert_array_equal(whole(conditioner, after), whole(Conditioner(48000, 16000), after))


def test_channels_are_chosen_and_never_mixed() -> None:
    raw = np.stack([np.full(320, c / 10, np.float32) for c in range(8)], axis=1)
    for channel in range(8):
        chosen = whole(Conditioner(16000, 16000, channel=channel, dc_block=False), raw)
        np.testing.assert_array_equal(chosen, raw[:, channel])
    silent = Conditioner(16000, 16000, dc_block=False)
    np.testing.assert_array_equal(whole(silent, raw), raw[:, 0])
    assert "8 channels, listening to channel 0" in silent.note
    mono = Conditioner(16000, 16000)
    mono.push(raw[:, :1])
    assert mono.note == ""


def test_a_channel_or_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match=r"channel 2 is not there.*--channel"):
        Conditioner(16000, 16000, channel=2).push(np.zeros((4, 2), np.float32))
    with pytest.raises(DataError, match="only channel 0"):
        Conditioner(16000, 16000, channel=1).push(np.zeros(4, np.float32))
    with pytest.raises(DataError, match="channel is -1"):
        Conditioner(16000, 16000, channel=-1)
    for rate_hz in (0, -16000, 16000.5):
        with pytest.raises(DataError, match="whole number above 0"):
            Conditioner(rate_hz, 16000)


def test_what_is_given_is_never_the_callers_memory() -> None:
    raw = np.ones((64, 1), np.float32)
    given_back = Conditioner(16000, 16000, dc_block=False).push(raw)
    raw[:] = 0
    assert given_back.min() == 1


@pytest.mark.parametrize("bits, dtype", [(16, np.int16), (24, np.int32)])
def test_integer_pcm_becomes_float_exactly(bits: int, dtype: type) -> None:
    top = 1 << (bits - 1)
    values = np.array([-top, -top + 1, -1, 0, 1, top - 1], np.int64)
    pcm = (values << (8 * np.dtype(dtype).itemsize - bits)).astype(dtype)
    np.testing.assert_array_equal(pcm_to_float32(pcm).astype(np.float64), values / top)
