"""A root directory of another architecture from Debian's own packages, without installing or emulating anything.

`apt` resolves and downloads with a state of its own (the machine's packages are not touched), `dpkg-deb` unpacks:
some 20 MB of downloads and a few seconds, where a debootstrap under emulation takes minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import UnavailableError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"


@dataclass(frozen=True)
class Architecture:
    """How one architecture is called by those who build for it.

    debian: Debian's name. qemu: QEMU's program. triplet: the compiler's and the library directory's.
    loader: where programs expect the dynamic linker.
    magic, mask: by which the kernel knows its programs (binfmt_misc; the ELF header as escaped bytes).
    """

    debian: str
    qemu: str
    triplet: str
    loader: str
    magic: str
    mask: str


_ELF64 = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"
_ELF32 = r"\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
ARCHITECTURES = {
    "arm64": Architecture(
        "arm64", "qemu-aarch64", "aarch64-linux-gnu", "lib/ld-linux-aarch64.so.1", _ELF64 + r"\xb7\x00", _MASK
    ),
    "armhf": Architecture(
        "armhf", "qemu-arm", "arm-linux-gnueabihf", "lib/ld-linux-armhf.so.3", _ELF32 + r"\x28\x00", _MASK
    ),
}


def build_root(root: Path, architecture: Architecture, packages: Sequence[str], release: str, state: Path) -> None:
    """Unpack `packages` and what they depend on into the empty directory `root`.

    release: Debian's code name. state: an empty directory for apt's lists and downloads.

    Raises UnavailableError where apt or dpkg-deb are missing or the mirror cannot be reached.
    """
    for archive in download(architecture, packages, release, state):
        # tar keeps /bin, /lib and /sbin what they are: links into /usr. `dpkg-deb -x` would replace them.
        unpacked = subprocess.run(
            f"dpkg-deb --fsys-tarfile '{archive}' | tar -x -C '{root}' --no-same-owner --keep-directory-symlink",
            shell=True,
            capture_output=True,
            text=True,
        )
        if unpacked.returncode:
            raise UnavailableError(f"{archive.name} cannot be unpacked: {unpacked.stderr.strip()[-200:]}")
    _alternatives(root / "usr/lib" / architecture.triplet)


def make_skeleton(root: Path) -> None:
    """The directories and merged-/usr links that a Debian root has before its first package."""
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "etc", "tmp", "root", "proc", "sys", "var/tmp", "run", "opt", "host", "site"):
        (root / name).mkdir(parents=True)
    (root / "dev/null").touch()
    (root / "dev/urandom").touch()
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")


def _alternatives(libraries: Path) -> None:
    """The links that installing (not only unpacking) a BLAS would make; Debian's numpy needs them."""
    for name in ("blas/libblas.so.3", "lapack/liblapack.so.3"):
        if (libraries / name).is_file():
            (libraries / Path(name).name).symlink_to(name)


def add_host_programs(root: Path, kind: Architecture) -> None:
    """QEMU, and this machine's `env` to start it in a clean environment, with the libraries they need, in the root."""
    for name, program in (("qemu", kind.qemu), ("env", "env")):
        path = shutil.which(program)
        assert path is not None, "checked by missing()"
        shutil.copy2(path, root / "host" / name)
        for line in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.splitlines():
            for library in (word for word in line.split() if word.startswith("/")):
                target = root / library.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(library, target)


def download(architecture: Architecture, packages: Sequence[str], release: str, state: Path) -> list[Path]:
    """Debian archives of `packages` and all they depend on, checked by apt against Debian's signatures.

    Raises UnavailableError.
    """
    for folder in ("lists/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {release} main\n")
    (state / "apt.conf").write_text(
        f'APT::Architecture "{architecture.debian}";\n'
        f'APT::Architectures {{ "{architecture.debian}"; }};\n'
        'APT::Install-Recommends "false";\n'
        'APT::Sandbox::User "root";\n'
        f'Dir::State "{state}/lists";\n'
        f'Dir::State::status "{state}/status";\n'
        f'Dir::Cache "{state}/cache";\n'
        f'Dir::Etc::sourcelist "{state}/sources.list";\n'
        'Dir::Etc::sourceparts "-";\n'
    )
    for words in (["update"], ["install", "--yes", "--download-only", *packages]):
        _apt(words, state / "apt.conf")
    return sorted((state / "cache/archives").glob("*.deb"))


def _apt(words: Sequence[str], config: Path) -> None:
    try:
        done = subprocess.run(
            ["apt-get", "-qq", *words],
            env={**os.environ, "APT_CONFIG": str(config), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise UnavailableError("apt-get is not here: emulated boards are built from Debian's packages") from error
    if done.returncode:
        why = (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").splitlines()[-1]
        raise UnavailableError(f"apt-get {words[0]} for the emulated board failed: {why}")
