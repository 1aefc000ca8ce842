"""The .asd file: what goes in comes out to the last bit, and anything damaged or foreign is refused in words."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import operator
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_asd.audio.block import AudioBlock
from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.errors import DataError, EdgeAsdError, MissingInputError
from edge_asd.frontend import log_mel
from edge_asd.inference import Embedder
from edge_asd.model_package import Model, describe_member
from edge_asd.scorers import parse_scorers

ARRAYS = ("normal.spectra.levels_db", "enrolment_scores.distances", "enrolment_scores.pieces")
VECTORS, SCALES, ROWS = "scorer0/vectors.npy", "scorer0/scales.npy", "scorer1/codes.npy"
"""Members of the default scorers."""
SPECTRA = "spectra/codes.npy"


@pytest.fixture
def saved(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    path = tmp_path / "fan.asd"
    save_bundle(tiny_bundle, path)
    return path


def assert_same_bundle(one: Bundle, other: Bundle) -> None:
    for name in ARRAYS:
        a, b = (operator.attrgetter(name)(bundle) for bundle in (one, other))
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert one.normal.specs == other.normal.specs
    for mine, its in zip(one.normal.scorers, other.normal.scorers, strict=True):
        for name, array in mine.measure.arrays().items():
            assert array.dtype == its.measure.arrays()[name].dtype
            np.testing.assert_array_equal(array, its.measure.arrays()[name])
    for name in ("aggregation", "model", "clip_calibration", "live_calibrations", "enrolment", "provenance"):
        assert getattr(one, name) == getattr(other, name)


def rewritten(path: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> None:
    """Change members and manifest, then record the sizes and hashes of what the members have become."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    change(members, manifest)
    if isinstance(manifest.get("members"), dict):
        manifest["members"] |= {name: describe_member(data) for name, data in members.items()}
    described = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.comment = b"manifest sha256 " + hashlib.sha256(described).hexdigest().encode()
        file.writestr("manifest.json", described)
        for name, data in members.items():
            file.writestr(name, data)


def test_a_bundle_comes_back_to_the_last_bit(tiny_bundle: Bundle, saved: Path, steady_sound) -> None:
    loaded = load_bundle(saved)
    assert_same_bundle(loaded, tiny_bundle)
    frames = log_mel(steady_sound(3.0, seed=20), loaded.contract.features)
    assert loaded.score_clip(frames) == tiny_bundle.score_clip(frames)


