"""The links of the chain, and the embeddings each gives."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd import inference
from edge_asd.contract import ModelContract
from edge_asd.errors import DataError, UnavailableError
from edge_asd.inference import load_embedder
from edge_asd.inference.runtimes import RUNTIMES
from edge_asd.model_package import Model, leading, load_model, read_manifest
from edge_asd.windows import Windows
from export.emulation import CPUS, Sysroot
from export.parity.sound import EmbeddingsAlone

NO_VNNI = "Haswell"
"""QEMU's name of an x86 processor with AVX2 and without the dot products of VNNI."""
BOARD_PYTHON = "/usr/bin/python3.11"
DISTRIBUTIONS = {"onnxruntime": ("onnxruntime",), "litert": ("ai-edge-litert", "flatbuffers")}
"""Runtime -> what it needs on a 64-bit board beside numpy; the versions are those installed here."""
ARMV7 = "cortex-a7"
"""A 32-bit Pi (2): tflite-runtime is the only runtime there, with Debian's numpy."""
ARMV7_PACKAGES = ("libc6", "libc-bin", "libstdc++6", "python3.11-minimal", "libpython3.11-stdlib", "python3-numpy")
ARMV7_WHEELS = ("tflite-runtime==2.14.0",)
TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Link:
    """One form of the model.

    network_format: "torch", "onnx" or "tflite". precision: "fp32" or "int8".
    runtime: of `edge_asd.inference.runtimes`, or "torch".
    cpu: QEMU's name of the processor it runs on; "" is this machine.
    """

    network_format: str
    precision: str
    runtime: str
    cpu: str = ""

    @property
    def name(self) -> str:
        """For a table."""
        if self.network_format == "torch":
            return "torch fp32"
        shown = {"onnx": "ONNX", "tflite": "TFLite"}[self.network_format]
        runtime = ", tflite-runtime" if self.runtime == "tflite" else ""
        return f"{shown} {self.precision}{runtime}{f', {self.cpu}' if self.cpu else ''}"

    @property
    def here(self) -> Link:
        """The same file by the same runtime on this machine."""
        return Link(self.network_format, self.precision, self.runtime)


REFERENCE = Link("onnx", "fp32", "onnxruntime")


def chain(package: Path) -> list[Link]:
    """All links a package has files for, the reference among them. Raises MissingInputError, DataError (what it holds
    is no embedder of log-mel windows alone, the only kind that is played to every link)."""
    manifest = read_manifest(package)
    if manifest.get("contract") is not None:
        contract = ModelContract.from_dict(manifest["contract"])
        if contract.takes_waveform or not contract.has_embedder:
            heard = "hears the waveform" if contract.takes_waveform else "gives no embeddings"
            raise DataError(
                f"{package}: {contract.name} {heard}, and the links are compared by embeddings of log-mel windows",
                remedy="measure it with edge-asd evaluate, in either precision",
            )
    files = leading(manifest)
    if "fp32" not in files.get("onnx", {}):
        raise DataError(
            f"{package}: no float ONNX network, nothing to compare with",
            remedy=f"add it: edge-asd export --model RUN/best --format onnx --precision fp32 --out {package}",
        )
    links = [Link("torch", "fp32", "torch"), REFERENCE]
    int8 = [
        Link(network_format, "int8", runtime.name)
        for network_format in ("onnx", "tflite")
        if "int8" in files.get(network_format, {})
        for runtime in RUNTIMES
        if network_format in runtime.formats
    ]
    emulated = [link for link in int8 if link.runtime in DISTRIBUTIONS]
    return [
        *links,
        *int8,
        *(Link(link.network_format, "int8", link.runtime, cpu) for cpu in (NO_VNNI, *CPUS) for link in emulated),
        *(Link("tflite", "int8", "tflite", ARMV7) for link in int8 if link.runtime == "tflite"),
    ]


