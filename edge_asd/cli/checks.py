"""What `doctor` looks at, one function a finding; what they look at is passed in, so that tests can break it."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.errors import EdgeAsdError

OLDEST_PYTHON = (3, 10)
PACKAGES = {"numpy": "numpy", "yaml": "pyyaml", "soundfile": "soundfile", "soxr": "soxr", "PIL": "pillow"}
"""Module -> name to install it by. sounddevice is looked at together with PortAudio, runtimes by `runtimes`."""
NOT_ON_32_BIT = ("soxr",)
"""Without wheels there: a microphone must give the model's rate itself."""
ABSENT = "not installed"
FREE_BYTES_NEEDED = 50_000_000


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    state: "ok", "warn" (a microphone cannot be used) or "fail" (edge-asd does not work).
    detail: what was found. mend: the one command that helps, empty when nothing is wrong or no command can help.
    """

    name: str
    state: str
    detail: str
    mend: str = ""


def examine(root: Path = Path("/")) -> list[Finding]:
    """Look at this machine. Never raises for what it finds.

    root: of the file system where sound cards are looked for.
    """
    findings = [python(sys.version_info[:3], 8 * struct.calcsize("P"))]
    findings += [package(module, name, importlib.import_module) for module, name in PACKAGES.items()]
    findings.append(runtimes(importlib.import_module))
    if not any(finding.state == "fail" for finding in findings):
        findings += [model(), kernel()]
    findings += [portaudio(), cards(root), disk(Path.cwd())]
    return findings


def python(version: Sequence[int], bits: int) -> Finding:
    """A Python that is new enough; 32 bits are told, since fewer packages exist for them."""
    shown = f"{'.'.join(map(str, version))}, {bits}-bit"
    if tuple(version[:2]) < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return Finding("Python", "fail", f"{shown}: {wanted} or newer is needed", "sudo apt install python3")
    if bits < 64:
        detail = f"{shown}: only tflite-runtime is built for it; the 64-bit system image runs faster"
        return Finding("Python", "warn", detail)
    return Finding("Python", "ok", shown)


def package(module: str, name: str, load: Callable[[str], Any]) -> Finding:
    """A Python package that can be imported.

    load: imports a module by name.
    """
    try:
        loaded = load(module)
    except ModuleNotFoundError:
        if name in NOT_ON_32_BIT and sys.maxsize < 2**32:
            return Finding(name, "warn", "not installed: sound must come at the model's rate (ALSA: plughw:CARD=...)")
        return Finding(name, "fail", ABSENT, _install(name))
    except Exception as error:  # a broken binary package raises anything
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
        return Finding(name, "fail", why, f"{_pip()} install --force-reinstall {name}")
    return Finding(name, "ok", str(getattr(loaded, "__version__", "installed")))


def runtimes(load: Callable[[str], Any]) -> Finding:
    """At least one library that runs the network.

    load: imports a module by name.
    """
    from edge_asd.inference.runtimes import RUNTIMES, advised

    looked_at = {runtime.name: package(runtime.module, runtime.name, load) for runtime in RUNTIMES}
    working = [f"{name} {finding.detail}" for name, finding in looked_at.items() if finding.state == "ok"]
    broken = [f"{name}: {f.detail}" for name, f in looked_at.items() if f.state == "fail" and f.detail != ABSENT]
    if not working:
        mend = f"{_quoted(sys.executable)} -m {advised().mend}"
        return Finding("runtime", "fail", "; ".join(broken) or "none installed", mend)
    return Finding("runtime", "ok", ", ".join(working) + "".join(f"; broken: {why}" for why in broken))


def model(package: Path | None = None) -> Finding:
    """The model that ships: the hashes of all its networks, and one run of the int8 one.

    package: None: the one that ships.
    """
    import numpy as np

    from edge_asd.inference import load_embedder, runnable_formats
    from edge_asd.model_package import DEFAULT_PACKAGE, load_all, load_model

    try:
        networks = load_all(package or DEFAULT_PACKAGE)
        chosen = load_model(package or DEFAULT_PACKAGE, formats=runnable_formats())
        contract = chosen.contract
        window = np.zeros((1, contract.window_frames, contract.features.n_mels), np.float32)
        load_embedder(chosen).embed(window)
    except EdgeAsdError as error:
        return Finding("model", "fail", str(error), f"{_pip()} install --force-reinstall edge-asd")
    sizes = ", ".join(f"{n.network_format} {n.precision} {len(n.network) / 1e6:.1f} MB" for n in networks)
    return Finding("model", "ok", f"{contract.title}, {sizes}")


def kernel() -> Finding:
    """What computes the log-mel frames. Numpy does it as well, only slower: never a fault."""
    from edge_asd.native import library

    name = "log-mel kernel"
    try:
        choice = library.chosen()
    except EdgeAsdError as error:
        return Finding(name, "fail", error.message, f"unset {library.CHOICE_VARIABLE}")
    found = library.load()
    if choice == "native" and found.functions is None:
        return Finding(name, "fail", f"native asked for, but {found.detail}", f"unset {library.CHOICE_VARIABLE}")
    if choice == "numpy":
        return Finding(name, "ok", f"numpy ({library.CHOICE_VARIABLE}=numpy)")
    if found.functions is None:
        return Finding(name, "ok", f"numpy (native kernel: {found.detail})")
    return Finding(name, "ok", f"native ({found.detail})")


def portaudio(load: Callable[[], Any] | None = None) -> Finding:
    """sounddevice and the system library it needs.

    load: gives the module or raises UnavailableError; None: the real one.
    """
    from edge_asd.audio import portaudio as door

    try:
        sounddevice = (load or door.load)()
    except EdgeAsdError as error:
        return Finding("PortAudio", "warn", error.message, error.remedy.removeprefix("run: "))
    return Finding("PortAudio", "ok", str(sounddevice.get_portaudio_version()[1]))


def cards(root: Path, may_use: Callable[[Path], bool] | None = None) -> Finding:
    """Capture cards the kernel knows, and whether this user may open them.

    root: of the file system. may_use: whether a device file can be opened; None: ask the system.
    """
    from edge_asd.audio.cards import capture_cards

    found = capture_cards(root)
    if not found:
        return Finding("microphone", "warn", "the kernel knows no capture card: connect one", "arecord -l")
    allowed = may_use or (lambda path: os.access(path, os.R_OK | os.W_OK))
    names = ", ".join(card.stable_name for card in found)
    if not all(allowed(root / f"dev/snd/pcmC{card.card}D{card.device}c") for card in found):
        detail = f"{names}: this user may not open it; log in again after mending"
        return Finding("microphone", "warn", detail, "sudo usermod -aG audio $USER")
    return Finding("microphone", "ok", names)


def disk(directory: Path, free_bytes: int | None = None) -> Finding:
    """A directory that can be written, with room left.

    free_bytes: None: ask the system.
    """
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"edge-asd")
            file.flush()
        free = shutil.disk_usage(directory).free if free_bytes is None else free_bytes
    except OSError as error:
        return Finding(
            "disk", "fail", f"{directory} cannot be written: {error.strerror}", f"ls -ld {_quoted(directory)}"
        )
    if free < FREE_BYTES_NEEDED:
        detail = f"{directory}: only {free / 1e6:.0f} MB free"
        return Finding("disk", "fail", detail, f"sudo du -xh {_quoted(directory)} | sort -h | tail")
    return Finding("disk", "ok", f"{directory}: {free / 1e9:.1f} GB free")


def _pip() -> str:
    return f"{_quoted(sys.executable)} -m pip"


def _install(name: str) -> str:
    """Debian refuses pip outside a virtual environment (PEP 668), so the command for there makes one."""
    if sys.prefix == sys.base_prefix:
        return "python3 -m venv ~/edge-asd && ~/edge-asd/bin/pip install edge-asd"
    return f"{_pip()} install {name}"


def _quoted(path: object) -> str:
    return shlex.quote(str(path))
