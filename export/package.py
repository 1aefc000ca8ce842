"""The finished model package: networks, contract, hashes and how it was made, in one directory."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.atomic import write_atomically
from edge_asd.contract import SCHEMA_VERSION, ModelContract
from edge_asd.model_package import describe_member


def write_package(
    out_dir: Path, contract: ModelContract, networks: dict[str, bytes], provenance: dict[str, Any]
) -> None:
    """Write `networks` (precision -> ONNX file) and `model.json` to `out_dir`, the manifest last.

    Raises StorageError when the disk refuses.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    files = {}
    for precision, network in networks.items():
        name = f"{precision}.onnx"
        write_atomically(out_dir / name, network)
        files[precision] = {"file": name, **describe_member(network)}
    manifest = {
        "schema": SCHEMA_VERSION,
        "contract": contract.to_dict(),
        "files": files,
        "provenance": provenance,
    }
    write_atomically(out_dir / "model.json", (json.dumps(manifest, indent=2) + "\n").encode())


def tool_versions() -> dict[str, str]:
    """Versions of what shaped the numbers."""
    import onnx
    import onnxruntime
    import torch

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
