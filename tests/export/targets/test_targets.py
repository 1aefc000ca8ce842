"""Archives for boards: complete, checked, refused where they cannot work; the x86-64 one is installed and run here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_asd.bundle.bundle import Bundle, save_bundle
from edge_asd.cli.parsing import Parser
from edge_asd.config import load_config
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.errors import DataError, MissingInputError, UnavailableError, UsageError
from edge_asd.inference import load_embedder
from edge_asd.model_package import DEFAULT_PACKAGE, load_model
from export.cli import export as export_command
from export.targets import archive, kernel, wheels
from export.targets.target import load_target, names

REPOSITORY = Path(__file__).parent.parent.parent.parent
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize("name", names())
def test_every_target_is_whole(name: str) -> None:
    target = load_target(name)
    assert re.fullmatch(r"2\.\d+", target.glibc)
    assert target.runtime in ("onnxruntime", "litert", "tflite")
    for python in target.wheels:
        required = dict(line.split("==") for line in target.requirements(python))
        assert {"sounddevice", "soundfile", "typing_extensions", "pip"} <= set(required)
        assert {"onnxruntime": "onnxruntime", "tflite": "tflite-runtime"}[target.runtime] in required
        assert ("soxr" in required) == (target.machine != "armv7l")


@pytest.mark.parametrize("name", names())
def test_the_wheels_are_the_versions_that_were_tested(name: str) -> None:
    pinned = {}
    for line in (REPOSITORY / "constraints.txt").read_text().splitlines():
        package, _, rest = line.partition("==")
        version, _, marker = rest.partition(";")
        for python in ("3.10", "3.11"):
            if not marker or eval(marker, {"python_version": python}) == 1:
                pinned[(package.lower().replace("_", "-"), python)] = version.strip()
    target = load_target(name)
    for python in target.wheels:
        for line in target.requirements(python):
            package, version = line.split("==")
            key = (package.lower().replace("_", "-"), "3.10" if python == "3.10" else "3.11")
            assert pinned.get(key, version) == version, line


def test_the_targets_of_the_specification_are_there() -> None:
    assert {"pi-zero2", "pi3", "pi4", "pi5", "jetson-orin", "armv7", "x86-64"} <= set(names())


def test_an_unknown_target_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown target 'pi-4'; did you mean 'pi4'"):
        load_target("pi-4")


@pytest.mark.parametrize("name", names())
def test_each_boards_config_is_one_that_edge_asd_takes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(archive.config_text(load_target(name), "fan.asd"))
    config = load_config(path, environment={}).config
    assert config.model.bundle == str(tmp_path / "fan.asd")
    assert config.model.runtime == load_target(name).runtime
    if name == "armv7":
        assert config.audio.aliases["mic0"].startswith("plughw:")
    if name == "jetson-orin":
        assert (config.model.accelerator, config.model.engine_cache) == ("tensorrt", "/var/lib/edge-asd/engines")


def test_a_bundle_of_another_runtime_needs_its_frames(
    tiny_bundle: Bundle,
) -> None:
    path = Path("fan.asd")
    archive.check_bundle(load_target("pi4"), tiny_bundle, path)
    with pytest.raises(
        DataError, match=r"fitted by onnxruntime .* armv7 scores by tflite.*--keep-frames.*--enroll DIR"
    ):
        archive.check_bundle(load_target("armv7"), tiny_bundle, path)
    unknown = dataclasses.replace(tiny_bundle, fitted_by="")
    archive.check_bundle(load_target("pi4"), unknown, path)
    with pytest.raises(DataError, match=r"fitted by nobody knows what.*--keep-frames"):
        archive.check_bundle(load_target("armv7"), unknown, path)


def test_frames_serve_where_the_network_that_ships_is_there_for_the_board(steady_sound) -> None:
    model = load_model(DEFAULT_PACKAGE, "int8", ("onnx",))
    enrolment = Enrolment(model, load_embedder(model), keep_frames=True)
    enrolment.add_samples(steady_sound(20.0), "steady sound")
    bundle, path = enrolment.finish({}), Path("fan.asd")
    archive.check_bundle(load_target("armv7"), bundle, path)
    contract = dataclasses.replace(model.contract, version="2+adapted.12345678")
    adapted = dataclasses.replace(bundle, model=dataclasses.replace(model, contract=contract))
    archive.check_bundle(load_target("pi4"), adapted, path)
    with pytest.raises(DataError, match=r"adapted.12345678, is not the one that ships.*as tflite, which armv7 runs; "):
        archive.check_bundle(load_target("armv7"), adapted, path)
    in_float = dataclasses.replace(bundle, model=load_model(DEFAULT_PACKAGE, "fp32", ("onnx",)))
    archive.check_bundle(load_target("pi4"), in_float, path)
    with pytest.raises(DataError, match=r"armv7 runs tflite: .*fp32.*--enroll DIR"):
        archive.check_bundle(load_target("armv7"), in_float, path)


def test_edge_asds_own_wheel_holds_the_device_and_the_kernel_only(tmp_path: Path) -> None:
    library = tmp_path / "liblogmel.so"
    library.write_bytes(b"kernel")
    path = wheels.own_wheel("aarch64", [library], tmp_path)
    assert path.name.endswith("-py3-none-linux_aarch64.whl")
    with zipfile.ZipFile(path) as wheel:
        found = set(wheel.namelist())
        assert wheel.read("edge_asd/native/liblogmel.so") == b"kernel"
        record = wheel.read(next(name for name in found if name.endswith("/RECORD"))).decode()
        metadata = wheel.read(next(name for name in found if name.endswith("/METADATA"))).decode()
    assert {"edge_asd/cli/run.py", "edge_asd/models/mfn-128/model.json", "edge_asd/service/edge-asd.service"} <= found
    assert not [name for name in found if name.startswith("export") or "__pycache__" in name or "avx2" in name]
    assert {line.split(",")[0] for line in record.splitlines()} == found
    assert re.search(r"(?m)^Name: edge-asd$", metadata)
    assert wheels.own_wheel("aarch64", [library], tmp_path).read_bytes() == path.read_bytes()
    assert wheels.own_wheel("aarch64", [], tmp_path).name.endswith("-py3-none-any.whl")


def test_the_kernel_is_compiled_for_the_machine_asked_for(tmp_path: Path) -> None:
    if shutil.which("aarch64-linux-gnu-gcc") is None:
        pytest.skip("needs a cross compiler: apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
    (library,) = kernel.build_for("aarch64", "2.31", tmp_path)
    header = library.read_bytes()[:20]
    assert (header[:4], header[4], header[18]) == (b"\x7fELF", 2, 0xB7)


def test_without_a_compiler_the_remedies_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.shutil, "which", lambda name: None)
    monkeypatch.setattr(kernel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"pip install 'edge-asd\[targets\]'.*--no-kernel"):
        kernel.compiler_for("aarch64", "2.31")


def test_nvidias_wheel_takes_the_place_of_the_one_it_replaces(tmp_path: Path) -> None:
    given = tmp_path / "onnxruntime_gpu-1.23.0-cp310-cp310-linux_aarch64.whl"
    target = load_target("jetson-orin")
    assert "onnxruntime==1.23.2" in archive.requirements_text(target, "3.10", [])
    text = archive.requirements_text(target, "3.10", [given])
    assert "onnxruntime==1.23.2" not in text
    assert "onnxruntime-gpu" in text.splitlines()
    with pytest.raises(MissingInputError, match="no such wheel"):
        wheels.download(target, "3.10", tmp_path, [given])


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["--target", "pi4", "--out", "dist"], "--target without --bundle"),
        (["--target", "pi6", "--bundle", "fan.asd", "--out", "dist"], "unknown target 'pi6'; did you mean 'pi"),
        (["--target", "pi4", "--bundle", "fan.asd"], "--out DIR"),
        (["--target", "pi4", "--model", "model", "--out", "dist"], "do not go together"),
    ],
)
def test_flags_that_cannot_be_meant_are_usage_errors(words: list[str], wanted: str) -> None:
    parser = Parser()
    export_command.add_parser(parser.add_subparsers(parser_class=Parser))
    with pytest.raises(UsageError, match=re.escape(wanted)):
        export_command.run(parser.parse_args(["export", *words]))


@pytest.fixture(scope="module")
def unpacked(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive for this machine, unpacked. Its wheels of others are left out: this Python's own packages serve, and
    nothing is downloaded."""
    if platform.machine() != "x86_64" or shutil.which("cc") is None:
        pytest.skip("installs the x86-64 archive: needs that machine and a C compiler")
    folder = tmp_path_factory.mktemp("archive")
    save_bundle(tiny_bundle, folder / "fan.asd")
    target = dataclasses.replace(load_target("x86-64"), wheels={HERE: "wheels-64bit.txt"})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(archive, "download", lambda target, python, folder, extra: _pip_wheel(folder))
        patched.setattr(archive, "requirements_text", lambda target, python, extra: "edge-asd\n")
        path = archive.write_archive(target, tiny_bundle, folder / "fan.asd", folder)
        again = archive.write_archive(target, tiny_bundle, folder / "fan.asd", folder / "..").read_bytes()
    assert path.read_bytes() == again
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    return folder / "edge-asd-x86-64"


