"""What the workstation's commands need beyond a device's packages, and how to get it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from edge_asd.errors import UnavailableError

EXPORT_PACKAGES = ("torch", "onnx")
"""What training, ONNX export and quantisation import."""
TFLITE_PACKAGES = (*EXPORT_PACKAGES, "litert_torch", "ai_edge_quantizer", "ai_edge_litert")
"""What the TFLite export imports, all of the extra `tflite-export`."""


def need(packages: Sequence[str] = EXPORT_PACKAGES, extra: str = "export") -> None:
    """Raise UnavailableError (exit 69) unless all `packages` are installed, naming the one install that mends it."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(f"{', '.join(missing)} not installed", remedy=f"pip install 'edge-asd[{extra}]'")
