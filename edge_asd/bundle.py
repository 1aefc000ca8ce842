"""The `.asd` file: one machine's model, bank and calibration in one checked archive.

It is a plain ZIP without compression (`unzip -l fan.asd` lists it): `manifest.json` names every other member with its
size and SHA-256. Nothing in it is executed or unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.atomic import write_atomically
from edge_asd.bank import EmbeddingBank
from edge_asd.calibration import Calibration, EnrolmentScores, fit_stream
from edge_asd.clips import ClipScore, score_frames
from edge_asd.contract import SCHEMA_VERSION, ModelContract
from edge_asd.detector import Detector
from edge_asd.errors import DataError, MissingInputError, StorageError
from edge_asd.inference import Embedder, load_embedder
from edge_asd.model_package import Model, check_member, check_schema, describe_member
from edge_asd.normal import VIEWS, NormalSound
from edge_asd.spectra import SpectrumBank

FORMAT = "edge-asd bundle"
_ARRAYS = {
    "embeddings": ("vectors", "scales"),
    "spectra": ("levels_db",),
    "enrolment_scores": ("distances", "pieces"),
}
"""Members that are arrays: what they make up -> its fields."""
MAX_BUNDLE_BYTES = 256 * 2**20
"""Larger is no bundle (a device node would otherwise fill the memory)."""
_MANIFEST = "manifest.json"
_NETWORK = "model.onnx"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Same content, same bytes: members carry no time of their own."""


@dataclass(frozen=True)
class Bundle:
    """Everything a device needs to watch one machine.

    model: the network and its contract.
    normal: embeddings and spectra of normal windows.
    enrolment_scores: the enrolment scored against itself.
    clip_calibration: threshold for the mean score of a clip.
    live_calibrations: thresholds for a stream's score, by the number of windows it averages: 1, 2, ...
    enrolment: what was heard (seconds, windows, level, warnings), for people and health checks.
    provenance: who made the bundle, when, with what.
    """

    model: Model
    normal: NormalSound
    enrolment_scores: EnrolmentScores
    clip_calibration: Calibration
    live_calibrations: tuple[Calibration, ...]
    enrolment: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def contract(self) -> ModelContract:
        """The model's contract."""
        return self.model.contract

    @cached_property
    def embedder(self) -> Embedder:
        """The model, started on first use."""
        return load_embedder(self.model)

    def detector(self, *, smoothing_s: float | None = None, percentile: float | None = None) -> Detector:
        """A detector for one stream.

        smoothing_s, percentile: other than the bundle was calibrated for; the live threshold is then fitted anew.
        """
        calibrations = self.live_calibrations
        if smoothing_s is not None or percentile is not None:
            n_windows = len(calibrations) if smoothing_s is None else self.contract.windows_in(smoothing_s)
            calibrations = fit_stream(self.enrolment_scores, n_windows, percentile or calibrations[0].percentile)
        return Detector(self.embedder, self.normal, calibrations)

    def score_clip(self, frames: np.ndarray) -> ClipScore:
        """Score a clip's log-mel frames [n, n_mels]."""
        return score_frames(frames, self.embedder, self.normal, self.clip_calibration)


