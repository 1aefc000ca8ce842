"""Where a training runs. No GPU is at hand in a test: that every tensor of a step lies where the network does is shown
with PyTorch's fake tensors, which compute nothing but refuse to mix devices, on the one device beside the CPU that
every PyTorch knows ("meta"); the choice among GPUs with what PyTorch would say of them."""

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

from edge_asd.cli import main  # noqa: E402
from edge_asd.errors import UnavailableError, UsageError  # noqa: E402
from export import default_model  # noqa: E402
from export.networks.registry import build_network  # noqa: E402
from export.networks.rewrite import clamp_slopes  # noqa: E402
from export.objectives.registry import build_objective  # noqa: E402
from export.recipe import AugmentSettings, HeadSettings, ModelSettings, TrainSettings  # noqa: E402
from export.recipes.load import load_recipe  # noqa: E402
from export.sound.batches import Batch, GeneratedBatches  # noqa: E402
from export.training.device import CPU, chosen_device, device_of, memory_told, settle  # noqa: E402
from export.training.parallel import Processes  # noqa: E402
from export.training.run_folder import load_state  # noqa: E402
from export.training.train import Learnt, train  # noqa: E402

SECTIONS = ("fan/00", "fan/01", "valve/00")
ELSEWHERE = "meta"
TINY = {
    "mfn-128": ModelSettings(width=0.125, embedding_size=16),
    "mfn-classes": ModelSettings(width=0.125, embedding_size=16, activation="prelu"),
    "vit-192": ModelSettings(kind="frame-vit", embedding_size=16, size=32, depth=1, heads=2, mlp_size=16),
    "maf-edge": {"hidden_size": 32},
    "panns-clvae-edge": {"width": 1 / 16, "embedding_size": 44, "hidden_size": 16, "latent_size": 8},
    "stgram-mfn-edge": {"width": 0.125, "embedding_size": 16},
    "stgram-mnv3-edge": {"width": 0.125, "embedding_size": 16},
    "mfn-dual-edge": {"width": 0.125, "embedding_size": 16},
    "w2v-ast-bank-edge": {"size": 32, "embedding_size": 32, "depth": 1, "heads": 2, "mlp_size": 16, "channels": 8},
}
"""A recipe of every kind of network and objective, and what makes it small."""


def small(name, **changes):
    recipe, tiny = load_recipe(name), TINY[name]
    model = dataclasses.replace(recipe.model, **tiny) if isinstance(tiny, dict) else tiny
    contract = dataclasses.replace(recipe.contract, sections=SECTIONS if name in SYSTEMS else ())
    return dataclasses.replace(recipe, model=model, contract=contract, **changes)


SYSTEMS = {name for name in TINY if name.endswith("-edge")}


def move(module, mode):
    """As `Module.to`, which has no way for fake tensors that two modules share."""
    before = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    after = {}
    for key, tensor in before.items():
        after[key] = mode.from_tensor(tensor).detach().to(ELSEWHERE)
        if isinstance(tensor, torch.nn.Parameter):
            after[key] = torch.nn.Parameter(after[key], tensor.requires_grad)
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            held.update({name: after[id(tensor)] for name, tensor in held.items() if tensor is not None})


def step_elsewhere(recipe):
    """A training step and a validation on another device, its batch on the CPU; the losses of both."""
    network = build_network(recipe)
    network.to(memory_format=torch.channels_last)
    learnt = Learnt(network, build_objective(recipe, network, 4))
    contract, n = recipe.model_contract(), 4
    with FakeTensorMode() as mode:
        move(learnt, mode)
        labels = torch.arange(n)
        mixed = recipe.augment.mixup_probability > 0.0
        batch = Batch(
            tuple(torch.randn(n, *contract.shape_of(name)) for name in recipe.sound_inputs),
            labels,
            partners=labels.flip(0) if mixed else None,
            shares=torch.rand(n) if mixed else None,
            targets=torch.randn(n, recipe.model.embedding_size) if recipe.needs_teacher else None,
            sections=labels % len(SECTIONS) if recipe.contract.sections else None,
            target=labels > 1,
        )
        optimiser = torch.optim.AdamW(learnt.parameters())
        told = learnt.train()(batch)
        told["total"].backward()
        torch.nn.utils.clip_grad_norm_(learnt.parameters(), 1.0)
        optimiser.step()
        clamp_slopes(network)
        with torch.no_grad():
            validated = learnt.eval()(batch)
    assert all(p.grad.device.type == ELSEWHERE for p in learnt.parameters() if p.grad is not None)
    assert any(p.grad is not None for p in learnt.parameters())
    return {**told, **validated}


