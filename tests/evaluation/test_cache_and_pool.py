"""The cache of arrays, and the pool of processes, each against what may go wrong with it."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_asd.errors import StorageError, UnavailableError
from edge_asd.evaluation.cache import ArrayCache, default_directory
from edge_asd.evaluation.pool import AHEAD, WorkerDied, map_in_order
from edge_asd.evaluation.reader import CODE, ClipTask, Listener, _KeyMaker, code_version
from edge_asd.model_package import Model
from edge_asd.native import library
from edge_asd.scorers import parse_scorers
from tests.fakes.graphs import duo_model

KEY = "ab" + "0" * 62
ARRAYS = {"rows": np.arange(6, dtype=np.float32).reshape(2, 3), "words": np.array(["a", "ü"])}


def test_a_cache_gives_back_what_it_was_given(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path / "made" / "when used")
    assert cache.get(KEY) is None
    assert cache.put(KEY, ARRAYS)
    found = ArrayCache(cache.directory).get(KEY)
    assert found is not None and set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and (found[name] == array).all()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_entry_is_none(tmp_path: Path, damage: str) -> None:
    cache = ArrayCache(tmp_path)
    cache.put(KEY, ARRAYS)
    (entry,) = tmp_path.rglob("*.npz")
    data = bytearray(entry.read_bytes())
    middle = data.index(ARRAYS["rows"].tobytes())
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    entry.write_bytes({"cut": data[:-30], "flipped": flipped, "empty": b"", "text": b"hello"}[damage])
    assert cache.get(KEY) is None
    assert cache.put(KEY, ARRAYS) and cache.get(KEY) is not None


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ArrayCache(tmp_path / "file" / "cache")
    with pytest.raises(StorageError, match="cannot keep a cache there: Not a directory"):
        cache.check()
    assert not cache.put(KEY, ARRAYS)
    assert cache.get(KEY) is None
    assert cache.prune() == 0


def test_pruning_keeps_what_was_used_last(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    keys = [f"{i:02d}" + "f" * 62 for i in range(10)]
    for i, key in enumerate(keys):
        cache.put(key, {"x": np.zeros(100)})
        os.utime(cache._path(key), ns=(i * 10**9, i * 10**9))
    assert cache.get(keys[0]) is not None  # used just now
    size = cache._path(keys[0]).stat().st_size
    assert cache.prune(20 * size) == 0
    assert cache.prune(3 * size + 1) == 7 * size
    assert [cache.get(key) is not None for key in keys] == [True, *[False] * 7, True, True]
    assert cache.prune(1) == 3 * size


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_CACHE_HOME": "/caches", "HOME": "/home/a"}, "/caches/edge-asd/features"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/a"}, "/home/a/.cache/edge-asd/features"),
        ({"HOME": "/home/a"}, "/home/a/.cache/edge-asd/features"),
    ],
)
def test_the_cache_lies_where_caches_belong(environment: dict[str, str], expected: str) -> None:
    assert default_directory(environment) == Path(expected)


def squarer(offset: int) -> Callable[[int], tuple[int, int, str | None]]:
    return lambda task: (task * task + offset, os.getpid(), os.environ.get("OMP_NUM_THREADS"))


def dier(deadly: int) -> Callable[[int], int]:
    def work(task: int) -> int:
        if task == deadly or deadly < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    return work


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_from_as_many_processes_as_asked(jobs: int) -> None:
    results = list(map_in_order(squarer, (7,), range(40), jobs))
    assert [value for value, _, _ in results] == [task * task + 7 for task in range(40)]
    pids = {pid for _, pid, _ in results}
    assert len(pids) == jobs
    if jobs > 1:
        assert os.getpid() not in pids
        assert {threads for _, _, threads in results} == {"1"}


def test_few_tasks_are_under_way_at_a_time() -> None:
    taken = 0

    def tasks() -> Iterator[int]:
        nonlocal taken
        for task in range(1000):
            taken += 1
            yield task

    results = map_in_order(squarer, (0,), tasks(), 2)
    for _ in range(3):
        next(results)
    assert taken <= 3 + 2 * AHEAD
    results.close()


def test_a_worker_that_dies_costs_its_task_only() -> None:
    results = list(map_in_order(dier, (5,), range(20), 2))
    assert isinstance(results[5], WorkerDied) and "signal 9" in str(results[5])
    assert results[:5] + results[6:] == [*range(5), *range(6, 20)]


def test_workers_that_all_die_end_the_run() -> None:
    with pytest.raises(UnavailableError, match=r"end at once \(signal 9\); try --jobs 1"):
        list(map_in_order(dier, (-1,), range(20), 2))


def test_a_key_tells_the_kernels_of_log_mel_apart(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.wav"
    clip.write_bytes(b"any bytes")
    keys = []
    for kernel in ("numpy", "auto", "numpy"):
        monkeypatch.setenv("EDGE_ASD_KERNEL", kernel)
        keys.append(
            _KeyMaker(Listener(tiny_model, parse_scorers("ranked:knn"))).key(ClipTask(str(clip), 0, None, True))
        )
    assert keys[0] == keys[2]
    assert (keys[0] == keys[1]) == (library.load().functions is None)


def test_all_code_that_makes_features_is_there_to_be_hashed() -> None:
    package = Path(library.FOLDER).parent
    assert [name for name in CODE if not (package / name).exists()] == []


def test_a_section_and_a_scorer_are_part_of_the_key(tmp_path: Path) -> None:
    clip = tmp_path / "clip.wav"
    clip.write_bytes(b"sound")
    model, specs = duo_model(), parse_scorers("scores:column")
    assert model.scorer is not None
    other_scorer = dataclasses.replace(model, scorer=dataclasses.replace(model.scorer, data=b"another"))
    listeners = [Listener(m, specs) for m in (model, model.for_section("fan/00"), other_scorer, duo_model())]
    keys = [_KeyMaker(listener).key(ClipTask(str(clip), 0, None, True)) for listener in listeners]
    assert len(set(keys)) == 3 and keys[0] == keys[3]


def test_the_hash_of_the_code_covers_the_kernel_in_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_version()
    changed = (Path(library.FOLDER) / "logmel.c").read_bytes() + b"/* another */"
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: changed if path.name == "logmel.c" else read(path))
    assert code_version() != before
