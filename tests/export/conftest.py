"""A tiny recipe and data set, and a stand-in for nothing: all parts are the real ones but for the teacher's file."""

import numpy as np
import pytest

from export.generated.generate import Dataset, encoded, states_of
from export.recipe import ContractSettings, DataSettings, HeadSettings, ModelSettings, Recipe, TrainSettings


@pytest.fixture(scope="session")
def tiny_recipe():
    return Recipe(
        name="tiny",
        seed=5,
        contract=ContractSettings(window_frames=64),
        model=ModelSettings(table="stgram", width=0.125, embedding_size=16),
        head=HeadSettings(sub_clusters=2),
        data=DataSettings(machines=4, scenes_per_machine=2, windows_per_clip=2),
        train=TrainSettings(steps=6, groups_per_batch=4, windows_per_group=3, warmup_steps=2, checkpoint_steps=2),
    )


@pytest.fixture(scope="session")
def tiny_data(tiny_recipe):
    """Windows of noise whose colour the targets know, so that there is something to learn."""
    rng = np.random.default_rng(0)
    states = states_of(tiny_recipe)
    tilts = rng.uniform(-20, 20, states.shape)
    windows = rng.normal(-40, 6, (*states.shape, 64, 128)) + tilts[..., None, None] * np.linspace(-1, 1, 128)
    targets = np.sin(tilts[..., None] * np.linspace(0.01, 0.2, 256)) + rng.normal(0, 0.01, (*states.shape, 256))
    return Dataset(encoded(windows), targets.astype(np.float32), states)