@pytest.mark.parametrize("name", TINY)
def test_a_step_makes_no_tensor_elsewhere_than_the_network(name):
    if name.startswith("w2v"):
        pytest.importorskip("transformers", reason="the systems extra is not installed")
    train_settings = dataclasses.replace(load_recipe(name).train, groups_per_batch=2, windows_per_group=2)
    losses = step_elsewhere(small(name, train=train_settings))
    assert {loss.device.type for loss in losses.values()} == {ELSEWHERE}


@pytest.mark.parametrize("kind", ["arcface", "adacos", "sub-cluster-adacos"])
def test_nor_does_a_head_with_mixed_sounds(kind):
    settings = TrainSettings(distil_weight=0.0, relation_weight=0.0, identity_weight=1.0)
    augment = AugmentSettings(mixup_probability=0.5)
    losses = step_elsewhere(small("mfn-classes", head=HeadSettings(kind=kind), train=settings, augment=augment))
    assert {loss.device.type for loss in losses.values()} == {ELSEWHERE} and "accuracy" in losses


def test_a_tensor_made_on_the_cpu_in_a_forward_is_found(monkeypatch):
    from export.networks.vit import FrameViT

    monkeypatch.setattr(FrameViT, "for_head", lambda self, embeddings: embeddings * torch.ones(embeddings.shape[1]))
    with pytest.raises(RuntimeError, match="same device"):
        step_elsewhere(small("vit-192", train=TrainSettings(distil_weight=0, relation_weight=0, identity_weight=1)))


def gpus(monkeypatch, n, processes=1, rank=0):
    """As PyTorch would tell on a machine with `n` GPUs, in one of torchrun's processes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
    for name, value in (("LOCAL_WORLD_SIZE", processes), ("LOCAL_RANK", rank)):
        monkeypatch.setenv(name, str(value)) if processes > 1 else monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("wanted", "n_gpus", "processes", "rank", "chosen"),
    [
        ("auto", 0, 1, 0, "cpu"),
        ("auto", 2, 1, 0, "cuda:0"),
        ("cpu", 2, 1, 0, "cpu"),
        ("cuda", 1, 1, 0, "cuda:0"),
        ("cuda:1", 2, 1, 0, "cuda:1"),
        ("auto", 0, 2, 1, "cpu"),
        ("auto", 2, 2, 1, "cuda:1"),
        ("cuda", 4, 2, 1, "cuda:1"),
    ],
)
def test_the_device_is_chosen(wanted, n_gpus, processes, rank, chosen, monkeypatch):
    gpus(monkeypatch, n_gpus, processes, rank)
    assert chosen_device(wanted) == torch.device(chosen)


@pytest.mark.parametrize(
    ("wanted", "n_gpus", "processes", "error", "said"),
    [
        ("cuda", 0, 1, UnavailableError, "--device cuda: .* give --device cpu"),
        ("cuda:2", 2, 1, UnavailableError, "no such GPU, there is cuda:0, cuda:1"),
        ("auto", 2, 3, UnavailableError, "3 processes want a GPU each, there is cuda:0, cuda:1; .* --nproc-per-node 2"),
        ("cuda:1", 2, 2, UsageError, "a GPU of its own; give --device cuda$"),
    ],
)
def test_what_cannot_be_chosen_is_told(wanted, n_gpus, processes, error, said, monkeypatch):
    gpus(monkeypatch, n_gpus, processes)
    with pytest.raises(error, match=said):
        chosen_device(wanted)


def test_the_remedy_depends_on_how_torch_was_built(monkeypatch):
    gpus(monkeypatch, 0)
    for built, said in ((False, "built for CPUs"), (True, "nvidia-smi")):
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda built=built: built)
        with pytest.raises(UnavailableError, match=said):
            chosen_device("cuda")


@pytest.mark.parametrize("flags", [["--dry-run"], ["--out", "run"], ["--data", "data", "--dry-run"]])
def test_no_gpu_is_exit_code_69(flags, monkeypatch, tmp_path, capsys):
    gpus(monkeypatch, 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert main(["train", "--recipe", "vit-192", "--device", "cuda", *flags]) == 69
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]
    assert main(["train", "--recipe", "vit-192", "--device", "gpu0", *flags]) == 2
    assert "cuda:N" in capsys.readouterr().err


def test_the_default_model_takes_the_flag_too(monkeypatch, tmp_path, capsys):
    gpus(monkeypatch, 0)
    flags = ["--teacher", str(tmp_path / "t"), "--work", str(tmp_path / "w"), "--out", str(tmp_path / "o")]
    assert default_model.main([*flags, "--device", "cuda:0"]) == 69
    assert "--device cuda:0" in capsys.readouterr().err


def test_a_gpu_is_made_repeatable_and_a_cpu_is_left_alone(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32
    settle(CPU)
    assert (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32) == before == (False, True)
    taken = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    try:
        settle(torch.device("cuda:1"))
        assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.allow_tf32
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.allow_tf32 = True
    assert taken == [torch.device("cuda:1")]


def test_too_little_memory_is_told_in_one_line():
    @memory_told()
    def hungry():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of ...")

    with pytest.raises(UnavailableError, match=r"^CUDA out of memory; lower train.groups_per_batch"):
        hungry()


def run_of(recipe, data, folder, stop_after=None):
    """A training's notes and network."""
    recipe = dataclasses.replace(
        recipe, train=dataclasses.replace(recipe.train, distil_weight=0, relation_weight=0, identity_weight=1)
    )
    said = []
    batches = GeneratedBatches(recipe, data, None, {})
    network, _ = train(recipe, batches, folder, key="k", stop_after=stop_after, note=said.append)
    return network, said


