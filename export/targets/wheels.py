"""The wheels in an archive: those of others as the index has them, and edge-asd's own with the board's kernel in it."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import edge_asd
from edge_asd.errors import MissingInputError, UnavailableError
from export.targets.target import Target

_EPOCH = (1980, 1, 1, 0, 0, 0)
_PACKAGE = Path(edge_asd.__file__).parent
_LEFT_OUT = {".so", ".pyc"}


def download(target: Target, python: str, folder: Path, extra: Sequence[Path] = ()) -> None:
    """Put the wheels of `target` for one Python version into `folder`; nothing of them is run.

    extra: wheel files to take as well; one that the target calls a replacement takes the other's place.

    Raises UnavailableError where the index has none, or cannot be reached; MissingInputError for no such extra file.
    """
    for path in extra:
        if not path.is_file():
            raise MissingInputError(f"{path}: no such wheel")
    replaced = {target.replaceable.get(package_of(path.name)) for path in extra}
    wanted = [line for line in target.requirements(python) if line.split("==")[0] not in replaced]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    for platform in target.platforms:
        command += ["--platform", platform]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        why = errors[0].removeprefix("ERROR: ") if errors else done.stderr.strip()[-200:]
        raise UnavailableError(f"wheels for {target.name}, Python {python}: {why}", remedy="is the network there?")
    for path in extra:
        shutil.copy(path, folder)


def package_of(file_name: str) -> str:
    """The package a wheel holds, in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", file_name.split("-")[0]).lower()


def own_wheel(machine: str, libraries: Sequence[Path], folder: Path) -> Path:
    """edge-asd's device package as it is installed here, with the kernel for `machine`, as a wheel in `folder`.

    libraries: the compiled kernel's files; none: the wheel fits every machine.
    """
    version = edge_asd.__version__
    members = {
        f"edge_asd/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes()
        for path in sorted(_PACKAGE.rglob("*"))
        if path.is_file() and path.suffix not in _LEFT_OUT
    }
    members |= {f"edge_asd/native/{path.name}": path.read_bytes() for path in libraries}
    tag = f"py3-none-{f'linux_{machine}' if libraries else 'any'}"
    info = f"edge_asd-{version}.dist-info"
    installed = importlib.metadata.distribution("edge-asd")
    metadata = installed.read_text("METADATA") or installed.read_text("PKG-INFO")  # the latter in a source tree
    assert metadata, "an installed package has metadata"
    metadata = re.sub(
        r"(?m)^Version: .*$", f"Version: {version}", metadata, count=1
    )  # an editable install's may be old
    members |= {
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: edge-asd\n"
            f"Root-Is-Purelib: {'false' if libraries else 'true'}\nTag: {tag}\n"
        ).encode(),
        f"{info}/entry_points.txt": b"[console_scripts]\nedge-asd = edge_asd.cli:main\n",
    }
    path = folder / f"edge_asd-{version}-{tag}.whl"
    path.write_bytes(_zipped(members, f"{info}/RECORD"))
    return path


def _zipped(members: Mapping[str, bytes], record: str) -> bytes:
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in members.items()
    ]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in {**members, record: ("\n".join([*lines, f"{record},,"]) + "\n").encode()}.items():
            file.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def debian_archives(target: Target, folder: Path) -> None:
    """Debian's packages the target needs and all they depend on, as .deb files in `folder`.

    Raises UnavailableError where apt is not there or reaches no mirror.
    """
    from export.emulation.debian import ARCHITECTURES
    from export.emulation.debian import download as download_debian

    architecture = {"armv7l": "armhf", "aarch64": "arm64"}[target.machine]
    with tempfile.TemporaryDirectory() as state:
        found = download_debian(ARCHITECTURES[architecture], target.debian_packages, "bookworm", Path(state))
        for path in found:
            shutil.copy(path, folder)
