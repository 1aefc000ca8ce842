"""The emulated board runs the board's programs, alone or with children, sees nothing of the host and is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_asd.errors import UnavailableError
from export.emulation import Sysroot, sysroot

pytestmark = pytest.mark.xdist_group("emulation")
PYTHON = "/usr/bin/python3.11"


@pytest.fixture(scope="module")
def board() -> Sysroot:
    try:
        return Sysroot.ensure()
    except UnavailableError as error:
        pytest.skip(str(error))


def test_a_program_of_the_board_runs_and_sees_only_what_is_bound(board: Sysroot, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("from the host")
    code = (
        "import os, platform; print(platform.machine(), os.listdir('/proc'), os.path.isdir('/usr/share/python3-pip'), "
        "open('/here/note').read(), sorted(os.environ))"
    )
    done = board.run([PYTHON, "-c", code], binds={"/here": tmp_path}, environment={"ASKED": "1"})
    assert done.returncode == 0, done.stderr
    machine, rest = done.stdout.strip().split(" ", 1)
    assert machine == "aarch64"
    assert rest.startswith("[] False from the host ")
    assert "'ASKED'" in rest
    assert "'SHELL'" not in rest


def test_the_cached_root_cannot_be_changed_by_a_run(board: Sysroot) -> None:
    done = board.run([PYTHON, "-c", "open('/usr/changed', 'w')"])
    assert "Read-only file system" in done.stderr
    assert done.returncode == 1


def test_a_scratch_copy_runs_programs_that_start_others_and_keeps_changes_to_itself(board: Sysroot) -> None:
    code = f"import subprocess; subprocess.run(['{PYTHON}', '-c', 'open(\"/made\", \"w\").write(\"by a child\")'])"
    with board.scratch() as scratch:
        try:
            done = scratch.run([PYTHON, "-c", code], children=True)
        except UnavailableError as error:
            pytest.skip(str(error))
        assert done.returncode == 0, done.stderr
        assert (scratch.root / "made").read_text() == "by a child"
    assert not (board.root / "made").exists()


def test_instructions_are_counted_and_counted_the_same_again(board: Sysroot) -> None:
    def count(turns: int) -> int:
        done, instructions = board.instructions([PYTHON, "-c", f"for _ in range({turns}): pass"])
        assert done.returncode == 0, done.stderr
        return instructions

    short, long, again = count(1_000), count(101_000), count(101_000)
    per_turn = (long - short) / 100_000
    assert 50 < per_turn < 1000
    assert again == pytest.approx(long, rel=1e-6)


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysroot.shutil, "which", lambda tool: None)
    with pytest.raises(UnavailableError, match=r"apt install .*qemu-user"):
        Sysroot.ensure(tmp_path)
