"""One archive per board: all of edge-asd it needs, and an installer that wants no network."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_asd.atomic import write_atomically
from edge_asd.bundle.bundle import Bundle
from edge_asd.errors import DataError, EdgeAsdError
from edge_asd.model_package import DEFAULT_PACKAGE, load_model
from edge_asd.service.install import unit_text
from export.targets.kernel import build_for
from export.targets.target import Target
from export.targets.wheels import debian_archives, download, own_wheel, package_of

PREFIX = "/opt/edge-asd"
INSTALLER = Path(__file__).with_name("install.sh")
CARD_OF_THE_BOARD = "plughw:CARD=mic0"
ENROL_ANEW = "give --enroll DIR with recordings of normal sound"
UNAMES = {"aarch64": "aarch64", "x86_64": "x86_64", "armv7l": "armv7l armv8l aarch64"}
"""What `uname -m` says where the wheels fit: a 32-bit system may run on a 64-bit kernel."""


def write_archive(
    target: Target,
    bundle: Bundle,
    bundle_path: Path,
    out: Path,
    *,
    kernel: bool = True,
    extra_wheels: Sequence[Path] = (),
    more: Sequence[Path] = (),
    on_note: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write `edge-asd-TARGET.tar.gz` into the directory `out`; give its path.

    bundle: what is read from `bundle_path`. kernel: with the C kernel compiled for the board.
    more: bundles of other machines, to lie beside it.
    extra_wheels: to take as well, see `export.targets.wheels.download`. on_note: told what takes time.

    Raises UnavailableError (no compiler, no index), DataError for a bundle the board cannot run, StorageError.
    """
    check_bundle(target, bundle, bundle_path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wheels").mkdir()
        libraries = build_for(target.machine, target.glibc, folder / ".kernel") if kernel else []
        own_wheel(target.machine, libraries, folder / "wheels")
        for python in target.wheels:
            on_note(f"wheels for {target.machine}, Python {python}")
            download(target, python, folder / "wheels", extra_wheels)
            (folder / f"requirements-{python}.txt").write_text(requirements_text(target, python, extra_wheels))
        if target.debian_packages:
            on_note(f"Debian's {', '.join(target.debian_packages)}")
            (folder / "debs").mkdir()
            debian_archives(target, folder / "debs")
        for path in (bundle_path, *more):
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "config.yaml").write_text(config_text(target, bundle_path.name, [path.name for path in more]))
        (folder / "edge-asd.service").write_text(unit_text(f"{PREFIX}/bin/edge-asd"))
        (folder / "install.sh").write_text(installer_text(target))
        files = sorted(p for p in folder.rglob("*") if p.is_file() and ".kernel" not in p.parts)
        sums = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder)}\n" for p in files)
        (folder / "SHA256SUMS").write_text(sums)
        path = out / f"edge-asd-{target.name}.tar.gz"
        write_atomically(path, _packed(folder, [*files, folder / "SHA256SUMS"], f"edge-asd-{target.name}"))
    return path


def check_bundle(target: Target, bundle: Bundle, path: Path) -> None:
    """Raise DataError for a bundle that cannot be scored on the board as it was fitted.

    Its precision is no reason: every board runs float too, and whether in time is `check_budget`'s question.
    """
    if not bundle.normal.uses_network:
        return
    fitted_by = bundle.fitted_by.split(" ")[0]
    runs = all(network.format == target.format for network in bundle.model.graphs.values())
    if bundle.frames is None and not (runs and fitted_by in ("", target.runtime)):
        raise DataError(
            f"{path}: fitted by {bundle.fitted_by or 'nobody knows what'}, {target.name} scores by {target.runtime}, "
            "and the bundle kept no frames to be fitted anew",
            remedy=("" if bundle.uses_waveform else "enrol with --keep-frames, or ") + ENROL_ANEW,
        )
    if not runs:
        _check_twin(target, bundle, path)


def _check_twin(target: Target, bundle: Bundle, path: Path) -> None:
    """The board fits such a bundle anew with the network that ships, in its own format: it must be the same network."""
    try:
        twin = load_model(DEFAULT_PACKAGE, bundle.model.precision, (target.format,))
    except EdgeAsdError as error:
        raise DataError(f"{path}: {target.name} runs {target.format}: {error.message}", remedy=ENROL_ANEW) from error
    ours, theirs = bundle.contract, dataclasses.replace(twin.contract, step_frames=bundle.contract.step_frames)
    if ours != theirs:
        raise DataError(
            f"{path}: its network, {ours.name} {ours.version}, is not the one that ships ({theirs.name} "
            f"{theirs.version}), the only one there is as {target.format}, which {target.name} runs",
            remedy=ENROL_ANEW,
        )


def config_text(target: Target, bundle_name: str, more: Sequence[str] = ()) -> str:
    """The board's config.yaml. more: names of other machines' bundles, which it speaks of."""
    import yaml

    model: dict[str, Any] = {"bundle": bundle_name, "runtime": target.runtime, "threads": target.threads}
    settings: dict[str, Any] = {"model": model}
    if target.accelerator != "none":
        model |= {"accelerator": target.accelerator, "engine_cache": "/var/lib/edge-asd/engines"}
    comment = ""
    if target.runtime == "tflite":
        # No resampler there: ALSA's plug layer gives the model's rate.
        settings["audio"] = {"device": CARD_OF_THE_BOARD.split("=")[1], "aliases": {"mic0": CARD_OF_THE_BOARD}}
        comment = "# Without a resampler on 32-bit Arm, the device must be one that gives 16 kHz: ALSA's plughw does.\n"
    else:
        settings["audio"] = {"device": None}
    if more:
        comment += f"# Beside it lie {', '.join(more)}: name another one, or several under `machines`.\n"
    text = yaml.safe_dump(settings, sort_keys=False)
    return f"# edge-asd on {target.board}. Check after a change: edge-asd config check THIS-FILE\n{comment}{text}"


def installer_text(target: Target) -> str:
    """install.sh for the target."""
    filled = {
        "NAME": target.name,
        "BOARD": target.board,
        "BITS": "32" if target.machine == "armv7l" else "64",
        "MACHINES": UNAMES[target.machine],
        "PYTHONS": " ".join(target.wheels),
        "GLIBC": target.glibc,
        "SYSTEM_SITE": "yes" if target.debian_packages else "no",
        "RUNTIME": target.runtime,
        "DEBIAN_PROOF": target.debian_proof,
    }
    text = INSTALLER.read_text(encoding="utf-8")
    for name, value in filled.items():
        text = text.replace(f"@{name}@", value)
    return text


def requirements_text(target: Target, python: str, extra: Sequence[Path]) -> str:
    """What pip is to install on the board, a line each."""
    replaced = {target.replaceable.get(package_of(path.name)) for path in extra}
    lines = [line for line in target.requirements(python) if line.split("==")[0] not in {*replaced, "pip"}]
    return "\n".join([*lines, *(package_of(path.name) for path in extra), "edge-asd"]) + "\n"


def _packed(folder: Path, files: Sequence[Path], inside: str) -> bytes:
    """Tar and gzip without times and owners: the same content gives the same bytes."""
    packed = io.BytesIO()
    # Wheels are compressed already: level 1 costs no size.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in files:
            info = tarfile.TarInfo(f"{inside}/{path.relative_to(folder).as_posix()}")
            info.size = path.stat().st_size
            info.mode = 0o755 if path.name == "install.sh" else 0o644
            with path.open("rb") as file:
                tar.addfile(info, file)
    return packed.getvalue()