def embed(link: Link, package: Path, windows: np.ndarray, run: Path | None = None) -> np.ndarray:
    """Log-mel windows float32 [n, window_frames, n_mels] -> float32 [n, d] by this link.

    run: training run with the torch link's network; None: rebuilt from the package.
    Raises UnavailableError with the reason where the link cannot be run here, DataError where it breaks.
    """
    if link.network_format == "torch":
        return _by_torch(model_of(REFERENCE, package), windows, run)
    if not link.cpu:
        model = load_model(package, link.precision, (link.network_format,))
        return load_embedder(model, link.runtime).embed(windows)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        np.save(work / "windows.npy", windows)
        shutil.copy2(Path(__file__).with_name("child.py"), work / "child.py")
        words = [link.network_format, link.precision, link.runtime]
        try:
            done = _on_x86(link, package, work, words) if link.cpu == NO_VNNI else _on_board(link, package, work, words)
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"not done after {TIMEOUT_S:.0f} s of emulation") from error
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise DataError(f"{link.name}: the emulated run ended with {done.returncode}: {last}")
        return np.load(work / "embeddings.npy")


def _by_torch(model: Model, windows: np.ndarray, run: Path | None) -> np.ndarray:
    from export.packages.rebuild import rebuilt, torch_embeddings

    try:
        if run is None:
            return torch_embeddings(rebuilt(model), model, windows)
        from export.packages.make import load_source

        source = load_source(run)
    except ImportError as error:
        raise UnavailableError(f"{error.name} is not installed", remedy="pip install 'edge-asd[export]'") from error
    except DataError as error:
        if run is not None:
            raise
        raise UnavailableError(error.message, remedy="name the training run with --run") from error
    if source.model is None:
        raise DataError(f"{run}: no torch network there", remedy="name RUN/best of edge-asd train")
    return torch_embeddings(source.model.eval(), model, windows)


def _on_x86(link: Link, package: Path, work: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        raise UnavailableError("needs Debian's qemu-user", remedy="apt install qemu-user")
    if os.uname().machine != "x86_64":
        raise UnavailableError("this machine's Python is not an x86 program")
    source = Path(inference.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    command = [emulator, "-cpu", link.cpu, sys.executable, str(work / "child.py"), str(package), *words, str(work)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S)


def _on_board(link: Link, package: Path, work: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    if link.cpu == ARMV7:
        board = Sysroot.ensure(architecture="armhf", packages=ARMV7_PACKAGES)
        return _on(board, board.site(ARMV7_WHEELS), link, package, work, words)
    board = Sysroot.ensure()
    wanted = ("numpy", *DISTRIBUTIONS[link.runtime])
    try:
        site = board.site([f"{name}=={importlib.metadata.version(name)}" for name in wanted])
    except importlib.metadata.PackageNotFoundError as error:
        raise UnavailableError(f"{error.name} is not installed here, which version is the board's?") from error
    return _on(board, site, link, package, work, words)


def _on(
    board: Sysroot, site: Path, link: Link, package: Path, work: Path, words: list[str]
) -> subprocess.CompletedProcess[str]:
    binds = {"/site": site, "/edge/edge_asd": Path(inference.__file__).parents[1], "/model": package, "/parity": work}
    return board.run(
        [BOARD_PYTHON, "/parity/child.py", "/model", *words, "/parity"],
        cpu=link.cpu,
        binds=binds,
        environment={"PYTHONPATH": "/edge:/site"},
        timeout_s=TIMEOUT_S,
    )


class Played(EmbeddingsAlone):
    """An embedder that gives embeddings made elsewhere, in the order in which their windows were recorded."""

    runtime = "played back"

    def __init__(self, contract: ModelContract, embeddings: np.ndarray) -> None:
        self.contract = contract
        self._left = embeddings

    def embed(self, windows: np.ndarray | Windows) -> np.ndarray:
        """The next len(windows) embeddings; what `windows` holds was settled when they were made."""
        given, self._left = self._left[: len(windows)], self._left[len(windows) :]
        assert len(given) == len(windows), "asked for more windows than were recorded"
        return given


def model_of(link: Link, package: Path) -> Model:
    """The file a link runs (the float ONNX one for torch)."""
    if link.network_format == "torch":
        link = REFERENCE
    return load_model(package, link.precision, (link.network_format,))
