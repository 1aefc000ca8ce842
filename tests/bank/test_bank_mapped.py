"""Arrays where they lie: the bank of a ZIP archive searched from the file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_asd.bank import EmbeddingBank, map_array, map_member
from edge_asd.errors import DataError, MissingInputError


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def bank_of(n: int) -> EmbeddingBank:
    return EmbeddingBank.fit(np.random.default_rng(0).standard_normal((n, 32)).astype(np.float32), enrolled_s=9)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "bank.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("first", b"x" * 13)  # so that arrays start anywhere
        for name, array in bank_of(3000).arrays().items():
            file.writestr(f"bank/{name}.npy", npy(array))
        file.writestr("small.npy", npy(np.arange(3)), zipfile.ZIP_DEFLATED)
    return path


def test_a_bank_is_searched_where_it_lies(archive: Path) -> None:
    expected = bank_of(3000)
    arrays = {name: map_member(archive, f"bank/{name}.npy") for name in expected.arrays()}
    assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in arrays.values())
    mapped = EmbeddingBank(**arrays)
    query = np.random.default_rng(1).standard_normal((5, 32)).astype(np.float32)
    for found, there in zip(mapped.nearest(query), expected.nearest(query), strict=True):
        np.testing.assert_array_equal(found, there)
    assert len(mapped.forget(index=np.arange(10)).add(query)) == 2995


@pytest.mark.parametrize(
    "array", [np.arange(12, dtype=np.int8).reshape(3, 4), np.asfortranarray(np.eye(3)), np.ones(2)]
)
def test_an_array_file_of_any_order(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"12345" + npy(array))
    np.testing.assert_array_equal(map_array(path, 5), array)


def test_what_is_no_array_is_refused(tmp_path: Path, archive: Path) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(MissingInputError, match="no such file"):
        map_array(path)
    whole = npy(np.zeros((100, 100)))
    objects = io.BytesIO()
    np.save(objects, np.array([{}], object), allow_pickle=True)
    for damaged in (b"", whole[:3], whole[:60], whole[:-1], b"x" * 500, objects.getvalue()):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="no array at byte 0"):
            map_array(path)
    with pytest.raises(MissingInputError, match="no such file"):
        map_member(tmp_path / "none.asd", "bank/vectors.npy")
    with pytest.raises(DataError, match=r"holds no bank/other\.npy"):
        map_member(archive, "bank/other.npy")
    with pytest.raises(DataError, match=r"small\.npy is compressed"):
        map_member(archive, "small.npy")
    with pytest.raises(DataError, match="damaged or not a bundle"):
        map_member(path, "a")
