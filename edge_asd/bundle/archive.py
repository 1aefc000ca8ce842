"""The archive a bundle is: a plain ZIP without compression whose manifest lists and hashes every other member."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_asd.atomic import write_atomically
from edge_asd.errors import DataError, MissingInputError, StorageError
from edge_asd.model_package import check_member, check_schema, describe_member

FORMAT = "edge-asd bundle"
BUNDLE_SCHEMA = 3
"""1 had one embedding bank and one spectrum bank in place of scorers; 2 had no tags, no runs, spectra in float16."""
MAX_BUNDLE_BYTES = 2 * 2**30
"""Larger is no bundle. The largest published system has 180 million parameters in each of two networks."""
MAX_STREAM_BYTES = 256 * 2**20
"""The same of what is no file, such as a pipe."""
_MANIFEST = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Same content, same bytes: members carry no time of their own."""


def write_archive(path: Path, manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    """Write manifest (plain JSON types) and members whole or not at all. Raises StorageError, MissingInputError."""
    described = {
        "format": FORMAT,
        "schema": BUNDLE_SCHEMA,
        **manifest,
        "members": {name: describe_member(data) for name, data in members.items()},
    }
    head = json.dumps(described, indent=1, allow_nan=False).encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.comment = _seal(head)
        file.writestr(zipfile.ZipInfo(_MANIFEST, _EPOCH), head)
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    write_atomically(Path(path), archive.getvalue())


def read_archive(path: Path, check: Callable[[bytes], None] | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the members, each of the size and hash it had when it was written.

    check: given the file's bytes before anything is made of them; raises to refuse them.

    Raises MissingInputError, StorageError, DataError (not a bundle, damaged, cut short, of another schema).
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # Asked for a number of bytes, Python takes that much memory at once; a device node never ends.
            whole = stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BUNDLE_BYTES
            data = file.read() if whole else file.read(MAX_STREAM_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingInputError(f"{path}: no such bundle", remedy="make one with edge-asd enroll") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: a directory, not a bundle", remedy="name the .asd file") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror}") from error
    if check is not None:
        check(data)
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
    return manifest, members


def _manifest(members: dict[str, bytes], path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(members[_MANIFEST])
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: not a bundle (no readable {_MANIFEST})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path}: not an edge-asd bundle")
    check_schema(manifest.get("schema"), path, BUNDLE_SCHEMA, oldest=BUNDLE_SCHEMA)
    entries = manifest.get("members")
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise DataError(f"{path}: the manifest lists no members")
    return manifest


def _seal(manifest: bytes) -> bytes:
    """The archive's comment: the hash of the one member that no manifest entry covers."""
    return b"manifest sha256 " + hashlib.sha256(manifest).hexdigest().encode()
