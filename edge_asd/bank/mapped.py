"""Arrays used where they lie on disk: the bank of a bundle need not be read into memory."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np

from edge_asd.errors import DataError, MissingInputError, StorageError

_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, then the lengths of name and extra field: APPNOTE.TXT 4.3.7 (PKWARE)."""


def map_array(path: Path, offset_bytes: int = 0) -> np.ndarray:
    """The `.npy` array that starts at a byte of a file, memory-mapped and read-only.

    Raises MissingInputError, StorageError, DataError (no array there, or one that is cut short).
    """
    try:
        with Path(path).open("rb") as file:
            file.seek(offset_bytes)
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran_order, dtype = header(file)
            if dtype.hasobject:
                raise ValueError("it holds Python objects")
            start = file.tell()
        if fortran_order:
            return np.memmap(path, dtype, "r", start, shape, "F")
        return np.memmap(path, dtype, "r", start, shape, "C")
    except FileNotFoundError as error:
        raise MissingInputError(f"{path}: no such file") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: no array at byte {offset_bytes} ({error})", remedy="copy the file again") from error


def map_member(archive: Path, member: str) -> np.ndarray:
    """The `.npy` member of a ZIP without compression (a bundle), memory-mapped and read-only; hashes are not checked.

    Raises MissingInputError, StorageError, DataError (not such an archive, no such member, damaged).
    """
    try:
        with zipfile.ZipFile(archive) as file, Path(archive).open("rb") as raw:
            info = file.getinfo(member)
            if info.compress_type != zipfile.ZIP_STORED:
                raise DataError(f"{archive}: {member} is compressed, so it cannot be mapped")
            raw.seek(info.header_offset)
            _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))
    except FileNotFoundError as error:
        raise MissingInputError(f"{archive}: no such file") from error
    except KeyError as error:
        raise DataError(f"{archive}: holds no {member}") from error
    except (zipfile.BadZipFile, struct.error) as error:
        raise DataError(f"{archive}: damaged or not a bundle ({error})", remedy="copy it again") from error
    except OSError as error:
        raise StorageError(f"{archive}: cannot read: {error.strerror}") from error
    return map_array(archive, info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes)
