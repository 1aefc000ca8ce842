"""An emulated board: its root directory in a cache, commands run in it by QEMU, instructions counted.

Needs no right but that of making a user namespace: the root is entered by `unshare` and `chroot`, with nothing of the
host in it but what is bound there (onnxruntime crashes under QEMU when it sees the host's /proc and /sys).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import UnavailableError
from export.emulation.debian import ARCHITECTURES, Architecture, add_host_programs, build_root, make_skeleton

CPUS = {"cortex-a53": "Pi 3, Zero 2 W", "cortex-a72": "Pi 4", "cortex-a76": "Pi 5"}
"""Processors QEMU knows -> boards that have them."""
PYTHON_PACKAGES = (
    "libc6",
    "libc-bin",
    "libstdc++6",
    "python3.11-minimal",
    "libpython3.11-stdlib",
    "libportaudio2",
)
"""Enough to run Python with binary wheels."""
COUNTER_SOURCE = Path(__file__).with_name("counter.c")
SET_MARK = "os.getpriority(0, 0x0ED9EA5D)"
"""Python that raises ProcessLookupError and is a mark for `Sysroot.marks`."""
_TOOLS = {
    "qemu-aarch64": "qemu-user",
    "gcc": "gcc",
    "qemu-arm": "qemu-user",
    "unshare": "util-linux",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
}
WHEEL_PLATFORMS = {
    "arm64": (*(f"manylinux_2_{minor}_aarch64" for minor in (28, 27, 26, 17)), "manylinux2014_aarch64"),
    "armhf": (*(f"manylinux_2_{minor}_armv7l" for minor in (34, 31, 28, 17)), "manylinux2014_armv7l", "linux_armv7l"),
}


def default_cache() -> Path:
    """`$EDGE_ASD_EMULATION`, or a directory in the user's cache."""
    chosen = os.environ.get("EDGE_ASD_EMULATION")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-asd" / "emulation"


def missing() -> str:
    """What keeps boards from being emulated on this machine, with the command that mends it; "" when nothing does."""
    packages = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if packages:
        return f"emulated boards need Debian's {' '.join(packages)}: apt install {' '.join(packages)}"
    if subprocess.run([*_NAMESPACE, "true"], capture_output=True).returncode:
        return "emulated boards need user namespaces, which this system does not allow"
    return ""


_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child")


