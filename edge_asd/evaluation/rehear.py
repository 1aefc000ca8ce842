"""A clip heard again for the report: its live score over time and its spectrogram."""

from __future__ import annotations

from collections.abc import Callable

from edge_asd.bundle.bundle import Bundle
from edge_asd.errors import DataError
from edge_asd.evaluation.cases import CaseClip
from edge_asd.evaluation.report import Heard
from edge_asd.evaluation.trace import live_trace
from edge_asd.pictures import spectrogram_png


def rehearer(bundle: Bundle, channel: int | None) -> Callable[[CaseClip, str], Heard | None]:
    """A function (clip, title of the picture) -> the clip heard against the bundle; None where it has become
    unreadable meanwhile."""

    def hear(clip: CaseClip, title: str) -> Heard | None:
        try:
            heard = bundle.read_clip(clip.path, channel)
        except DataError:
            return None
        distances = bundle.clip_distances(heard)
        picture = spectrogram_png(heard.frames, bundle.contract.features, title=title)
        return Heard(live_trace(distances, len(heard), bundle), picture)

    return hear
