"""Integer operations counted in TFLite files."""

from __future__ import annotations

import pytest

pytest.importorskip("ai_edge_litert", reason="the litert extra is not installed")

from edge_asd.errors import DataError
from edge_asd.model_package import load_model
from export.formats.integer_ops import OpCount, require_integer
from export.formats.tflite_ops import tflite_integer_ops


def test_the_twin_is_integer_but_for_its_float_ends() -> None:
    twin = load_model(formats=("tflite",))
    ends = twin.provenance["tflite_int8"]
    count = tflite_integer_ops(twin.network)
    assert count.all == 23
    assert count.integer == count.all - ends["float_first"] - ends["float_last"]
    require_integer(count, "twin")


@pytest.mark.parametrize("cut", [0, 6, 8, 40, 5000, 100_000])
def test_a_damaged_file_is_refused(cut: int) -> None:
    network = load_model(formats=("tflite",)).network[:cut]
    with pytest.raises(DataError, match="TFLite network"):
        tflite_integer_ops(network)


def test_a_float_network_named_int8_is_refused() -> None:
    with pytest.raises(DataError, match="a float model passed as int8: 0 of 23"):
        require_integer(OpCount(0, 23), "int8.tflite")
