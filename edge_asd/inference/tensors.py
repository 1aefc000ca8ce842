"""The one place where a network's own numbers (int8, uint8, float) and the pipeline's float32 meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_asd.errors import DataError


@dataclass(frozen=True)
class TensorScaling:
    """How a tensor stores real numbers: value = scale * (stored - zero_point); floats are stored as they are.

    dtype: of the tensor.
    scale, zero_point: unused for floats.
    """

    dtype: np.dtype
    scale: float = 0.0
    zero_point: int = 0

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> TensorScaling:
        """From a TFLite interpreter's tensor details. Raises DataError for an integer tensor without a scale."""
        dtype = np.dtype(details["dtype"])
        if dtype.kind == "f":
            return cls(dtype)
        scale, zero_point = details["quantization"]
        if dtype.kind not in "iu" or not scale > 0:
            raise DataError(f"the network's tensor {details['name']} is {dtype} without a scale")
        return cls(dtype, float(scale), int(zero_point))

    def stored(self, values: np.ndarray) -> np.ndarray:
        """float32 -> what the tensor takes; values beyond an integer tensor's range become its ends."""
        if self.dtype.kind == "f":
            return values.astype(self.dtype, copy=False)
        limits = np.iinfo(self.dtype)
        codes = np.rint(values * np.float32(1.0 / self.scale)) + np.float32(self.zero_point)
        return np.clip(codes, limits.min, limits.max).astype(self.dtype)

    def real(self, stored: np.ndarray) -> np.ndarray:
        """What the tensor gives -> float32."""
        values = stored.astype(np.float32)
        return values if self.dtype.kind == "f" else (values - np.float32(self.zero_point)) * np.float32(self.scale)
