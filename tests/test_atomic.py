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
    assert path.stat().st_mode & 0o777 == 0o644


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
