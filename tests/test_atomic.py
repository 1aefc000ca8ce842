"""A file is written whole or not at all, also when the disk is full."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_asd.atomic import write_atomically
from edge_asd.errors import MissingInputError, StorageError

WRITER = """
import resource, sys
from pathlib import Path
from edge_asd.atomic import write_atomically
from edge_asd.errors import StorageError
if sys.argv[2] == "limited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
path = Path(sys.argv[1])
path.write_bytes(b"old")
try:
    write_atomically(path, bytes(200_000))
except StorageError as error:
    print(error, "|", path.read_bytes(), "|", sorted(p.name for p in path.parent.iterdir()))
    sys.exit(error.exit_code)
"""


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "fan.asd"
    for data in (b"one", b"", bytes(range(256)) * 1000):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["fan.asd"]


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize(("umask", "wanted"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_honours_the_umask_and_an_old_one_keeps_its_mode(tmp_path: Path, umask: int, wanted: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "new.asd", b"x")
        write_atomically(tmp_path / "told.asd", b"x", mode=0o640)
        for mode in (0o600, 0o644, 0o660, 0o400):
            (tmp_path / "old.asd").write_bytes(b"old")
            (tmp_path / "old.asd").chmod(mode)
            write_atomically(tmp_path / "old.asd", b"x", mode=0o755)
            assert mode_of(tmp_path / "old.asd") == mode
            (tmp_path / "old.asd").unlink()
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new.asd") == wanted
    assert mode_of(tmp_path / "told.asd") == 0o640


def test_a_secret_is_never_open_to_others_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real_fsync = tmp_path / "secret", os.fsync
    seen: list[int] = []
    path.write_bytes(b"old")
    path.chmod(0o600)

    def watching(descriptor: int) -> None:
        seen.extend(mode_of(file) for file in tmp_path.iterdir())
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watching)
    write_atomically(path, b"new")
    assert seen == [0o600] * 3  # the old and the growing one, then the new one alone


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="giving a file away needs root")
def test_root_leaves_a_file_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "fan.asd"
    path.write_bytes(b"old")
    os.chown(path, 4711, 4712)
    path.chmod(0o600)
    write_atomically(path, b"new")
    found = path.stat()
    assert (found.st_uid, found.st_gid, mode_of(path), path.read_bytes()) == (4711, 4712, 0o600, b"new")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="nowhere does not exist; make it first"):
        write_atomically(tmp_path / "nowhere" / "fan.asd", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_the_way_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "fan.asd").mkdir()
    with pytest.raises(StorageError, match=r"fan\.asd: cannot write 1 bytes"):
        write_atomically(tmp_path / "fan.asd", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["fan.asd"]


def test_a_device_or_pipe_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fan.asd")
    with pytest.raises(StorageError, match="a device or pipe, not a file"):
        write_atomically(tmp_path / "fan.asd", b"x")
    assert (tmp_path / "fan.asd").is_fifo()


def test_a_refused_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "fan.asd"
    done = subprocess.run([sys.executable, "-c", WRITER, path, "limited"], capture_output=True, text=True)
    assert done.returncode == 74, done.stderr
    assert "cannot write 200000 bytes: File too large" in done.stdout
    assert "| b'old' | ['fan.asd']" in done.stdout


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("unshare (util-linux) is not installed")
    # The mount lives in a namespace of its own and goes with it.
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"', tmp_path]
    if subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("this container may not mount a file system")
    command = [*mount, sys.executable, "-c", WRITER, tmp_path / "fan.asd", "unlimited"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 74, done.stderr
    assert "cannot write 200000 bytes: No space left on device" in done.stdout
    assert "| b'old' | ['fan.asd']" in done.stdout


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "fan.asd", b"x")
    assert list(tmp_path.iterdir()) == []
