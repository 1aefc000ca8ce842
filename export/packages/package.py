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
from edge_asd.model_package import EMBEDDER, MANIFEST, SCORER, as_written, describe_member, read_manifest


def write_package(
    out_dir: Path,
    contract: ModelContract,
    networks: Mapping[tuple[str, str], bytes],
    provenance: dict[str, Any],
    scorers: Mapping[tuple[str, str], bytes] | None = None,
) -> None:
    """Write the networks and `model.json` to `out_dir`, the manifest last.

    networks: (format, precision) -> the embedder's file, such as ("onnx", "int8"). scorers: the same of the scorer.
    Raises StorageError when the disk refuses.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    graphs: dict[str, dict[str, dict[str, Any]]] = {}
    for graph, files in ((EMBEDDER, networks), (SCORER, scorers or {})):
        for (network_format, precision), network in files.items():
            entry = _written(out_dir, graph, network_format, precision, network)
            graphs.setdefault(graph, {}).setdefault(network_format, {})[precision] = entry
    _write_manifest(out_dir, {"schema": 0, "contract": contract.to_dict(), "graphs": graphs, "provenance": provenance})


def add_network(
    package: Path,
    network_format: str,
    precision: str,
    network: bytes,
    provenance: dict[str, Any],
    graph: str = EMBEDDER,
) -> None:
    """Add a network to a package, or replace the one of this format and precision; `provenance` joins the package's.

    graph: which of the model's it is, one of `edge_asd.model_package.GRAPHS`.

    Raises MissingInputError, DataError (not a package), StorageError.
    """
    manifest = read_manifest(package)
    entry = _written(package, graph, network_format, precision, network)
    manifest["graphs"].setdefault(graph, {}).setdefault(network_format, {})[precision] = entry
    manifest["provenance"] = {**manifest.get("provenance", {}), **provenance}
    _write_manifest(package, manifest)


def _written(package: Path, graph: str, network_format: str, precision: str, network: bytes) -> dict[str, Any]:
    """Write one network's file; its entry in the manifest."""
    name = f"{'' if graph == EMBEDDER else f'{graph}-'}{precision}.{network_format}"
    write_atomically(package / name, network)
    return {"file": name, **describe_member(network)}


def _write_manifest(package: Path, manifest: dict[str, Any]) -> None:
    write_atomically(package / MANIFEST, (json.dumps(as_written(manifest), indent=2) + "\n").encode())


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
