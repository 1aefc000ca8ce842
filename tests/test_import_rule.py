"""The one-way rule: the device's package needs the device's packages only, and those no sooner than it uses them."""

from __future__ import annotations

import ast
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import edge_asd
from edge_asd.bundle.bundle import Bundle, save_bundle
from edge_asd.clips import read_frames

PACKAGE = Path(edge_asd.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
AT_IMPORT = {"edge_asd", "numpy"}
WHERE_USED = {
    "PIL",
    "ai_edge_litert",
    "cryptography",
    "matplotlib",
    "onnxruntime",
    "paho",
    "prometheus_client",
    "sounddevice",
    "soundfile",
    "soxr",
    "tflite_runtime",
    "yaml",
}
WORKSTATION = ("torch", "export", "onnx", "onnxscript", "scipy", "sklearn", "librosa", "ai_edge_litert", "pytest")


def imports(source: str) -> Iterator[tuple[str, bool]]:
    """Top package of every import in the source, and whether it is inside a function."""

    def walk(node: ast.AST, in_function: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name.split(".")[0], in_function) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                yield ("edge_asd" if child.level else str(child.module).split(".")[0]), in_function
            elif isinstance(child, ast.Call) and ast.unparse(child.func).split(".")[-1] in (
                "import_module",
                "__import__",
            ):
                name = child.args[0].values[0] if isinstance(child.args[0], ast.JoinedStr) else child.args[0]
                yield (str(name.value).split(".")[0] if isinstance(name, ast.Constant) else "?"), in_function
            elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                continue
            inside = in_function or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from walk(child, inside)

    return walk(ast.parse(source), False)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_device_module_imports_only_what_a_device_has(module: Path) -> None:
    found = {(name, lazy) for name, lazy in imports(module.read_text()) if name not in sys.stdlib_module_names}
    assert {name for name, _ in found} <= AT_IMPORT | WHERE_USED
    assert {name for name, lazy in found if not lazy} <= AT_IMPORT


def test_only_the_report_draws_with_matplotlib() -> None:
    users = {str(m.relative_to(PACKAGE)) for m in MODULES if "matplotlib" in {n for n, _ in imports(m.read_text())}}
    assert users == {"evaluation/plots.py"}


def test_the_walk_sees_every_way_to_import() -> None:
    source = """
import torch.nn as nn
try:
    from scipy import signal
except ImportError:
    pass
def f():
    import librosa
    importlib.import_module("onnx.helper")
    importlib.import_module(f"edge_asd.{room}")
    __import__(name)
class A:
    from . import b
"""
    eager, lazy = {"torch", "scipy", "edge_asd"}, {"librosa", "onnx", "edge_asd", "?"}
    assert set(imports(source)) == {(name, False) for name in eager} | {(name, True) for name in lazy}


def run_python(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scoring_a_clip_loads_nothing_of_the_workstation(tiny_bundle: Bundle, steady_sound, tmp_path: Path) -> None:
    bundle_path, clip_path = tmp_path / "fan.asd", tmp_path / "clip.wav"
    save_bundle(tiny_bundle, bundle_path)
    with wave.open(str(clip_path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((32767 * np.clip(steady_sound(2.0), -1.0, 1.0)).astype("<i2").tobytes())
    code = f"""
import sys
from pathlib import Path
from edge_asd.bundle.bundle import load_bundle
from edge_asd.clips import read_frames
bundle = load_bundle(Path(sys.argv[1]))
score = bundle.score_clip(read_frames(Path(sys.argv[2]), bundle.contract.features))
print(score.score, score.n_windows)
print(sorted(set({WORKSTATION!r}) & set(sys.modules)))
"""
    scored, loaded = run_python(code, bundle_path, clip_path).splitlines()
    here = tiny_bundle.score_clip(read_frames(clip_path, tiny_bundle.contract.features))
    assert [float(word) for word in scored.split()] == pytest.approx([here.score, here.n_windows], rel=1e-6)
    assert here.n_windows > 1
    assert loaded == "[]"


def test_help_does_not_wait_for_numpy() -> None:
    pytest.importorskip("edge_asd.cli")
    code = """
import sys
from edge_asd.cli import main
try:
    main(["--help"])
except SystemExit as ended:
    assert not ended.code, ended.code
print("loaded:", sorted({"PIL", "numpy", "onnxruntime", "yaml", "soundfile", "sounddevice", "soxr"} & set(sys.modules)))
"""
    assert run_python(code).strip().splitlines()[-1] == "loaded: []"
