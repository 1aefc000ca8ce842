"""Windows of clips and of streams: nothing unheard, nothing invented."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.contract import LogMelSpec, ModelContract
from edge_asd.errors import DataError
from edge_asd.windows import WindowAssembler, clip_windows, lengthened

CONTRACT = ModelContract("short windows", "1", LogMelSpec(n_mels=12), window_frames=16, step_frames=8)
SIZE, STEP, N_MELS = CONTRACT.window_frames, CONTRACT.step_frames, CONTRACT.features.n_mels


def numbered(n: int) -> np.ndarray:
    """Frames [n, n_mels] that hold their own index."""
    return np.repeat(np.arange(n, dtype=np.float32)[:, None], N_MELS, axis=1)


def indices(windows: np.ndarray) -> list[list[int]]:
    """Which frames each window holds."""
    assert (windows == windows[:, :, :1]).all()
    return windows[:, :, 0].astype(int).tolist()


@pytest.mark.parametrize("n_frames", range(SIZE, SIZE + 3 * STEP + 1))
def test_a_clips_windows_step_evenly_and_end_with_the_clip(n_frames: int) -> None:
    windows, starts = clip_windows(numbered(n_frames), CONTRACT)
    assert windows.shape[1:] == (SIZE, N_MELS)
    assert indices(windows) == [list(range(start, start + SIZE)) for start in starts]
    assert starts[0] == 0
    assert starts[-1] + SIZE == n_frames
    assert set(np.diff(starts)[:-1]) <= {STEP}
    assert len(starts) == 1 + -(-(n_frames - SIZE) // STEP)


@pytest.mark.parametrize(
    "rule, n_frames, expected",
    [
        ("repeat", 5, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]),
        ("reflect", 5, [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]),
        ("repeat", 1, [0] * 16),
        ("reflect", 1, [0] * 16),
        ("reflect", 2, [0, 1] * 8),
        ("repeat", 15, [*range(15), 0]),
        ("reflect", 15, [*range(15), 13]),
    ],
)
def test_a_short_clip_becomes_one_window_by_the_contracts_rule(rule: str, n_frames: int, expected: list[int]) -> None:
    contract = dataclasses.replace(CONTRACT, short_clip=rule)
    windows, starts = clip_windows(numbered(n_frames), contract)
    assert indices(windows) == [expected]
    assert starts.tolist() == [0]


def test_lengthening_to_less_cuts() -> None:
    assert lengthened(numbered(9), 4, "repeat")[:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("shape", [(0, N_MELS), (20, N_MELS + 1), (N_MELS,), (2, 20, N_MELS)])
def test_frames_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"log-mel of shape"):
        clip_windows(np.zeros(shape, np.float32), CONTRACT)


@given(st.lists(st.integers(0, 3 * SIZE), max_size=12))
def test_a_stream_gives_the_even_windows_of_the_clip_whatever_the_cut(pushes: list[int]) -> None:
    frames = numbered(sum(pushes))
    assembler = WindowAssembler(CONTRACT)
    found, taken = [], 0
    for n in pushes:
        windows = assembler.push(frames[taken : taken + n])
        taken += n
        assert windows.shape[1:] == (SIZE, N_MELS)
        found += indices(windows)
        assert len(found) == max(0, (taken - SIZE) // STEP + 1)
    assert found == [list(range(i * STEP, i * STEP + SIZE)) for i in range(len(found))]


def test_step_and_window_may_be_the_same() -> None:
    contract = dataclasses.replace(CONTRACT, step_frames=SIZE)
    assert len(WindowAssembler(contract).push(numbered(3 * SIZE + 5))) == 3
    assert clip_windows(numbered(3 * SIZE), contract)[1].tolist() == [0, SIZE, 2 * SIZE]


def test_after_a_reset_no_window_holds_an_old_frame() -> None:
    assembler = WindowAssembler(CONTRACT)
    assembler.push(np.full((SIZE + 3, N_MELS), -1.0, np.float32))
    assembler.reset()
    assert len(assembler.push(numbered(SIZE - 1))) == 0
    (window,) = assembler.push(np.full((1, N_MELS), SIZE - 1.0, np.float32))
    assert indices(window[None]) == [list(range(SIZE))]