def _pip_wheel(folder: Path) -> None:
    """This environment's pip as a directory that runs like the wheel in a real archive."""
    import pip

    with zipfile.ZipFile(folder / "pip-0-py3-none-any.whl", "w") as wheel:
        root = Path(pip.__file__).parent
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                wheel.write(path, Path("pip") / path.relative_to(root))


def install(folder: Path, *words: object, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(folder / "install.sh"), "--python", python, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=with_packages())


def with_packages() -> dict[str, str]:
    """An environment in which a new virtual environment sees this one's packages, but not the edge-asd of the tests."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(packages), "PYTHONSAFEPATH": "1"}


def test_the_archive_holds_what_its_sums_say(unpacked: Path) -> None:
    listed = dict(reversed(line.split("  ")) for line in (unpacked / "SHA256SUMS").read_text().splitlines())
    found = {str(p.relative_to(unpacked)): p for p in unpacked.rglob("*") if p.is_file() and p.name != "SHA256SUMS"}
    assert set(listed) == set(found)
    assert {"install.sh", "config.yaml", "fan.asd", "edge-asd.service", f"requirements-{HERE}.txt"} <= set(found)
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name]
    assert os.access(unpacked / "install.sh", os.X_OK)
    assert "@" not in re.sub(r'"\$@"', "", (unpacked / "install.sh").read_text())


def test_it_installs_below_a_root_twice_and_what_was_installed_scores(
    unpacked: Path, tmp_path: Path, steady_sound
) -> None:
    first = install(unpacked, "--root", tmp_path, "--prefix", "/opt/asd")
    assert first.returncode == 0, first.stderr
    config = tmp_path / "etc/edge-asd/config.yaml"
    config.write_text(config.read_text() + "alarm:\n  confirm_s: 1.0\n")
    second = install(unpacked, "--root", tmp_path, "--prefix", "/opt/asd")
    assert second.returncode == 0, second.stderr
    assert "config.yaml is kept" in second.stderr
    assert "confirm_s: 1.0" in config.read_text()
    unit = (tmp_path / "etc/systemd/system/edge-asd.service").read_text()
    assert "ExecStart=/opt/asd/bin/edge-asd run --wait" in unit
    clip = tmp_path / "clip.wav"
    with wave.open(str(clip), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((32767 * np.clip(steady_sound(4.0, seed=3), -1.0, 1.0)).astype("<i2").tobytes())
    home = tmp_path / "opt/asd"
    done = subprocess.run(
        [home / "bin/edge-asd", "score", "--bundle", tmp_path / "etc/edge-asd/fan.asd", clip, "--json"],
        capture_output=True,
        text=True,
        env={**with_packages(), "EDGE_ASD_KERNEL": "native"},
    )
    assert done.returncode == 0, done.stderr
    assert 0.0 <= json.loads(done.stdout.splitlines()[0])["score"] <= 100.0
    installed = subprocess.run(
        [home / "bin/python", "-c", "import edge_asd; print(edge_asd.__file__)"],
        capture_output=True,
        env=with_packages(),
    )
    assert str(home).encode() in installed.stdout


def test_damage_is_noticed_before_anything_is_written(unpacked: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(unpacked, tmp_path / "copy")
    with (copy / "fan.asd").open("ab") as file:
        file.write(b"!")
    done = install(copy, "--root", tmp_path / "root")
    assert done.returncode == 65
    assert "fan.asd" in done.stderr
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    "line, wanted, code",
    [
        ('MACHINES="armv9"', "this archive is for x86-64 (armv9), this machine is x86_64", 69),
        ('PYTHONS="2.7"', "none of Python 2.7", 69),
        ('GLIBC="2.99"', "2.99 or newer is needed", 69),
    ],
)
def test_another_board_is_refused_by_name(unpacked: Path, tmp_path: Path, line: str, wanted: str, code: int) -> None:
    copy = shutil.copytree(unpacked, tmp_path / "copy")
    script = copy / "install.sh"
    script.write_text(re.sub(rf"(?m)^{line.split('=')[0]}=.*$", line, script.read_text(), count=1))
    sums = copy / "SHA256SUMS"
    other = [entry for entry in sums.read_text().splitlines() if not entry.endswith("  install.sh")]
    sums.write_text("\n".join([*other, f"{hashlib.sha256(script.read_bytes()).hexdigest()}  install.sh"]) + "\n")
    done = install(copy, "--root", tmp_path / "root")
    assert done.returncode == code
    assert wanted in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [["--prefx", "/opt"], ["--prefix"], ["--prefix", "opt"]])
def test_mistyped_flags_are_usage_errors(unpacked: Path, words: list[str]) -> None:
    done = install(unpacked, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("install.sh: ")


def test_the_installer_is_clean_shell(tmp_path: Path) -> None:
    for name in names():
        script = tmp_path / "install.sh"
        script.write_text(archive.installer_text(load_target(name)))
        assert subprocess.run(["sh", "-n", script]).returncode == 0
