"""The directory of one training run.

    recipe.yaml       every setting, defaults filled in
    metrics.jsonl     one line a checkpoint: step, learning rate, mean losses, validation
    checkpoint.pt     all that a stopped run goes on from
    best/, last/      the state with the best validation, and the final one: weights.pt, recipe.yaml, metrics.json
    summary.json      written when the run is over

Every file is written whole or not at all, so a run killed at any moment goes on as if it had not been.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edge_asd.atomic import write_atomically
from edge_asd.errors import DataError, MissingInputError, UsageError
from export.networks.network import Network
from export.networks.registry import build_network
from export.recipe import Recipe
from export.recipes.load import as_yaml, load_recipe

WEIGHTS, RECIPE, METRICS = "weights.pt", "recipe.yaml", "metrics.json"


@dataclass
class Progression:
    """Where a run stands.

    step: steps done. recent: losses of the last steps. best: the metrics line of the best validation so far.
    waited: validations since then. over: whether it ended, by its last step or by patience.
    device: what it was computed on, in words.
    """

    step: int = 0
    recent: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    waited: int = 0
    over: bool = False
    device: str = "CPU"


class RunFolder:
    """One run's files. key: names recipe and data; a checkpoint of another key is refused with DataError. writes: of
    several processes one does."""

    def __init__(self, path: Path, recipe: Recipe, key: str, *, writes: bool = True) -> None:
        self.path, self._recipe, self._key, self._writes = path, recipe, key, writes
        path.mkdir(parents=True, exist_ok=True)

    def restore(self, learnt: torch.nn.Module, optimiser: torch.optim.Optimizer) -> Progression:
        """Load the checkpoint where there is one, random numbers included, and cut the metrics to it."""
        path = self.path / "checkpoint.pt"
        if not path.exists():
            if not self._writes:
                return Progression()
            write_atomically(self.path / RECIPE, as_yaml(self._recipe).encode())
            (self.path / "metrics.jsonl").unlink(missing_ok=True)
            return Progression()
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises anything from KeyError to UnpicklingError for a damaged file
            raise DataError(f"{path} is not a checkpoint", remedy="delete it and run again") from error
        if state.get("key") != self._key:
            raise DataError(f"{path} belongs to other settings or data", remedy="delete it or choose another directory")
        learnt.load_state_dict({_today(name): value for name, value in state["learnt"].items()})
        optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        progression = Progression(**state["progression"])
        if not self._writes:
            return progression
        write_atomically(self.path / RECIPE, as_yaml(self._recipe).encode())
        metrics = self.path / "metrics.jsonl"
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
        kept = [line for line in lines if _step_of(line) <= progression.step]
        write_atomically(metrics, "".join(line + "\n" for line in kept).encode())
        return progression

    def save(self, learnt: torch.nn.Module, optimiser: torch.optim.Optimizer, progression: Progression) -> None:
        """Write the checkpoint."""
        if not self._writes:
            return
        state = {
            "key": self._key,
            "progression": vars(progression),
            "random": torch.get_rng_state(),
            "learnt": _on_cpu(learnt),
            "optimiser": optimiser.state_dict(),
        }
        write_atomically(self.path / "checkpoint.pt", _saved(state))

    def log(self, line: dict[str, Any]) -> None:
        """Add a line of metrics."""
        if not self._writes:
            return
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def keep(self, name: str, model: Network, metrics: dict[str, Any]) -> None:
        """Write a state of the network to best/ or last/."""
        if not self._writes:
            return
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        write_atomically(folder / RECIPE, as_yaml(self._recipe).encode())
        write_atomically(folder / METRICS, (json.dumps(metrics, indent=1) + "\n").encode())
        write_atomically(folder / WEIGHTS, _saved(_on_cpu(model)))

    def summarise(self, summary: dict[str, Any]) -> None:
        """Write the summary."""
        if not self._writes:
            return
        write_atomically(self.path / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())


def check_place(path: Path) -> None:
    """Raise UsageError where no run can be written, because `path` or what it lies in is a file."""
    there = next((place for place in (path, *path.parents) if place.exists()), path)
    if there.exists() and not there.is_dir():
        raise UsageError(f"--out {path}: {there} is a file", remedy="name a directory for the run, such as run/")


def load_state(folder: Path) -> tuple[Network, Recipe, dict[str, Any]]:
    """A trained network in eval mode with its recipe and metrics, from RUN/best or RUN/last (RUN means RUN/best).

    Raises MissingInputError, ConfigError (the recipe), DataError (damaged, or weights of another network).
    """
    if not (folder / WEIGHTS).is_file() and (folder / "best" / WEIGHTS).is_file():
        folder = folder / "best"
    if not (folder / WEIGHTS).is_file():
        raise MissingInputError(
            f"{folder}: no trained model there ({WEIGHTS} is missing)", remedy="give RUN/best of an edge-asd train run"
        )
    if not (folder / RECIPE).is_file():
        raise MissingInputError(f"{folder}: {RECIPE} is missing", remedy="copy the whole directory of the run")
    recipe = load_recipe(folder / RECIPE)
    model = build_network(recipe)
    try:
        model.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged file raises anything, other shapes RuntimeError
        what = " ".join(str(error).split()).split(". ")[0][:200]
        raise DataError(f"{folder / WEIGHTS}: not the weights of this recipe: {what}", remedy="train again") from error
    model.eval()
    return model, recipe, _metrics(folder / METRICS)


def _metrics(path: Path) -> dict[str, Any]:
    """What was noted of a state; nothing where the file is gone, for it is for people."""
    if not path.is_file():
        return {}
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON: {error}", remedy="delete it, or train again") from error
    if not isinstance(metrics, dict):
        raise DataError(f"{path}: expected an object", remedy="delete it, or train again")
    return metrics


def _on_cpu(module: torch.nn.Module) -> dict[str, Any]:
    """What it holds, for a file that any machine can read."""
    state = module.state_dict()
    for name, value in state.items():
        state[name] = value.cpu()
    return state


def _saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _today(name: str) -> str:
    """The name of a parameter in checkpoints of before there were objectives: the head stood beside the network."""
    return f"objective.{name}" if name.startswith("head.") else name


def _step_of(line: str) -> float:
    """The step a metrics line belongs to; beyond all where the line was cut off by a kill."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
