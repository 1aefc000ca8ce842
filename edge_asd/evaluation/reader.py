"""From a clip to what scoring needs of it, out of the cache where its content was met before. Runs in the workers."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd import __version__
from edge_asd.clips import LOG_MEL_SUFFIX
from edge_asd.enrolment.hearing import HeardClip, HeardPiece, hear_clip
from edge_asd.errors import EdgeAsdError, MissingInputError
from edge_asd.evaluation.cache import ArrayCache
from edge_asd.frontend import LogMel
from edge_asd.inference import Embedder, load_embedder
from edge_asd.inference.runtimes import AUTO
from edge_asd.model_package import Model
from edge_asd.scorers import ScorerSpec, uses_network

CODE = (
    "audio",
    "inference",
    "native",
    "scorers",
    "calibration/aggregation.py",
    "clips.py",
    "contract.py",
    "enrolment/hearing.py",
    "frontend.py",
    "spectra.py",
    "windows.py",
)
"""Files and rooms whose code makes the features: another version of them shares no cache entry with this one."""
LIBRARIES = ("numpy", "onnxruntime", "ai-edge-litert", "tflite-runtime", "soundfile", "soxr")


@dataclass(frozen=True)
class Listener:
    """How clips are heard: the network, the features that are compared, and the runtime of the network."""

    model: Model
    specs: tuple[ScorerSpec, ...]
    runtime: str = AUTO


@dataclass(frozen=True)
class ClipTask:
    """One clip to hear.

    listener: index of the listener. channel: to listen to, None = the first. whole: in one piece, as clips are scored;
        otherwise in the pieces that enrolment takes.
    """

    file: str
    listener: int
    channel: int | None
    whole: bool


@dataclass(frozen=True)
class Failure:
    """A clip that cannot be used, and why, naming it."""

    error: str


@dataclass(frozen=True)
class Heard:
    """A clip as `HeardClip`; note: what was chosen for the user, in words. cached: nothing had to be computed."""

    clip: HeardClip
    note: str
    cached: bool


def make_reader(listeners: Sequence[Listener], cache: Path | None) -> Callable[[ClipTask], Heard | Failure]:
    """What a worker does with its clips; networks are loaded when the first clip needs them."""
    return _Reader(listeners, ArrayCache(cache) if cache is not None else None).read


class _Reader:
    def __init__(self, listeners: Sequence[Listener], cache: ArrayCache | None) -> None:
        self._listeners = listeners
        self._cache = cache
        self._embedders: dict[int, Embedder] = {}
        self._keys = [_KeyMaker(listener) for listener in listeners] if cache is not None else []

    def read(self, task: ClipTask) -> Heard | Failure:
        try:
            if self._cache is None:
                return self._compute(task)
            key = self._keys[task.listener].key(task)
            found = self._cache.get(key)
            heard = _from_arrays(found) if found is not None else None
            if heard is None:
                heard = self._compute(task)
                self._cache.put(key, _as_arrays(heard))
            return heard
        except EdgeAsdError as error:
            return Failure(str(error))
        except OSError as error:
            return Failure(f"{task.file}: cannot be read: {error.strerror or error}")

    def _compute(self, task: ClipTask) -> Heard:
        listener = self._listeners[task.listener]
        notes: list[str] = []
        embedder = None
        if uses_network(listener.specs):
            if task.listener not in self._embedders:
                self._embedders[task.listener] = load_embedder(listener.model, listener.runtime)
            embedder = self._embedders[task.listener]
        clip = hear_clip(
            Path(task.file),
            listener.model.contract,
            listener.specs,
            embedder,
            channel=task.channel,
            whole=task.whole,
            on_note=notes.append,
        )
        return Heard(clip, " ".join(notes), cached=False)


class _KeyMaker:
    """Cache keys of one listener: the hash of all that shapes the features."""

    def __init__(self, listener: Listener) -> None:
        described: dict[str, Any] = {
            "contract": listener.model.contract.to_dict(),
            "features": sorted({spec.features for spec in listener.specs}),
            "networks": _hashes(listener.model) if uses_network(listener.specs) else {},
            "runtime": listener.runtime,
            "kernel": LogMel(listener.model.contract.features, padded=True).kernel,
            "code": code_version(),
            "libraries": {name: _library_version(name) for name in LIBRARIES},
            "machine": platform.machine(),
        }
        self._common = json.dumps(described, sort_keys=True).encode()

    def key(self, task: ClipTask) -> str:
        path = Path(task.file)
        digest = hashlib.sha256(self._common)
        dump = path.suffix.lower() == LOG_MEL_SUFFIX  # a dump is told from sound by its name alone
        digest.update(json.dumps([task.channel, task.whole, dump]).encode())
        try:
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        except FileNotFoundError as error:
            raise MissingInputError(f"{path}: no such file") from error
        return digest.hexdigest()


def _hashes(model: Model) -> dict[str, str]:
    return {graph: hashlib.sha256(network.data).hexdigest() for graph, network in model.graphs.items()}


def code_version() -> str:
    """Hash of the code that makes the features; the version where its source is not there."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256(__version__.encode())
    for name in CODE:
        place = package / name
        for source in sorted(place.iterdir()) if place.is_dir() else [place]:
            if source.suffix in (".py", ".c") and source.is_file():
                digest.update(source.read_bytes())
    return digest.hexdigest()


def _library_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _as_arrays(heard: Heard) -> dict[str, np.ndarray]:
    clip = heard.clip
    arrays = {
        "seconds": np.array(clip.seconds),
        "level_dbfs": np.array(np.nan if clip.level_dbfs is None else clip.level_dbfs),
        "words": np.array([heard.note, *clip.problems]),
        "frames": np.array([piece.n_frames for piece in clip.pieces]),
        "windows": np.array([len(piece.spectra_db) for piece in clip.pieces]),
        "spectra_db": np.concatenate([piece.spectra_db for piece in clip.pieces]),
        "impulsiveness": np.array([piece.impulsiveness_db for piece in clip.pieces]),
    }
    for name in clip.pieces[0].features:
        arrays[f"features/{name}"] = np.concatenate([piece.features[name] for piece in clip.pieces])
    return arrays


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Heard | None:
    """The inverse of `_as_arrays`; None for an entry that is not whole."""
    try:
        cuts = np.cumsum(arrays["windows"])[:-1]
        split = {name: np.split(array, cuts) for name, array in arrays.items() if "/" in name or name.endswith("_db")}
        pieces = tuple(
            HeardPiece(
                features={name.removeprefix("features/"): parts[i] for name, parts in split.items() if "/" in name},
                spectra_db=split["spectra_db"][i],
                impulsiveness_db=float(arrays["impulsiveness"][i]),
                n_frames=int(n_frames),
            )
            for i, n_frames in enumerate(arrays["frames"])
        )
        level_dbfs = float(arrays["level_dbfs"])
        note, *problems = (str(word) for word in arrays["words"])
        clip = HeardClip(
            float(arrays["seconds"]), None if np.isnan(level_dbfs) else level_dbfs, tuple(problems), pieces
        )
        return Heard(clip, note, cached=True)
    except (KeyError, IndexError, ValueError):
        return None
