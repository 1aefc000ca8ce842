"""Numbers on their way into and out of a network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.errors import DataError
from edge_asd.inference.tensors import TensorScaling


def details(dtype: type, scale: float = 0.0, zero_point: int = 0) -> dict[str, object]:
    return {"name": "x", "dtype": dtype, "quantization": (scale, zero_point)}


def test_floats_pass_untouched() -> None:
    values = np.array([-1e9, 0.1, 3.4], np.float32)
    scaling = TensorScaling.of(details(np.float32))
    np.testing.assert_array_equal(scaling.stored(values), values)
    np.testing.assert_array_equal(scaling.real(values), values)


def test_integers_are_scaled_and_end_at_their_limits() -> None:
    scaling = TensorScaling.of(details(np.int8, 0.5, 3))
    stored = scaling.stored(np.array([0.0, 1.0, -1.24, 1000.0, -1000.0], np.float32))
    assert stored.dtype == np.int8
    assert stored.tolist() == [3, 5, 1, 127, -128]
    np.testing.assert_allclose(scaling.real(stored), [0.0, 1.0, -1.0, 62.0, -65.5])


@given(st.sampled_from([np.int8, np.uint8, np.int16]), st.floats(1e-3, 10.0), st.integers(0, 100), st.floats(0.0, 1.0))
def test_the_way_there_and_back_costs_half_a_step(dtype: type, scale: float, zero_point: int, share: float) -> None:
    limits = np.iinfo(dtype)
    value = np.float32(scale * (limits.min + share * (limits.max - limits.min) - zero_point))
    scaling = TensorScaling(np.dtype(dtype), scale, zero_point)
    assert abs(float(scaling.real(scaling.stored(np.array([value])))[0]) - float(value)) <= 0.51 * scale


def test_an_integer_tensor_without_a_scale_is_refused() -> None:
    with pytest.raises(DataError, match="x is int8 without a scale"):
        TensorScaling.of(details(np.int8))