@dataclass(frozen=True)
class Sysroot:
    """One emulated board's root directory.

    root: the directory. architecture: what it holds. cache: where roots, wheels and the plugin are kept.
    writable: whether commands may change it (a `scratch` copy).
    """

    root: Path
    architecture: Architecture
    cache: Path
    writable: bool = False

    @classmethod
    def ensure(
        cls,
        cache_dir: Path | None = None,
        architecture: str = "arm64",
        packages: Sequence[str] = PYTHON_PACKAGES,
        release: str = "bookworm",
    ) -> Sysroot:
        """The board with `packages`, built where the cache does not hold it yet (a few seconds, some 20 MB).

        cache_dir: None: `default_cache()`. architecture: "arm64" or "armhf". Several processes may ask at once.

        Raises UnavailableError: a tool is missing (named with its package), or Debian's mirror cannot be reached.
        """
        lacking = missing()
        if lacking:
            raise UnavailableError(lacking)
        kind = ARCHITECTURES[architecture]
        cache = (cache_dir or default_cache()).absolute()
        words = "\n".join([_BUILD, architecture, release, *packages])
        root = cache / f"{architecture}-{release}-{_short_hash(words)}"
        with _built_once(root) as building:
            if building is not None:
                make_skeleton(building)
                with tempfile.TemporaryDirectory(dir=cache) as state:
                    build_root(building, kind, packages, release, Path(state))
                add_host_programs(building, kind)
                done = cls(building, kind, cache, writable=True).run(["/sbin/ldconfig"], cpu="max")
                if done.returncode:
                    raise UnavailableError(f"the emulated board does not run: {done.stderr.strip()[-200:]}")
        return cls(root, kind, cache)

    def site(self, requirements: Sequence[str], python: str = "3.11") -> Path:
        """A directory of wheels for this board's architecture, installed from here without dependencies and cached.

        requirements: pip's words, exact versions best ("numpy==2.4.6"). python: the board's version.

        Raises UnavailableError when pip finds no such wheel.
        """
        words = "\n".join([self.architecture.debian, python, *requirements])
        folder = self.cache / f"site-{self.architecture.debian}-{python}-{_short_hash(words)}"
        with _built_once(folder) as building:
            if building is not None:
                command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile"]
                command += ["--target", str(building), "--only-binary=:all:", "--upgrade"]
                command += ["--implementation", "cp", "--python-version", python]
                for platform in WHEEL_PLATFORMS[self.architecture.debian]:
                    command += ["--platform", platform]
                done = subprocess.run([*command, *requirements], capture_output=True, text=True)
                if done.returncode:
                    why = (done.stderr.strip() or "no reason given").splitlines()[-1]
                    raise UnavailableError(f"no wheels for the emulated {self.architecture.debian} board: {why}")
        return folder

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Sysroot]:
        """A copy that commands may change, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.cache, prefix="scratch-") as folder:
            copy = Path(folder) / "root"
            subprocess.run(["cp", "-a", "--reflink=auto", str(self.root), str(copy)], check=True)
            yield Sysroot(copy, self.architecture, self.cache, writable=True)

    def run(
        self,
        argv: Sequence[str],
        *,
        cpu: str = "cortex-a72",
        binds: Mapping[str, Path] | None = None,
        environment: Mapping[str, str] | None = None,
        children: bool = False,
        timeout_s: float = 300.0,
        count_into: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one program of the board and wait for it; output is captured, its exit code is the caller's to judge.

        argv: the program's path on the board and its words.
        cpu: a name QEMU knows, see `CPUS` ("max" for the most capable).
        binds: path on the board -> file or directory here, which appears there.
        environment: on top of a small fixed one (one thread, no hash randomness); nothing is inherited.
        children: the program starts others: registers the architecture with the kernel for this one command (Linux
            6.7 or newer). Otherwise only `argv` itself runs.
        count_into: directory where `instructions` writes its count.

        Raises subprocess.TimeoutExpired, UnavailableError (a kernel too old for `children`).
        """
        variables = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "QEMU_CPU": cpu,
            **(environment or {}),
        }
        emulated = list(argv)
        if not children:
            counting = ["-plugin", "/host/libcounter.so,out=/count/instructions"] if count_into is not None else []
            emulated = ["/host/qemu", *counting, *argv]
        mounts = dict(binds or {})
        if count_into is not None:
            mounts["/count"] = count_into
            mounts["/host/libcounter.so"] = self._counter()
        script = self._entrance(mounts, children)
        words = [*_NAMESPACE, "sh", "-euc", script, "sh", *(f"{k}={v}" for k, v in variables.items()), *emulated]
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL)
        if done.returncode == _NO_BINFMT:
            raise UnavailableError("programs that start others need Linux 6.7 or newer to be emulated")
        return done

    def instructions(self, argv: Sequence[str], **options: object) -> tuple[subprocess.CompletedProcess[str], int]:
        """`run`, and how many instructions of the board's processor it executed, start-up included.

        Equal runs differ by less than a millionth.
        """
        done, counts = self.marks(argv, **options)
        return done, counts[-1]

    def marks(self, argv: Sequence[str], **options: object) -> tuple[subprocess.CompletedProcess[str], list[int]]:
        """`run`, and the instructions executed until each mark the program set, at last until its end.

        A Python program sets a mark by `SET_MARK`. Subtract marks, so that start-up cancels.
        """
        with tempfile.TemporaryDirectory() as folder:
            done = self.run(argv, count_into=Path(folder), **options)  # type: ignore[arg-type]
            counted = Path(folder) / "instructions"
            if not counted.is_file():
                raise UnavailableError(f"the emulator counted nothing: {done.stderr.strip()[-300:]}")
            return done, [int(line) for line in counted.read_text().split()]

    def _entrance(self, mounts: Mapping[str, Path], children: bool) -> str:
        """Shell lines that turn a fresh namespace into the board; "$@" is what runs there."""
        root = shlex.quote(str(self.root))
        lines = [f"mount --bind {root} {root}"]
        for device in ("null", "urandom"):
            lines.append(f"mount --bind /dev/{device} {root}/dev/{device}")
        if children:
            lines += self._registration()
        if not self.writable:
            lines.append(f"mount -t tmpfs tmpfs {root}/tmp")
        for guest, host in mounts.items():
            target = self.root / guest.lstrip("/")
            if host.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            lines.append(f"mount --bind {shlex.quote(str(host.absolute()))} {shlex.quote(str(target))}")
        if not self.writable:
            lines.append(f"mount -o remount,bind,ro {root}")
        lines.append(f'exec {shutil.which("chroot") or "/usr/sbin/chroot"} {root} /host/env -i "$@"')
        return "\n".join(lines)

    def _registration(self) -> list[str]:
        """Lines that make the kernel run the board's programs through QEMU, inside this namespace only."""
        kind = self.architecture
        line = f":board:M::{kind.magic}:{kind.mask}:{self.root}/host/qemu:F"
        door = "/proc/sys/fs/binfmt_misc"
        return [
            f"mount -t binfmt_misc binfmt_misc {door} || exit {_NO_BINFMT}",
            f"printf '%s' {shlex.quote(line)} > {door}/register || exit {_NO_BINFMT}",
        ]

    def _counter(self) -> Path:
        """The plugin, compiled once for this version of QEMU."""
        version = subprocess.run([self.architecture.qemu, "--version"], capture_output=True, text=True).stdout
        major = int(version.split("version ")[1].split(".")[0])
        source = COUNTER_SOURCE.read_text()
        library = self.cache / f"counter-{_short_hash(source + version)}"
        with _built_once(library) as building:
            if building is not None:
                api = 1 if major < 9 else 2
                output = ["-o", str(building / "libcounter.so")]
                command = ["gcc", "-O2", "-shared", "-fPIC", f"-DAPI_VERSION={api}", *output, str(COUNTER_SOURCE)]
                subprocess.run(command, check=True)
        return library / "libcounter.so"


_BUILD = "2"
"""Goes up when roots are made another way, so that cached ones are left behind."""
_NO_BINFMT = 119


@contextlib.contextmanager
def _built_once(path: Path) -> Iterator[Path | None]:
    """Give an empty directory to fill, which becomes `path` when the block ends well; None where it exists already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_dir():
            yield None
            return
        building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{path.name}.new-"))
        building.chmod(0o755)
        try:
            yield building
            building.rename(path)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