def test_the_same_bundle_is_the_same_bytes(tiny_bundle: Bundle, saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.asd"
    save_bundle(load_bundle(saved), again)
    assert again.read_bytes() == saved.read_bytes()


def test_any_zip_reader_can_list_it(saved: Path) -> None:
    with zipfile.ZipFile(saved) as file:
        assert file.namelist()[:2] == ["manifest.json", "model.onnx"]
        assert file.testzip() is None


@pytest.mark.parametrize("sixteenths", range(16))
def test_a_bundle_cut_short_is_refused(saved: Path, sixteenths: int) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: len(data) * sixteenths // 16])
    with pytest.raises(DataError, match=r"fan\.asd: damaged or not a bundle"):
        load_bundle(saved)


def test_a_flipped_byte_is_refused_or_changes_nothing(tiny_bundle: Bundle, saved: Path) -> None:
    """Bytes that only describe (times, attributes) may differ; bytes that mean something may not."""
    data = saved.read_bytes()
    rng = np.random.default_rng(21)
    directory = data.index(b"PK\x01\x02")  # headers are few among the bytes, so half of the flips go there
    places = np.concatenate((rng.integers(0, len(data), 120), rng.integers(directory, len(data), 120)))
    refused = 0
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= int(rng.integers(1, 256))
        saved.write_bytes(damaged)
        try:
            loaded = load_bundle(saved)
        except DataError:
            refused += 1
        else:
            assert_same_bundle(loaded, tiny_bundle)
    assert refused > 120


@pytest.mark.parametrize("method", [8, 9, 12, 14, 99])
def test_another_compression_method_in_the_directory_is_refused(saved: Path, method: int) -> None:
    original = saved.read_bytes()
    entry = original.find(b"PK\x01\x02")
    while entry >= 0:
        data = bytearray(original)
        data[entry + 10] = method
        saved.write_bytes(data)
        with pytest.raises(DataError, match="damaged"):
            load_bundle(saved)
        entry = original.find(b"PK\x01\x02", entry + 1)


@pytest.mark.parametrize("name", ["model.onnx", SCALES, ROWS, SPECTRA, "enrolment_scores/pieces.npy"])
def test_a_missing_member_is_named(saved: Path, name: str) -> None:
    rewritten(saved, lambda members, manifest: members.pop(name))
    with pytest.raises(DataError, match=f"member {name} is missing"):
        load_bundle(saved)


def test_a_member_that_is_not_the_recorded_one_is_named(saved: Path) -> None:
    with zipfile.ZipFile(saved) as file:
        members, comment = {name: file.read(name) for name in file.namelist()}, file.comment
    members["model.onnx"] += b"\0"
    with zipfile.ZipFile(saved, "w") as file:
        file.comment = comment
        for name, data in members.items():
            file.writestr(name, data)
    with pytest.raises(DataError, match=r"model\.onnx: \d+ bytes that do not match"):
        load_bundle(saved)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"schema": 4}, r"schema 4 is newer than this edge-asd reads \(3\); upgrade edge-asd"),
        ({"schema": 2}, r"schema 2 is older than this edge-asd reads \(3\); make it anew"),
        ({"schema": None}, "no schema version"),
        ({"format": "a song"}, "not an edge-asd bundle"),
        ({"members": []}, "lists no members"),
        ({"contract": {}}, "contract: key 'name' is missing"),
        ({"calibration": {}}, "incomplete bundle"),
        ({"scorers": ["embedding:knn", "spectrum:tea"]}, r"'tea' is not known; .* enrol again"),
        ({"scorers": ["spectrum:knn", "embedding:knn"]}, r"arrays \['scales', 'vectors'\], expected"),
        ({"scorers": ["embedding:knn"]}, "does not fit"),
        ({"scorers": []}, "without a scorer"),
        ({"scorers": 3}, "incomplete bundle"),
        ({"arrays": {}}, "incomplete bundle"),
        ({"arrays": [1]}, "incomplete bundle"),
        ({"arrays": {"spectra": {"codes": "elsewhere.npy"}}}, "incomplete bundle"),
        ({"aggregation": {"top_share": 1.5}}, "top share 1.5"),
        ({"aggregation": {"top_share": float("nan")}}, "top share nan"),
        ({"aggregation": None}, "incomplete bundle"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_manifest_that_cannot_be_used_is_refused(saved: Path, change: dict, word: str) -> None:
    rewritten(saved, lambda members, manifest: manifest.update(change))
    with pytest.raises(DataError, match=word):
        load_bundle(saved)


@pytest.mark.parametrize("use", ["clip", "live"])
def test_a_calibration_for_another_number_of_scorers_is_refused(saved: Path, use: str) -> None:
    def one_sided(members: dict, manifest: dict) -> None:
        calibrations = manifest["calibration"][use]
        for calibration in calibrations if use == "live" else [calibrations]:
            calibration.update(fusion={"shapes": [2.0], "scales": [1.0]})

    rewritten(saved, one_sided)
    with pytest.raises(DataError, match="does not fit"):
        load_bundle(saved)


def test_a_threshold_changed_behind_the_hash_is_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved) as file:
        members, comment = {name: file.read(name) for name in file.namelist()}, file.comment
    manifest = json.loads(members.pop("manifest.json"))
    manifest["calibration"]["clip"]["threshold"] = 999.0
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_STORED) as file:
        file.comment = comment
        for name, data in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
            file.writestr(name, data)
    with pytest.raises(DataError, match="manifest does not match its hash"):
        load_bundle(saved)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(DataError, match="damaged or not a bundle"):
        load_bundle(Path("/dev/zero"))


def test_a_bundle_without_live_calibrations_is_refused(saved: Path) -> None:
    rewritten(saved, lambda members, manifest: manifest["calibration"].update(live=[]))
    with pytest.raises(DataError, match="does not fit"):
        load_bundle(saved)


