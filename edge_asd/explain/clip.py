"""A whole recording explained: its worst windows, what changed in them, and the picture that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_asd.clips import Clip, ClipScore
from edge_asd.contract import LogMelSpec
from edge_asd.explain.findings import Explanation
from edge_asd.explain.rhythm import stretches
from edge_asd.pictures import Mark, Spectra, comparison_png
from edge_asd.windows import clip_windows, window_starts

if TYPE_CHECKING:
    from edge_asd.bundle.bundle import Bundle

WINDOWS_AT_MOST = 16
WORST_SHARE = 0.5
"""Windows that score at least this share of the highest are explained together."""
MARKED_AT_MOST = 3
EVERYWHERE = ("level", "timbre")
"""Kinds of findings that no box can show."""


@dataclass(frozen=True)
class ClipExplanation:
    """A recording against a bundle.

    frames: its log-mel, float32 [n, n_mels]. spec: the front end. score: of the whole. explanation: what changed.
    from_s, to_s: from the first to the last window that the explanation speaks of, seconds from the start.
    normal_db: the mean level of the normal window nearest to each frame, [n, n_mels]. spectra: means to draw.
    """

    frames: np.ndarray
    spec: LogMelSpec
    score: ClipScore
    explanation: Explanation
    from_s: float
    to_s: float
    normal_db: np.ndarray
    spectra: Spectra

    def picture(self, title: str) -> bytes:
        """PNG: the sound, the difference, the mean spectra. Raises UnavailableError where Pillow is missing."""
        findings = self.explanation.findings
        marks = [
            Mark(self.from_s, self.to_s, finding.from_hz, finding.to_hz, str(number))
            for number, finding in enumerate(findings[:MARKED_AT_MOST], 1)
            if finding.kind not in EVERYWHERE
        ]
        return comparison_png(
            self.frames,
            self.normal_db,
            self.spectra,
            self.spec,
            title=title,
            lines=[f"{number}  {finding.text}" for number, finding in enumerate(findings, 1)],
            marks=marks,
            moment_s=self.score.peak_time_s,
        )


def explain_clip(clip: Clip | np.ndarray, bundle: Bundle) -> ClipExplanation:
    """Explain a recording, or its log-mel frames [n, n_mels], n >= 1, by its most anomalous windows."""
    contract, normal = bundle.contract, bundle.normal
    spec = contract.features
    frames = Clip.of(clip).frames
    starts = window_starts(len(frames), contract)
    compared = [bundle.compare(part) for part in bundle.parts(clip)]
    distances = np.concatenate([part.distances for part in compared])
    nearest = np.concatenate([part.nearest for part in compared])
    window_scores = bundle.clip_calibration.fusion.score(distances)
    worst = np.argsort(-window_scores, kind="stable")[:WINDOWS_AT_MOST]
    worst = np.sort(worst[window_scores[worst] >= WORST_SHARE * window_scores[worst[0]]])
    windows, _ = clip_windows(frames, contract, starts[worst])
    around = stretches(frames, contract, starts[worst] + contract.window_frames)
    hop_s = spec.hop_samples / spec.rate_hz
    enrolled = normal.spectra.mean_db
    lowest, highest = np.percentile(enrolled, (1.0, 99.0), axis=0)
    # Each frame is held against the window whose middle is the nearest.
    middles = starts + min(contract.window_frames, len(frames)) / 2
    window_of_frame = np.abs(np.arange(len(frames))[:, None] + 0.5 - middles).argmin(axis=1)
    return ClipExplanation(
        frames=frames,
        spec=spec,
        score=bundle.score_distances(distances, len(frames)),
        explanation=normal.explain(windows, nearest[worst], spec, around),
        from_s=float(starts[worst[0]]) * hop_s,
        to_s=float(min(starts[worst[-1]] + contract.window_frames, len(frames))) * hop_s,
        normal_db=enrolled[nearest[window_of_frame]],
        spectra=Spectra(windows.mean(axis=(0, 1)), enrolled[nearest[worst]].mean(axis=0), lowest, highest),
    )