def test_a_run_that_was_on_a_gpu_goes_on_on_a_cpu(tiny_recipe, tiny_data, tmp_path):
    run_of(tiny_recipe, tiny_data, tmp_path / "moved", stop_after=2)
    path = tmp_path / "moved" / "checkpoint.pt"
    held = torch.load(path, weights_only=True)
    assert {value.device for value in held["learnt"].values()} == {CPU}
    held["progression"]["device"] = "NVIDIA A100-SXM4-40GB"
    torch.save(held, path)
    moved, said = run_of(tiny_recipe, tiny_data, tmp_path / "moved")
    assert "goes on from step 2" in said
    assert "until now on NVIDIA A100-SXM4-40GB, from here on CPU: the last digits will differ" in said
    whole, said = run_of(tiny_recipe, tiny_data, tmp_path / "whole")
    assert said[0] == "trains on CPU" and not any("until now" in line for line in said)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), moved.state_dict().values(), strict=True))
    assert device_of(moved) == device_of(load_state(tmp_path / "moved")[0]) == CPU


def test_a_checkpoint_of_before_there_were_devices_goes_on(tiny_recipe, tiny_data, tmp_path):
    run_of(tiny_recipe, tiny_data, tmp_path, stop_after=2)
    held = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del held["progression"]["device"]
    torch.save(held, tmp_path / "checkpoint.pt")
    _, said = run_of(tiny_recipe, tiny_data, tmp_path)
    assert said[0] == "goes on from step 2" and not any("until now" in line for line in said)


def test_on_a_gpu_a_steps_random_numbers_depend_on_seed_and_step_alone():
    """So no checkpoint has to carry a GPU's generator, and a run may go on anywhere."""
    on_gpu = Processes(device=torch.device("cuda:0"))
    torch.manual_seed(1)
    on_gpu.seed_step(5, 7)
    first = torch.rand(3)
    torch.rand(100)
    on_gpu.seed_step(5, 7)
    assert torch.equal(torch.rand(3), first)
    on_gpu.seed_step(5, 8)
    assert not torch.equal(torch.rand(3), first)
    torch.manual_seed(1)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    Processes().seed_step(5, 7)  # one process on a CPU: the checkpoint carries the generator
    assert torch.equal(torch.rand(3), drawn)
