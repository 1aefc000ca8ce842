"""What a board is: one small data file each, read and checked here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_asd.config.nearest import nearest
from edge_asd.errors import UsageError
from edge_asd.keyed import KeyedReader

FOLDER = Path(__file__).parent
_OLDEST_GLIBC = 17
"""manylinux2014, as a glibc 2 minor version: no wheel is built for an older one."""


@dataclass(frozen=True)
class Target:
    """A board, or a kind of them.

    name: as `--target` takes it. board: in words.
    machine: as `uname -m` says for the system the wheels are for.
    cpu: the processor, by QEMU's and the compilers' name.
    glibc: the oldest its system may have, "2.36".
    wheels: Python version -> file beside this one with the exact wheels it gets.
    runtime, format, precision, threads: how the network is run.
    checked: how it was tested, for the README.
    debian_packages: what must come from Debian because no wheel exists; the virtual environment then sees them.
    debian_proof: Python that runs where those packages are already there.
    accelerator: "none", "cuda" or "tensorrt", see `edge_asd.inference.engine`.
    gmacs: what it computes in a second by one thread, 10^9 multiply-accumulates, precision -> estimate: measured on one
        x86-64 core with this project's networks and scaled, see docs/training.md.
    replaceable: package that `--wheel` may bring -> the one it replaces.
    """

    name: str
    board: str
    machine: str
    cpu: str
    glibc: str
    wheels: dict[str, str]
    runtime: str
    format: str
    precision: str
    threads: int
    checked: str
    debian_packages: list[str] = field(default_factory=list)
    debian_proof: str = ""
    accelerator: str = "none"
    gmacs: dict[str, float] = field(default_factory=dict)
    replaceable: dict[str, str] = field(default_factory=dict)

    def requirements(self, python: str) -> list[str]:
        """Exact wheels for one Python version, "name==version"."""
        lines = (FOLDER / self.wheels[python]).read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    @property
    def platforms(self) -> list[str]:
        """Tags of the wheels its system can take, the newest first."""
        newest = int(self.glibc.split(".")[1])
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(newest, _OLDEST_GLIBC - 1, -1)]
        return [*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]


def names() -> list[str]:
    """All targets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_target(name: str) -> Target:
    """Read one. Raises UsageError for an unknown name, naming the nearest; DataError for a wrong file."""
    import yaml

    if name not in names():
        raise UsageError(
            f"unknown target {name!r}", remedy=f"did you mean {nearest(name, names())!r}? Known: {', '.join(names())}"
        )
    path = FOLDER / f"{name}.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    return KeyedReader().read(Target, {"name": name, **data}, path.name)
