"""The model package: a directory with `model.json` (contract, hashes, provenance) and one network file a precision."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.contract import SCHEMA_VERSION, ModelContract
from edge_asd.errors import DataError, MissingInputError, UsageError

DEFAULT_PACKAGE = Path(__file__).parent / "models" / "mfn-128"
"""The embedder that ships with edge-asd."""

PRECISIONS = ("int8", "fp32")


@dataclass(frozen=True)
class Model:
    """One network ready to load.

    contract: what it expects and gives.
    precision: "int8" or "fp32".
    network: the ONNX file's bytes.
    provenance: how it was made (recipe, seed, tool versions), for people.
    """

    contract: ModelContract
    precision: str
    network: bytes
    provenance: dict[str, Any]

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


def load_model(package: Path = DEFAULT_PACKAGE, precision: str = "int8") -> Model:
    """Read one precision of a model package and check its size and hash.

    Raises MissingInputError, DataError (not a package, damaged, newer schema), UsageError (no such precision).
    """
    package = Path(package)
    manifest_path = package / "model.json"
    if not manifest_path.is_file():
        raise MissingInputError(f"{package}: no model package there (model.json is missing)")
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{manifest_path}: not valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise DataError(f"{manifest_path}: expected an object")
    check_schema(manifest.get("schema"), manifest_path)
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise DataError(f"{manifest_path}: 'files' is missing")
    if precision not in files:
        raise UsageError(f"{package}: no {precision!r} network", remedy=f"it holds {', '.join(sorted(files))}")
    entry = files[precision]
    network_path = package / Path(str(entry.get("file"))).name
    if not network_path.is_file():
        raise MissingInputError(f"{network_path}: named in model.json but not there")
    network = network_path.read_bytes()
    check_member(str(network_path), network, entry)
    return Model(ModelContract.from_dict(manifest.get("contract")), precision, network, manifest.get("provenance", {}))


def check_schema(schema: Any, where: object, newest: int = SCHEMA_VERSION, oldest: int = 1) -> None:
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