class Trap:
    """Pickled, it makes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_a_pickled_member_is_refused_unopened(saved: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap(sprung)], dtype=object), allow_pickle=True)
    np.load(io.BytesIO(buffer.getvalue()), allow_pickle=True)
    assert sprung.exists()  # the trap works
    sprung.unlink()
    for member in (VECTORS, ROWS, SPECTRA, "enrolment_scores/distances.npy"):
        rewritten(saved, lambda members, manifest, member=member: members.update({member: buffer.getvalue()}))
        with pytest.raises(DataError):
            load_bundle(saved)
    assert not sprung.exists()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "member, data",
    [
        (VECTORS, npy(np.zeros((5, 24), np.float32))),
        (VECTORS, npy(np.zeros((5, 24), np.int8))),
        (SCALES, npy(np.array(3.0))),
        (SCALES, b"not an array"),
        (SCALES, b""),
        (ROWS, npy(np.zeros((5, 128), np.float32))),
        (ROWS, npy(np.zeros((5, 128), np.uint8))),
        (ROWS, b"not an array"),
        (SPECTRA, npy(np.zeros((5, 256), np.float32))),
        (SPECTRA, npy(np.zeros((5, 256), np.uint8))),
        ("enrolment_scores/distances.npy", npy(np.array([[np.nan, np.nan]]))),
        ("enrolment_scores/distances.npy", npy(np.array([["a", "b"]]))),
    ],
)
def test_arrays_that_do_not_fit_are_refused(saved: Path, member: str, data: bytes) -> None:
    rewritten(saved, lambda members, manifest: members.update({member: data}))
    with pytest.raises(DataError):
        load_bundle(saved)


@pytest.mark.parametrize(
    "member, width",
    [(VECTORS, 23), ("spectra/", 254), ("enrolment_scores/distances.npy", 1)],
)
def test_arrays_of_another_width_than_the_models_are_refused(saved: Path, member: str, width: int) -> None:
    def narrow(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        for name in [name for name in members if name.startswith(member)]:
            members[name] = npy(np.load(io.BytesIO(members[name]))[..., :width])

    rewritten(saved, narrow)
    with pytest.raises(DataError, match="does not fit"):
        load_bundle(saved)


@pytest.mark.parametrize("member", ["scorer0", "scorer1/codes"])
def test_scorers_of_different_numbers_of_windows_are_refused(saved: Path, member: str) -> None:
    def shorten(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        for name in [name for name in members if name.startswith(member)]:
            members[name] = npy(np.load(io.BytesIO(members[name]))[:-1])

    rewritten(saved, shorten)
    with pytest.raises(DataError, match=r"\d+ windows, but \d+ enrolled spectra"):
        load_bundle(saved)


def enrolled(model: Model, embedder: Embedder | None, scorers: str, samples: np.ndarray) -> Bundle:
    enrolment = Enrolment(model, embedder, parse_scorers(scorers))
    enrolment.add_samples(samples, "steady sound")
    return enrolment.finish({})


@pytest.mark.parametrize(
    "scorers", ["embedding:ldn+ranked:gmm,k=1", "spectrum:maha+spectrum:lof", "embedding:centres+embedding:smote,k=2"]
)
def test_every_kind_of_scorer_comes_back_to_the_last_bit(
    tiny_model: Model, tiny_embedder: Embedder, steady_sound, tmp_path: Path, scorers: str
) -> None:
    bundle = enrolled(tiny_model, tiny_embedder, scorers, steady_sound(40.0))
    save_bundle(bundle, tmp_path / "fan.asd")
    loaded = load_bundle(tmp_path / "fan.asd")
    assert_same_bundle(loaded, bundle)
    assert "+".join(map(str, loaded.normal.specs)) == scorers
    frames = log_mel(steady_sound(3.0, seed=20), bundle.contract.features)
    assert loaded.score_clip(frames) == bundle.score_clip(frames)


def test_spectra_that_a_scorer_keeps_anyway_are_stored_once(tiny_model: Model, steady_sound, tmp_path: Path) -> None:
    save_bundle(enrolled(tiny_model, None, "spectrum:knn", steady_sound(40.0)), tmp_path / "fan.asd")
    with zipfile.ZipFile(tmp_path / "fan.asd") as file:
        assert {"scorer0/codes.npy", SPECTRA} & set(file.namelist()) == {"scorer0/codes.npy"}
    loaded = load_bundle(tmp_path / "fan.asd")
    assert loaded.normal.spectra.levels_db.shape == (loaded.normal.scorers[0].measure.n_windows, 256)


@pytest.mark.parametrize("scorers", ["ranked:gmm", "spectrum:maha", "spectrum:knn+ranked:knn"])
def test_statistics_alone_never_start_the_network(tiny_model: Model, steady_sound, scorers: str) -> None:
    bundle = enrolled(dataclasses.replace(tiny_model, network=b"no network"), None, scorers, steady_sound(64.0, seed=1))
    with pytest.raises(DataError, match="network cannot be loaded"):
        bundle.embedder  # noqa: B018
    spec = bundle.contract.features
    normal, faulty = (bundle.score_clip(log_mel(steady_sound(8.0, seed=2, tone_hz=hz), spec)) for hz in (None, 3000.0))
    assert normal.score < faulty.score
    detector = bundle.detector()
    scores = detector.push(AudioBlock(steady_sound(8.0, seed=3, tone_hz=3000.0), 0, 0.0))
    assert scores[-1].anomalous
    (change, *_) = detector.explain(scores).bands
    assert change.from_hz < 3000.0 < change.to_hz


@pytest.mark.parametrize(
    "content", [b"", b"RIFF....WAVE", b"PK\x05\x06" + 18 * b"\0"], ids=["empty", "wav", "empty zip"]
)
def test_another_kind_of_file_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.asd"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a bundle"):
        load_bundle(path)


def test_a_missing_bundle_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="edge-asd enroll") as missing:
        load_bundle(tmp_path / "fan.asd")
    assert missing.value.exit_code == 66
    with pytest.raises(DataError, match="a directory, not a bundle"):
        load_bundle(tmp_path)


def test_every_refusal_is_one_line(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-5])
    with pytest.raises(EdgeAsdError) as refused:
        load_bundle(saved)
    assert "\n" not in str(refused.value)
    assert str(saved) in str(refused.value)
