"""The finished model package: networks, contract, hashes and how it was made, in one directory."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.atomic import write_atomically
from edge_asd.contract import ModelContract
from edge_asd.model_package import MANIFEST, PACKAGE_SCHEMA, describe_member, read_manifest


def write_package(
    out_dir: Path, contract: ModelContract, networks: Mapping[tuple[str, str], bytes], provenance: dict[str, Any]
) -> None:
    """Write `networks` and `model.json` to `out_dir`, the manifest last.

    networks: (format, precision) -> the network file, such as ("onnx", "int8").
    Raises StorageError when the disk refuses.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Any]] = {}
    for (network_format, precision), network in networks.items():
        name = f"{precision}.{network_format}"
        write_atomically(out_dir / name, network)
        files.setdefault(network_format, {})[precision] = {"file": name, **describe_member(network)}
    manifest = {
        "schema": PACKAGE_SCHEMA,
        "contract": contract.to_dict(),
        "files": files,
        "provenance": provenance,
    }
    write_atomically(out_dir / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())


def add_network(package: Path, network_format: str, precision: str, network: bytes, provenance: dict[str, Any]) -> None:
    """Add a network to a package, or replace the one of this format and precision; `provenance` joins the package's.

    Raises MissingInputError, DataError (not a package), StorageError.
    """
    manifest = read_manifest(package)
    name = f"{precision}.{network_format}"
    write_atomically(package / name, network)
    manifest["files"].setdefault(network_format, {})[precision] = {"file": name, **describe_member(network)}
    manifest["provenance"] = {**manifest.get("provenance", {}), **provenance}
    write_atomically(package / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())


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
