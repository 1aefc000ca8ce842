"""Microphones that are not there: builds the ALSA plugin in `fakemic.c` and runs scenarios against it.

ALSA reads its configuration once a process, so every scenario is a process of its own.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
SYSTEM_CONFIG = Path("/usr/share/alsa/alsa.conf")
SCENARIO_LIMIT_S = 40
PATTERN_STEP, CHANNEL_STEP = 40503, 12345


def build_plugin(folder: Path) -> Path:
    """Compile the plugin, or skip the test naming what is missing."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("the fake microphone needs a C compiler: apt install gcc")
    if ctypes.util.find_library("portaudio") is None:
        pytest.skip("the fake microphone needs PortAudio: apt install libportaudio2")
    plugin = folder / "libfakemic.so"
    source = HERE / "fakemic.c"
    command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-DPIC", "-o", str(plugin), str(source), "-lasound"]
    done = subprocess.run(command, capture_output=True, text=True)
    if "asoundlib.h: No such file" in done.stderr or not SYSTEM_CONFIG.exists():
        pytest.skip("the fake microphone needs ALSA's headers: apt install libasound2-dev")
    assert done.returncode == 0, done.stderr
    return plugin


@dataclass(frozen=True)
class FakeMicrophones:
    """Three microphones: mic16 (16 kHz, S16, mono), mic48 (48 kHz, S32, stereo), spare (16 kHz, S16, mono).

    folder: of the control files, as the process that uses them sees it. plugin: what `build_plugin` made, likewise.
    on_disk: the folder as this process sees it, where that is another path.
    """

    folder: Path
    plugin: Path
    on_disk: Path | None = None

    def environment(self) -> dict[str, str]:
        """What a process needs to see them and no other; all of them run."""
        here = self.on_disk or self.folder
        lines = [f'pcm_type.fakemic {{ lib "{self.plugin}" }}']
        for name, rate_hz, channels, pcm_format in (
            ("mic16", 16000, 1, "S16_LE"),
            ("mic48", 48000, 2, "S32_LE"),
            ("spare", 16000, 1, "S16_LE"),
        ):
            control = self.folder / name
            (here / name).write_text("run")
            lines.append(
                f'pcm.{name} {{ type fakemic control "{control}" rate {rate_hz} channels {channels} '
                f"format {pcm_format} hint {{ show on }} }}"
            )
        config = self.folder / "asound.conf"
        (here / "asound.conf").write_text("\n".join(lines) + "\n")
        return {**os.environ, "ALSA_CONFIG_PATH": f"{SYSTEM_CONFIG}:{config}", "FAKE_MICROPHONES": str(self.folder)}

    def run(self, scenario: str) -> dict[str, Any]:
        """Run one function of `scenarios.py` in its own process: what it returned, plus "stderr"."""
        done = subprocess.run(
            [sys.executable, str(HERE / "scenarios.py"), scenario],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=SCENARIO_LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        return {**json.loads(done.stdout), "stderr": done.stderr}


def pattern(first: int, count: int, *, bits: int, channel: int = 0) -> np.ndarray:
    """What a fake microphone captures: frames first..first+count of one channel, float32 [count], exact."""
    frames = np.arange(first, first + count, dtype=np.uint64)
    values = (frames * PATTERN_STEP + channel * CHANNEL_STEP) % (1 << bits)
    signed = values.astype(np.int64)
    signed[signed >= 1 << (bits - 1)] -= 1 << bits
    return (signed / float(1 << (bits - 1))).astype(np.float32)


def frame_of(sample: float) -> int:
    """Which frame (modulo 65536) a sample of a 16-bit fake microphone is."""
    return round(sample * 32768) * pow(PATTERN_STEP, -1, 1 << 16) % (1 << 16)
