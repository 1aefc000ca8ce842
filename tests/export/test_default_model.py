"""The shipped embedder on machines it was not trained on."""

import numpy as np
import pytest

from edge_asd.frontend import log_mel
from edge_asd.inference import load_embedder
from edge_asd.model_package import load_model
from edge_asd.simulator import FAULTS, KINDS, Fault, Machine, Scene, render
from edge_asd.windows import clip_windows

CLIP_S, N_ENROLLED, N_TESTED = 4.0, 5, 4


@pytest.fixture(scope="module")
def embedder():
    return load_embedder(load_model())


def clip_embedding(embedder, samples):
    """Mean of the clip's unit embeddings, at unit length."""
    windows, _ = clip_windows(log_mel(samples, embedder.contract.features), embedder.contract)
    embeddings = embedder.embed(windows)
    mean = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_it_hears_faults_of_unknown_machines(embedder):
    wins = []
    for i, kind in enumerate(KINDS):
        rng = np.random.default_rng([20261121, i])
        machine, scene = Machine.random(kind, rng), Scene.random(rng)

        def embedded(n, fault=None, *, machine=machine, scene=scene, rng=rng):
            return np.stack(
                [clip_embedding(embedder, render(machine, scene, CLIP_S, rng, fault=fault)) for _ in range(n)]
            )

        bank = embedded(N_ENROLLED)
        normal = 1 - (embedded(N_TESTED) @ bank.T).max(axis=1)
        for name in FAULTS[kind][:1]:
            faulty = 1 - (embedded(N_TESTED, Fault(name, level_db=3.0)) @ bank.T).max(axis=1)
            wins.append((faulty[:, None] > normal).mean())
    assert np.mean(wins) > 0.93


def test_loudness_does_not_move_it(embedder):
    rng = np.random.default_rng(3)
    sound = render(Machine.random("fan", rng), Scene.random(rng), CLIP_S, rng)
    quiet = clip_embedding(embedder, 0.1 * sound)
    assert quiet @ clip_embedding(embedder, sound) > 0.99
