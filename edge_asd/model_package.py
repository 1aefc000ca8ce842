"""The model package: a directory with `model.json` (contract, hashes, provenance) and its networks.

A model is one graph or two: an embedder, and a scorer on its embeddings or on the window itself. Each may be there in
several formats and precisions: `graphs` in model.json names each file by graph, format and precision. (Schema 2 knew
one graph, `files` by format and precision, and is still what a model of an embedder alone is written in; schema 1 knew
ONNX only.)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from edge_asd.contract import ModelContract
from edge_asd.errors import DataError, MissingInputError, UsageError

DEFAULT_PACKAGE = Path(__file__).parent / "models" / "mfn-128"
"""The embedder that ships with edge-asd."""

PRECISIONS = ("int8", "fp32")
FORMATS = ("onnx", "tflite", "ort")
PACKAGE_SCHEMA = 3
EMBEDDER, SCORER = GRAPHS = ("embedder", "scorer")
MANIFEST = "model.json"


@dataclass(frozen=True)
class Network:
    """One graph's file. data: its bytes. format: one of `FORMATS`. precision: one of `PRECISIONS`."""

    data: bytes
    format: str
    precision: str


@dataclass(frozen=True)
class Model:
    """One model ready to load.

    contract: what it expects and gives.
    precision: "int8" or "fp32", of the embedder; without one, of the scorer.
    network: the embedder file's bytes; empty where there is only a scorer.
    provenance: how it was made (recipe, seed, tool versions), for people.
    network_format: of `network`, one of `FORMATS`; without an embedder, of the scorer.
    scorer: the second graph, where the contract names one; its precision may be another.
    """

    contract: ModelContract
    precision: str
    network: bytes
    provenance: dict[str, Any]
    network_format: str = "onnx"
    scorer: Network | None = None

    @property
    def graphs(self) -> dict[str, Network]:
        """The graphs there are, by their names in `GRAPHS`."""
        embedder = Network(self.network, self.network_format, self.precision)
        own = {EMBEDDER: embedder} if self.contract.has_embedder else {}
        return own if self.scorer is None else {**own, SCORER: self.scorer}

    def for_section(self, section: str) -> Model:
        """The same model, watching `section`. Raises DataError for one it was not trained on."""
        return dataclasses.replace(self, contract=self.contract.for_section(section))

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
    """Read a model from its package, one network a graph, and check their sizes and hashes.

    precision: where one of two graphs has another precision only (a flow does badly in int8), it is taken in that.
    formats: acceptable ones, the preferred first (`edge_asd.inference.runnable_formats` tells what can be run here).
    Raises MissingInputError, DataError (not a package, damaged, newer schema, a graph is missing), UsageError (no such
    network).
    """
    package = Path(package)
    manifest = read_manifest(package)
    contract = ModelContract.from_dict(manifest.get("contract"))
    wanted = [name for name, there in ((EMBEDDER, contract.has_embedder), (SCORER, contract.has_scorer)) if there]
    for name in wanted:
        if not manifest["graphs"].get(name):
            raise DataError(f"{package}: the contract names a {name}, but the package has none", remedy="export anew")
    if not any(_holds(manifest["graphs"][name], precision, formats) for name in wanted):
        _refuse(package, manifest["graphs"][wanted[0]], precision, formats)
    found = [_network(package, manifest["graphs"][name], precision, formats) for name in wanted]
    scorer = found[-1] if contract.has_scorer else None
    first = found[0]
    data = first.data if contract.has_embedder else b""
    provenance = manifest.get("provenance", {})
    other = {name: own.precision for name, own in zip(wanted, found, strict=True) if own.precision != precision}
    if other:
        provenance = {**provenance, "precision": {**other, "because": f"the package has no {precision} of it"}}
    return Model(contract, first.precision, data, provenance, first.format, scorer)


def _holds(entries: Mapping[str, Any], precision: str, formats: Sequence[str]) -> bool:
    return any(precision in entries.get(name, {}) for name in formats)


def _refuse(package: Path, entries: Mapping[str, Any], precision: str, formats: Sequence[str]) -> NoReturn:
    held = ", ".join(f"{p} ({name})" for name, own in entries.items() for p in sorted(own))
    raise UsageError(f"{package}: no {precision} network ({' or '.join(formats)})", remedy=f"it holds {held}")


def _network(package: Path, entries: Mapping[str, Any], wanted: str, formats: Sequence[str]) -> Network:
    """One graph's file, in another precision where it has not the wanted one."""
    for precision in (wanted, *PRECISIONS):
        for name in formats:
            entry = entries.get(name, {}).get(precision)
            if entry is None:
                continue
            path = package / Path(str(entry.get("file"))).name
            if not path.is_file():
                raise MissingInputError(f"{path}: named in model.json but not there")
            data = path.read_bytes()
            check_member(str(path), data, entry)
            return Network(data, name, precision)
    _refuse(package, entries, wanted, formats)


def load_all(package: Path = DEFAULT_PACKAGE) -> list[Model]:
    """The model in every format and precision of its first graph, checked; errors as for `load_model`."""
    files = leading(read_manifest(Path(package)))
    return [load_model(package, precision, (name,)) for name, entries in files.items() for precision in entries]


def leading(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Entries, by format and precision, of the graph a model is named after: its embedder, else its scorer."""
    graphs: Mapping[str, dict[str, dict[str, Any]]] = manifest["graphs"]
    return graphs.get(EMBEDDER) or graphs.get(SCORER) or {}


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
    graphs = manifest.get("graphs")
    if manifest["schema"] < PACKAGE_SCHEMA:
        files = manifest.get("files")
        graphs = {EMBEDDER: {"onnx": files} if manifest["schema"] == 1 else files}
        manifest = {"graphs" if name == "files" else name: value for name, value in manifest.items()}
    if not _are_graphs(graphs):
        raise DataError(f"{path}: the networks' files are missing")
    return {**manifest, "schema": PACKAGE_SCHEMA, "graphs": graphs}


def as_written(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest as `read_manifest` gives it, in the oldest schema that can say it."""
    if set(manifest["graphs"]) - {EMBEDDER}:
        return {**manifest, "schema": PACKAGE_SCHEMA}
    plain = {"files" if name == "graphs" else name: value for name, value in manifest.items()}
    return {**plain, "schema": 2, "files": manifest["graphs"].get(EMBEDDER, {})}


def _are_graphs(graphs: Any) -> bool:
    """Whether this is graph -> format -> precision -> entry."""
    entries: list[Any] = [graphs]
    for _ in range(3):
        if not all(isinstance(level, dict) for level in entries):
            return False
        entries = [inner for level in entries for inner in level.values()]
    return set(graphs) <= set(GRAPHS) and all(isinstance(entry, dict) for entry in entries)


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
