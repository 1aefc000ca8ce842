"""Make a model package from a recipe that follows a teacher, from nothing: what `edge-asd train` and
`edge-asd export --model` do one after the other.

    python -m export.default_model --recipe mfn-128 --teacher yamnet_int8.tflite --work work --out models/mfn-128

Stopped at any moment, the same command goes on from the last shard or checkpoint under --work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_asd.errors import ConfigError, DataError, EdgeAsdError, StorageError
from export.cli.device import add_device_flag
from export.recipe import Recipe
from export.recipes.load import load_recipe

LOWEST_MEAN_COSINE = 0.99
"""Below this between the int8 and the float embeddings something went wrong in quantising, and nothing is packaged."""


def make_package(
    recipe: Recipe, teacher: Path, work_dir: Path, out_dir: Path, processes: int, threads: int, device: str = "cpu"
) -> None:
    """Everything from recipe to package; progress on stderr. device: see `export.training.device.chosen_device`."""
    import torch

    from export.packages.make import int8_network, load_source, put
    from export.quantising.calibration import simulated_windows
    from export.quantising.probe import simulated_probe
    from export.sound.sources import generated
    from export.training.device import chosen_device
    from export.training.parallel import Processes
    from export.training.train import run_key, train

    torch.set_num_threads(threads)
    place = chosen_device(device)
    batches, data_key = generated(recipe, teacher, work_dir, processes=processes, note=_say)
    key = run_key(recipe, data_key)
    run_dir = work_dir / f"run-{key}"
    train(recipe, batches, run_dir, key=key, processes=Processes(device=place), note=_say)
    source = load_source(run_dir / "best")
    windows = simulated_windows(source.contract, recipe.quantise.calibration_windows, recipe.seed)
    probe = simulated_probe(source.contract, recipe.seed)
    made = int8_network(source, windows, probe, seed=recipe.seed, device=str(place), note=_say)
    loss = made.result.loss
    if not loss.cosine_mean >= LOWEST_MEAN_COSINE:
        raise DataError(f"int8 and float embeddings agree to a cosine of {loss.cosine_mean:.4f} only: not packaged")
    provenance = made.provenance(f"{len(windows)} simulated windows", f"{len(probe.machines)} simulated machines")
    put(out_dir, source, {("onnx", "int8"): made.network, ("onnx", "fp32"): source.network}, provenance)
    _say(f"{out_dir}: int8 {len(made.network)} bytes, {made.count.integer} of {made.count.all} layers in integers")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.default_model",
        description="Make a model package from a recipe: generate sound, train with the teacher, export, quantise.",
        epilog="Stopped at any moment, the same command goes on from the last shard or checkpoint under --work.",
    )
    parser.add_argument(
        "--recipe", default="mfn-128", help="a shipped recipe's name or a .yaml file (default: mfn-128)"
    )
    parser.add_argument("--teacher", required=True, type=Path, help="path of the int8 YAMNet (.tflite)")
    parser.add_argument("--work", required=True, type=Path, help="directory for generated data and checkpoints")
    parser.add_argument("--out", required=True, type=Path, help="directory of the model package to write")
    parser.add_argument("--processes", type=int, default=2, help="processes that generate sound (default: 2)")
    parser.add_argument(
        "--threads", type=int, default=1, help="torch threads; other counts may round differently (default: 1)"
    )
    add_device_flag(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry. Gives the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.processes < 1 or arguments.threads < 1:
            raise ConfigError("--processes and --threads must be at least 1")
        make_package(
            load_recipe(arguments.recipe),
            arguments.teacher,
            arguments.work,
            arguments.out,
            arguments.processes,
            arguments.threads,
            arguments.device,
        )
    except EdgeAsdError as error:
        _say(f"error: {error}")
        return error.exit_code
    except OSError as error:
        _say(f"error: {StorageError(f'{error.filename}: {error.strerror}')}")
        return StorageError.exit_code
    except KeyboardInterrupt:
        _say("stopped; the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
