"""Mean or top share over a clip's windows: what the enrolment's own choice gains, on simulated machines with faults.

    python -m benchmarks.aggregation [--machines N] [--level DB]

Every kind of machine, N individuals each: two minutes enrolled as clips of 10 s, then normal clips against clips with
each fault of the kind. The AUC of the default scorers is printed for fixed shares and for the share the rule chose.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from edge_asd.calibration.aggregation import Aggregation
from edge_asd.calibration.fusion import Fusion
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.frontend import log_mel
from edge_asd.inference import Embedder, load_embedder
from edge_asd.model_package import Model, load_model
from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render
from edge_asd.windows import clip_windows

SHARES = (1.0, 0.5, 0.3, 0.2)
CLIP_S = 10.0
ENROLLED_CLIPS = 12
NORMAL_CLIPS = 12


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aggregation", description=__doc__.split("\n")[0])
    parser.add_argument("--machines", type=int, default=6, help="individuals of each kind (6)")
    parser.add_argument("--level", type=float, default=-5.0, help="faults against the machine, dB (-5)")
    args = parser.parse_args()
    model = load_model()
    embedder = load_embedder(model)
    heads = [f"top {100 * share:.0f} %" if share < 1.0 else "mean" for share in SHARES]
    print(f"| machines | {' | '.join(heads)} | the rule | shares it chose |")
    print("|---" * (len(SHARES) + 3) + "|")
    for kind in KINDS:
        measured = [_machine(kind, seed, args.level, model, embedder) for seed in range(args.machines)]
        means = np.mean([aucs for aucs, _ in measured], axis=0)
        chosen = Counter(share for _, share in measured)
        cells = " | ".join(f"{auc:.3f}" for auc in means)
        print(f"| {kind} | {cells} | {', '.join(f'{s:g} ({n})' for s, n in sorted(chosen.items()))} |", flush=True)
    return 0


def _machine(kind: str, seed: int, level_db: float, model: Model, embedder: Embedder) -> tuple[list[float], float]:
    """AUC by each share and by the chosen one (last), mean over the kind's faults; and the chosen share."""
    rng = np.random.default_rng((seed, KINDS.index(kind)))
    machine, scene = Machine.random(kind, rng), Scene.random(rng)
    features = model.contract.features

    def heard(fault: Fault | None = None) -> np.ndarray:
        return log_mel(render(machine, scene, CLIP_S, rng, fault=fault), features)

    enrolment = Enrolment(model, embedder, strict=False)
    for i in range(ENROLLED_CLIPS):
        enrolment.add_frames(heard(), f"normal {i}")
    bundle = enrolment.finish({})

    def distances(frames: np.ndarray) -> np.ndarray:
        return bundle.normal.compare(clip_windows(frames, model.contract)[0], embedder).distances

    normal = [distances(heard()) for _ in range(NORMAL_CLIPS)]
    faulty = [[distances(heard(Fault(name, level_db))) for _ in range(3)] for name in FAULTS[kind]]
    kept, aucs = bundle.enrolment_scores, []
    for aggregation in (*map(Aggregation, SHARES), bundle.aggregation):
        fusion = Fusion.fit(replace(kept, aggregation=aggregation).per_clip())

        def scores(clips: list[np.ndarray], by=aggregation, fused=fusion) -> np.ndarray:
            return fused.score(np.array([by.over(clip) for clip in clips]))

        aucs.append(float(np.mean([roc_auc(scores(normal), scores(clips)) for clips in faulty])))
    return aucs, bundle.aggregation.top_share


if __name__ == "__main__":
    sys.exit(main())
