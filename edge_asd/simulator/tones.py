"""Periodic sound: everything locked to a shaft is one table read at the shaft's angle."""

from __future__ import annotations

import numpy as np

TABLE_SIZE = 16384
"""Points in one turn: linear reading keeps order 300 within -50 dB of the true sine."""


def turn_table(orders: np.ndarray, amplitudes: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """One turn of a sum of cosines, float32 [TABLE_SIZE].

    orders: int [k], cycles a turn, 1 .. TABLE_SIZE / 2 - 1. amplitudes, phases (rad): float [k].
    """
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, np.complex64)
    np.add.at(spectrum, orders, amplitudes * np.exp(1j * phases) * (TABLE_SIZE / 2))
    return np.fft.irfft(spectrum, TABLE_SIZE).astype(np.float32)


def read_table(table: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """The table's value at each angle, float32 [n]. turns: float64 [n], revolutions since any start."""
    place = (turns - np.floor(turns)) * TABLE_SIZE
    index = place.astype(np.int32)
    # A fraction rounded up to a whole turn would read past the end.
    np.minimum(index, TABLE_SIZE - 1, out=index)
    fraction = (place - index).astype(np.float32)
    value = table[index]
    rise = np.append(np.diff(table), table[0] - table[-1])
    value += rise[index] * fraction
    return value


def beat(turns: np.ndarray, order: float, depth: float, sharpness: float) -> np.ndarray:
    """A gain that swells `order` times a turn, unit mean, float32 [n].

    depth: 0 none .. 1 down to nothing. sharpness: 0 a cosine; larger makes short bursts with rests between.
    """
    angle = turns * order
    swell = np.cos(2.0 * np.pi * (angle - np.floor(angle)).astype(np.float32))
    if sharpness > 0.0:
        np.exp(np.float32(sharpness) * (swell - 1.0), out=swell)
        swell /= np.float32(max(float(swell.mean()), 1e-3))
        swell -= 1.0
    return 1.0 + np.float32(depth) * swell
