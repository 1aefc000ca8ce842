"""Whether an adapted network hears this machine better than the old one, judged on sound neither was fitted to.

The sound is cut into three folds. For each, the old network and one adapted to the other folds enrol those as a device
would (the bundle's scorers, fusion and thresholds) and score the fold's clips, as they are and spoilt
(`export.adapt.pretenders`). What counts is how much better the adapted network tells the two apart, against how much
that differs from fold to fold, and that it raises no more false alarms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_asd.bank import DEFAULT_METHOD
from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.scale import SHOWN_THRESHOLD
from edge_asd.contract import LogMelSpec
from edge_asd.enrolment.enrol import DEFAULT_CLIP_PERCENTILE, Enrolment
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.frontend import log_mel
from edge_asd.inference import load_embedder
from edge_asd.model_package import Model
from export.adapt.pretenders import KINDS_OF_PRETENDERS, Pretenders
from export.adapt.sound import MachineSound, SoundClip

ERRORS = 2.0
"""The gain must be above so many of its standard errors over the folds."""

TURNS = 2
"""How often each clip is spoilt each way."""


@dataclass(frozen=True)
class FoldEvidence:
    """One fold, by the old network (before) and by the adapted one (after).

    clips: held out. auc_before, auc_after: of each kind of pretender against the clips as they are.
    alarms_before, alarms_after: normal clips above the threshold.
    """

    clips: int
    auc_before: Mapping[str, float]
    auc_after: Mapping[str, float]
    alarms_before: int
    alarms_after: int

    @property
    def gain(self) -> float:
        """Mean gain of AUC over the kinds."""
        return float(np.mean([self.auc_after[kind] - self.auc_before[kind] for kind in self.auc_before]))


@dataclass(frozen=True)
class Evidence:
    """All folds of one machine, and what follows from them."""

    machine: str
    folds: tuple[FoldEvidence, ...]

    @property
    def gain(self) -> float:
        """Mean gain of AUC over folds and kinds."""
        return float(np.mean([fold.gain for fold in self.folds]))

    @property
    def error(self) -> float:
        """Standard error of the gain from fold to fold."""
        return float(np.std([fold.gain for fold in self.folds], ddof=1) / np.sqrt(len(self.folds)))

    @property
    def alarms(self) -> tuple[int, int, int]:
        """Normal clips above the threshold before and after, and how many there are."""
        return (
            sum(fold.alarms_before for fold in self.folds),
            sum(fold.alarms_after for fold in self.folds),
            sum(fold.clips for fold in self.folds),
        )

    @property
    def supports(self) -> bool:
        """Whether the adapted network is to be kept."""
        return not self.against

    @property
    def against(self) -> str:
        """Why it is not to be kept, in words; empty where it is."""
        reasons = []
        if not self.gain > ERRORS * self.error:
            reasons.append(
                f"a gain of {100 * self.gain:+.1f} points is not above {ERRORS:g} errors of {100 * self.error:.1f}"
            )
        before, after, clips = self.alarms
        if after > before:
            reasons.append(f"{after} instead of {before} of {clips} normal clips would be false alarms")
        return "; ".join(reasons)

    def means(self) -> dict[str, tuple[float, float]]:
        """AUC before and after of each kind, mean over the folds."""
        return {
            kind: (
                float(np.mean([fold.auc_before[kind] for fold in self.folds])),
                float(np.mean([fold.auc_after[kind] for fold in self.folds])),
            )
            for kind in self.folds[0].auc_before
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for provenance and programs."""
        before, after, clips = self.alarms
        return {
            "machine": self.machine,
            "kept": self.supports,
            "against": self.against,
            "auc": {kind: {"before": round(b, 4), "after": round(a, 4)} for kind, (b, a) in self.means().items()},
            "gain": round(self.gain, 4),
            "gain_error": round(self.error, 4),
            "gain_by_fold": [round(fold.gain, 4) for fold in self.folds],
            "false_alarms": {"before": before, "after": after, "clips": clips},
        }

    def table(self) -> str:
        """For a person."""
        rows = [f"{'AUC of pretenders, held out':30}before   after"]
        rows += [f"  {kind:28}{b:6.3f}  {a:6.3f}" for kind, (b, a) in self.means().items()]
        by_fold = " ".join(f"{100 * fold.gain:+.1f}" for fold in self.folds)
        rows.append(f"  gain {100 * self.gain:+.1f} +- {100 * self.error:.1f} points (folds {by_fold})")
        before, after, clips = self.alarms
        rows.append(f"  false alarms {before} -> {after} of {clips} clips")
        return "\n".join(rows)


def enrolled(
    parent: Bundle,
    model: Model,
    clips: Sequence[SoundClip],
    *,
    allowance: float,
    enrolled_s: float = 0.0,
    provenance: Mapping[str, Any] | None = None,
) -> Bundle:
    """A bundle of these clips with another network and all settings of `parent`.

    allowance: `Enrolment.session_allowance`.
    """
    kept = parent.enrolment.get("bank_budget") or {}
    enrolment = Enrolment(
        model,
        load_embedder(model),
        scorers=parent.normal.specs,
        clip_percentile=parent.clip_calibration.percentile or DEFAULT_CLIP_PERCENTILE,
        live=parent.live_calibrations[-1].target,
        smoothing_s=len(parent.live_calibrations) * model.contract.step_s,
        bank_budget_bytes=kept.get("bytes"),
        bank_method=kept.get("method", DEFAULT_METHOD),
        enrolled_s=enrolled_s,
        strict=False,
        keep_frames=parent.frames is not None,
        session_allowance=allowance,
        aggregation=parent.aggregation,
    )
    for clip in clips:
        enrolment.add_samples(clip.samples, clip.name, clip.group, clip.domain, clip.start_s)
    return enrolment.finish(dict(provenance or {}))


@dataclass(frozen=True)
class HeldOut:
    """Clips of one fold as log-mel frames: normal ones, and the same spoilt each way."""

    normal: tuple[np.ndarray, ...]
    spoilt: Mapping[str, tuple[np.ndarray, ...]]

    @classmethod
    def of(
        cls, spec: LogMelSpec, sound: MachineSound, fold: int, pretenders: Pretenders, others: Sequence[np.ndarray]
    ) -> HeldOut:
        """The clips of this fold of the machine; others: sound of other machines, for `Pretenders.spoilt`."""
        numbered = [(i, clip.samples) for i, clip in enumerate(sound.clips) if sound.folds()[i] == fold]
        turns = [(turn * len(sound.clips) + i, samples) for turn in range(TURNS) for i, samples in numbered]
        return cls(
            tuple(log_mel(samples, spec) for _, samples in numbered),
            {
                kind: tuple(log_mel(pretenders.spoilt(samples, kind, i, others), spec) for i, samples in turns)
                for kind in KINDS_OF_PRETENDERS
            },
        )

    def judged(self, bundle: Bundle) -> tuple[dict[str, float], int]:
        """AUC of each kind, and normal clips above the threshold."""
        normal = np.array([bundle.score_clip(frames).score for frames in self.normal])
        aucs = {
            kind: roc_auc(normal, np.array([bundle.score_clip(frames).score for frames in clips]))
            for kind, clips in self.spoilt.items()
        }
        return aucs, int(np.sum(normal > SHOWN_THRESHOLD))


def fold_evidence(before: Bundle, after: Bundle, held: HeldOut) -> FoldEvidence:
    """Both bundles enrolled on the other folds."""
    auc_before, alarms_before = held.judged(before)
    auc_after, alarms_after = held.judged(after)
    return FoldEvidence(len(held.normal), auc_before, auc_after, alarms_before, alarms_after)
