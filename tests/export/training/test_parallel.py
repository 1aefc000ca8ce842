"""Two processes under torchrun: the same training as one, and a kill does not show."""

import dataclasses
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from edge_asd.errors import ConfigError  # noqa: E402
from export.recipe import AugmentSettings, ModelSettings  # noqa: E402
from export.recipes.load import as_yaml  # noqa: E402
from export.sound.batches import Batch, GeneratedBatches  # noqa: E402
from export.training.parallel import ALONE, Processes  # noqa: E402
from export.training.train import train  # noqa: E402

SCRIPT = """
    import os, signal, sys, numpy as np, torch
    from pathlib import Path
    from export.sound.batches import GeneratedBatches
    from export.generated.generate import Dataset
    from export.training.parallel import started
    from export.recipes.load import load_recipe
    from export.training.train import train
    folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    recipe = load_recipe(folder.parent / "recipe.yaml")
    held = np.load(folder.parent / "data.npz")
    data = Dataset(held["windows"], held["teacher"], held["states"])
    with started() as processes:
        def at_step(step, losses):
            if step == kill_at and processes.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        train(recipe, GeneratedBatches(recipe, data, None, {}), folder, key="k", processes=processes, at_step=at_step)
"""


def two_processes(script, folder, kill_at=0):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, str(script), str(folder), str(kill_at)], env=environment, check=False, capture_output=True, text=True
    )
    return done.returncode, done.stderr


def weights(folder):
    state = torch.load(folder / "last" / "weights.pt", weights_only=True)
    return torch.cat([value.flatten().double() for value in state.values()])


def test_two_processes_train_what_one_does_and_a_kill_does_not_show(tiny_recipe, tiny_data, tmp_path):
    """A transformer, whose windows know nothing of each other: BatchNorm would see half a batch in each process."""
    settings = {"distil_weight": 0.0, "relation_weight": 0.0, "identity_weight": 1.0, "steps": 4, "groups_per_batch": 2}
    recipe = dataclasses.replace(
        tiny_recipe,
        model=ModelSettings(kind="frame-vit", embedding_size=16, size=16, depth=1, heads=2, mlp_size=16),
        augment=AugmentSettings(mixup_probability=0.5),
        train=dataclasses.replace(tiny_recipe.train, **settings, validation_share=0.2),
    )
    (tmp_path / "recipe.yaml").write_text(as_yaml(recipe))
    np.savez(tmp_path / "data.npz", **vars(tiny_data))
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    code, said = two_processes(script, tmp_path / "whole")
    assert code == 0, said
    assert two_processes(script, tmp_path / "killed", kill_at=3)[0] != 0
    assert not (tmp_path / "killed" / "last").exists()
    code, said = two_processes(script, tmp_path / "killed")
    assert code == 0, said
    assert torch.equal(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    whole, killed = ((tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "killed"))
    assert whole == killed and len(whole.splitlines()) == 2
    train(recipe, GeneratedBatches(recipe, tiny_data, None, {}), tmp_path / "one", key="k")
    assert torch.allclose(weights(tmp_path / "whole"), weights(tmp_path / "one"), atol=2e-4)


def test_a_batch_is_shared_out_in_its_order():
    rows = torch.arange(6)
    batch = Batch((rows[:, None].float(),), rows, partners=rows.flip(0))
    parts = [Processes(rank, 3).share(batch) for rank in range(3)]
    assert torch.equal(torch.cat([part.labels for part in parts]), rows)
    assert torch.equal(torch.cat([part.partners for part in parts]), rows.flip(0))
    assert all(part.inputs[0].shape == (2, 1) and part.sections is None for part in parts)
    assert ALONE.share(batch) is batch
    with pytest.raises(ConfigError, match="6 windows a batch cannot be shared by 4"):
        Processes(0, 4).share(batch)
