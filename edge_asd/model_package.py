"""The model package: a directory with `model.json` (contract, hashes, provenance) and its networks.

The same network may be there in several formats and precisions: `files` in model.json names each file by format, then
precision. (Schema 1 knew ONNX only and named files by precision.)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.contract import ModelContract
from edge_asd.errors import DataError, MissingInputError, UsageError

DEFAULT_PACKAGE = Path(__file__).parent / "models" / "mfn-128"
"""The embedder that ships with edge-asd."""

PRECISIONS = ("int8", "fp32")
FORMATS = ("onnx", "tflite", "ort")
PACKAGE_SCHEMA = 2
MANIFEST = "model.json"


@dataclass(frozen=True)
class Model:
    """One network ready to load.

    contract: what it expects and gives.
    precision: "int8" or "fp32".
    network: the network file's bytes.
    provenance: how it was made (recipe, seed, tool versions), for people.
    network_format: of `network`, one of `FORMATS`.
    """

    contract: ModelContract
    precision: str
    network: bytes
    provenance: dict[str, Any]
    network_format: str = "onnx"

    def with_step(self, step_s: float) -> Model:
        """The same network, a window every `step_s` seconds; UsageError for less than a frame or more than a window."""
        features = self.contract.features
        frames = round(step_s * features.rate_hz / features.hop_samples)
        if not 1 <= frames <= self.contract.window_frames:
            frame_s = features.hop_samples / features.rate_hz
            raise UsageError(
                f"a step of {step_s:g} s does not fit {self.contract.name}",
                remedy=f"give {frame_s:.3f} to {frame_s * self.contract.window_frames:.3f} s",
            )
        return dataclasses.replace(self, contract=dataclasses.replace(self.contract, step_frames=frames))


def load_model(package: Path = DEFAULT_PACKAGE, precision: str = "int8", formats: Sequence[str] = FORMATS) -> Model:
    """Read one network of a model package and check its size and hash.

    formats: acceptable ones, the preferred first (`edge_asd.inference.runnable_formats` tells what can be run here).
    Raises MissingInputError, DataError (not a package, damaged, newer schema), UsageError (no such network).
    """
    package = Path(package)
    manifest = read_manifest(package)
    files = manifest["files"]
    chosen = next((name for name in formats if precision in files.get(name, {})), None)
    if chosen is None:
        held = ", ".join(f"{p} ({name})" for name, entries in files.items() for p in sorted(entries))
        raise UsageError(f"{package}: no {precision} network ({' or '.join(formats)})", remedy=f"it holds {held}")
    entry = files[chosen][precision]
    network_path = package / Path(str(entry.get("file"))).name
    if not network_path.is_file():
        raise MissingInputError(f"{network_path}: named in model.json but not there")
    network = network_path.read_bytes()
    check_member(str(network_path), network, entry)
    contract = ModelContract.from_dict(manifest.get("contract"))
    return Model(contract, precision, network, manifest.get("provenance", {}), chosen)


def load_all(package: Path = DEFAULT_PACKAGE) -> list[Model]:
    """Every network of a package, checked; errors as for `load_model`."""
    files = read_manifest(Path(package))["files"]
    return [load_model(package, precision, (name,)) for name, entries in files.items() for precision in entries]


def holds_network(path: Path) -> bool:
    """Whether `path` is a network file, or a directory with one in it."""
    return any(file.suffix[1:] in FORMATS for file in (path, *path.glob("*")) if file.is_file())


def read_manifest(package: Path) -> dict[str, Any]:
    """`model.json` of a package, in today's schema. Raises MissingInputError, DataError."""
    path = package / MANIFEST
    if not path.is_file():
        if holds_network(package):
            raise DataError(
                f"{package}: a network without a contract (model.json is missing)",
                remedy="name a model package, the directory that edge-asd export wrote",
            )
        raise MissingInputError(f"{package}: no model package there (model.json is missing)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise DataError(f"{path}: expected an object")
    check_schema(manifest.get("schema"), path, newest=PACKAGE_SCHEMA)
    files = manifest.get("files")
    if manifest["schema"] == 1:
        files = {"onnx": files}
    if not isinstance(files, dict) or not all(
        isinstance(entries, dict) and all(isinstance(entry, dict) for entry in entries.values())
        for entries in files.values()
    ):
        raise DataError(f"{path}: 'files' is missing")
    return {**manifest, "schema": PACKAGE_SCHEMA, "files": files}


def check_schema(schema: Any, where: object, newest: int, oldest: int = 1) -> None:
    """Refuse a file of no schema, or of one newer or older than can be read."""
    if not isinstance(schema, int) or schema < 1:
        raise DataError(f"{where}: no schema version, not made by edge-asd")
    if schema > newest:
        raise DataError(
            f"{where}: schema {schema} is newer than this edge-asd reads ({newest})", remedy="upgrade edge-asd"
        )
    if schema < oldest:
        raise DataError(f"{where}: schema {schema} is older than this edge-asd reads ({oldest})", remedy="make it anew")


def describe_member(data: bytes) -> dict[str, Any]:
    """Size and SHA-256 as manifests record them."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def check_member(name: str, data: bytes, entry: dict[str, Any]) -> None:
    """Raise DataError unless `data` has the size and hash its manifest entry records."""
    expected = {key: entry.get(key) for key in ("bytes", "sha256")}
    if describe_member(data) != expected:
        raise DataError(
            f"{name}: {len(data)} bytes that do not match the recorded size ({expected['bytes']}) and hash",
            remedy="the file is damaged: copy or make it again",
        )