def save_bundle(bundle: Bundle, path: Path) -> None:
    """Write the bundle whole or not at all. Raises StorageError, MissingInputError."""
    members = {_NETWORK: bundle.model.network}
    owners = {
        "embeddings": bundle.normal.embeddings,
        "spectra": bundle.normal.spectra,
        "enrolment_scores": bundle.enrolment_scores,
    }
    for owner, names in _ARRAYS.items():
        for name in names:
            buffer = io.BytesIO()
            np.save(buffer, getattr(owners[owner], name), allow_pickle=False)
            members[_array_member(owner, name)] = buffer.getvalue()
    manifest = {
        "format": FORMAT,
        "schema": SCHEMA_VERSION,
        "contract": bundle.contract.to_dict(),
        "precision": bundle.model.precision,
        "model_provenance": bundle.model.provenance,
        "calibration": {
            "clip": bundle.clip_calibration.to_dict(),
            "live": [calibration.to_dict() for calibration in bundle.live_calibrations],
        },
        "enrolment": bundle.enrolment,
        "provenance": bundle.provenance,
        "members": {name: describe_member(data) for name, data in members.items()},
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        described = json.dumps(manifest, indent=1, allow_nan=False).encode()
        file.comment = _seal(described)
        file.writestr(zipfile.ZipInfo(_MANIFEST, _EPOCH), described)
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    write_atomically(Path(path), archive.getvalue())


def load_bundle(path: Path) -> Bundle:
    """Read a bundle and check every member's size and hash.

    Raises MissingInputError, StorageError, DataError (not a bundle, damaged, cut short, of a newer schema).
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BUNDLE_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingInputError(f"{path}: no such bundle", remedy="make one with edge-asd enroll") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: a directory, not a bundle", remedy="name the .asd file") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror}") from error
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            if any(info.compress_type != zipfile.ZIP_STORED for info in file.infolist()):
                raise zipfile.BadZipFile("compressed members, which edge-asd never writes")
            members = {name: file.read(name) for name in file.namelist()}
            seal = file.comment
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise DataError(f"{path}: damaged or not a bundle ({error})", remedy="copy it again or enrol again") from error
    manifest = _manifest(members, path)
    if seal != _seal(members[_MANIFEST]):
        raise DataError(f"{path}: the manifest does not match its hash", remedy="copy it again or enrol again")
    for name, entry in manifest["members"].items():
        if name not in members:
            raise DataError(f"{path}: member {name} is missing", remedy="copy the bundle again")
        check_member(f"{path}: {name}", members[name], entry)
    try:
        arrays = {
            owner: {
                name: np.load(io.BytesIO(members[_array_member(owner, name)]), allow_pickle=False) for name in names
            }
            for owner, names in _ARRAYS.items()
        }
        model = Model(
            ModelContract.from_dict(manifest["contract"]),
            str(manifest["precision"]),
            members[_NETWORK],
            manifest["model_provenance"],
        )
        bundle = Bundle(
            model=model,
            normal=NormalSound(EmbeddingBank(**arrays["embeddings"]), SpectrumBank(**arrays["spectra"])),
            enrolment_scores=EnrolmentScores(**arrays["enrolment_scores"]),
            clip_calibration=Calibration.from_dict(manifest["calibration"]["clip"]),
            live_calibrations=tuple(Calibration.from_dict(live) for live in manifest["calibration"]["live"]),
            enrolment=manifest["enrolment"],
            provenance=manifest["provenance"],
        )
    except (KeyError, TypeError, ValueError, EOFError) as error:
        raise DataError(f"{path}: incomplete bundle ({error!r})", remedy="enrol again") from error
    expected = (model.contract.embedding_size, 2 * model.contract.features.n_mels, *3 * [len(VIEWS)])
    found = (
        bundle.normal.embeddings.vectors.shape[1],
        bundle.normal.spectra.levels_db.shape[1],
        bundle.enrolment_scores.distances.shape[1],
        len(bundle.clip_calibration.fusion.shapes),
        *{len(live.fusion.shapes) for live in bundle.live_calibrations},
    )
    if found != expected:
        raise DataError(f"{path}: the bank does not fit the model's contract", remedy="enrol again")
    return bundle


def _manifest(members: dict[str, bytes], path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(members[_MANIFEST])
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: not a bundle (no readable {_MANIFEST})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path}: not an edge-asd bundle")
    check_schema(manifest.get("schema"), path)
    entries = manifest.get("members")
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise DataError(f"{path}: the manifest lists no members")
    return manifest


def _seal(manifest: bytes) -> bytes:
    """The archive's comment: the hash of the one member that no manifest entry covers."""
    return b"manifest sha256 " + hashlib.sha256(manifest).hexdigest().encode()


def _array_member(owner: str, name: str) -> str:
    return f"{owner}/{name}.npy"
