"""Which runtimes there are, which of them are installed, and what their networks look like on disk."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass

from edge_asd.errors import UnavailableError, UsageError

AUTO = "auto"


@dataclass(frozen=True)
class Runtime:
    """A library that runs networks.

    name: as settings call it.
    module: what Python imports.
    formats: of the networks it runs, the preferred first.
    mend: the command that installs it.
    """

    name: str
    module: str
    formats: tuple[str, ...]
    mend: str


RUNTIMES = (
    Runtime("onnxruntime", "onnxruntime", ("onnx", "ort"), "pip install onnxruntime"),
    Runtime("litert", "ai_edge_litert", ("tflite",), "pip install 'edge-asd[litert]'"),
    Runtime(
        "tflite",
        "tflite_runtime",
        ("tflite",),
        "pip install -c constraints-tflite-legacy.txt 'edge-asd[tflite-legacy]'",
    ),
)
"""In the order `auto` looks for them: ONNX Runtime was the fastest in every measurement so far."""
CHOICES = (AUTO, *(runtime.name for runtime in RUNTIMES))


def is_installed(runtime: Runtime) -> bool:
    """Whether the runtime's module can be found; it is not imported."""
    return importlib.util.find_spec(runtime.module) is not None


def usable(wanted: str = AUTO, *, installed: Callable[[Runtime], bool] = is_installed) -> tuple[Runtime, ...]:
    """The runtimes that may be used, the preferred first: the one `wanted`, or with "auto" all that are installed.

    installed: tells whether a runtime is there.
    Raises UnavailableError when none is, UsageError for an unknown name.
    """
    if wanted not in CHOICES:
        raise UsageError(f"runtime {wanted!r} is none of {', '.join(CHOICES)}")
    considered = [runtime for runtime in RUNTIMES if wanted in (AUTO, runtime.name)]
    found = tuple(runtime for runtime in considered if installed(runtime))
    if not found and wanted == AUTO:
        raise UnavailableError("no runtime for the network is installed", remedy=advised().mend)
    if not found:
        raise UnavailableError(f"{considered[0].module} is not installed", remedy=considered[0].mend)
    return found


def runnable_formats(wanted: str = AUTO, *, installed: Callable[[Runtime], bool] = is_installed) -> tuple[str, ...]:
    """Formats of networks that can be run here, the preferred first; `wanted` and errors as for `usable`."""
    return tuple(dict.fromkeys(name for runtime in usable(wanted, installed=installed) for name in runtime.formats))


def advised() -> Runtime:
    """The runtime to install where there is none: ONNX Runtime has no wheels for 32-bit systems."""
    return RUNTIMES[0] if sys.maxsize > 2**32 else RUNTIMES[-1]
