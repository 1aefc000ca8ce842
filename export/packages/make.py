"""From trained weights to the networks of a model package: float, and int8 by the scheme that holds the score."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_asd.contract import ModelContract
from edge_asd.errors import DataError, MissingInputError, UsageError
from edge_asd.inference.embedder import normalised
from edge_asd.model_package import EMBEDDER, MANIFEST, SCORER, holds_network, leading, load_model, read_manifest
from export.formats.integer_ops import OpCount, onnx_integer_ops, require_integer
from export.formats.onnx_export import graphs_to_onnx, to_onnx
from export.packages.package import add_network, tool_versions, write_package
from export.quantising.calibration import with_cut_bands
from export.quantising.choice import CONVOLUTIONAL, TRANSFORMER, WIDE, Candidate, Limits, Scheme, candidates, chosen
from export.quantising.probe import Probe
from export.quantising.quantise import Quantiser
from export.recipe import QuantiseSettings

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Source:
    """Trained weights, wherever they came from.

    contract: of the package to be. model: the torch network in eval mode; None where only its ONNX file is at hand.
    network: the embedder's float ONNX file; scorer: the scorer's; empty where there is none.
    settings: how the recipe wants it quantised. provenance: how it was made so far.
    """

    contract: ModelContract
    model: nn.Module | None
    network: bytes
    settings: QuantiseSettings
    provenance: dict[str, Any]
    scorer: bytes = b""

    @property
    def weights(self) -> str:
        """Names the weights, so that twins can be told from strangers."""
        return hashlib.sha256(self.network + self.scorer).hexdigest()[:16]


def load_source(path: Path) -> Source:
    """Trained weights from RUN/best (or RUN, or RUN/last), or from a model package that holds a float ONNX network.

    Raises MissingInputError (nothing there), DataError (a bare network without a contract, a float network that goes by
    the name of int8, damage).
    """
    if (path / MANIFEST).is_file() or holds_network(path):
        return _from_package(path)
    if not path.is_dir():
        raise MissingInputError(f"{path}: no such directory", remedy="give RUN/best of an edge-asd train run")
    return _from_run(path)


def _from_run(path: Path) -> Source:
    from export.training.run_folder import load_state

    model, recipe, metrics = load_state(path)
    contract = recipe.model_contract()
    provenance = {
        "recipe": json.loads(json.dumps(dataclasses.asdict(dataclasses.replace(recipe, weights={})))),
        **metrics.get("provenance", {}),
        "tools": tool_versions(),
        "trained_steps": metrics.get("step"),
        "final_losses": {name: round(value, 4) for name, value in metrics.get("train", {}).items()},
    }
    if "validation" in metrics:
        provenance["validation"] = {name: round(value, 4) for name, value in metrics["validation"].items()}
    graphs = graphs_to_onnx(model, contract)
    return Source(contract, model, graphs.get(EMBEDDER, b""), recipe.quantise, provenance, graphs.get(SCORER, b""))


def _from_package(path: Path) -> Source:
    from export.packages.rebuild import rebuilt

    held = leading(read_manifest(path)).get("onnx", {})
    if "int8" in held:
        for name, network in load_model(path, "int8", ("onnx",)).graphs.items():
            if network.precision == "int8":
                require_integer(onnx_integer_ops(network.data), f"{path}: the {name}'s int8 network")
    if "fp32" not in held:
        raise UsageError(f"{path}: no float ONNX network to start from", remedy="name the training run: RUN/best")
    loaded = load_model(path, "fp32", ("onnx",))
    try:
        model = rebuilt(loaded)
    except DataError:
        model = None  # quantising needs the file only
    settings = loaded.provenance.get("recipe", {}).get("quantise", {})
    known = {f.name for f in dataclasses.fields(QuantiseSettings)}
    quantise = QuantiseSettings(**{name: value for name, value in settings.items() if name in known})
    scorer = b"" if loaded.scorer is None else loaded.scorer.data
    return Source(loaded.contract, model, loaded.network, quantise, dict(loaded.provenance), scorer)


@dataclass(frozen=True)
class Int8:
    """An int8 ONNX network, how it was made, and what was seen of the way there.

    qat_steps: of fine-tuning before it, 0 for none. calibrated_on: in words.
    """

    network: bytes
    scheme: Scheme
    result: Candidate
    count: OpCount
    qat_steps: int = 0
    considered: tuple[Candidate, ...] = field(default=(), repr=False)

    def provenance(self, calibrated_on: str, measured_on: str) -> dict[str, Any]:
        """For the package; what it was calibrated and measured on, in words."""
        loss = self.result.loss.to_dict()
        return {
            "int8": {
                "scheme": str(self.scheme),
                "calibration": f"{calibrated_on}, and half as many again with bands cut away",
                "measured_on": measured_on,
                "qat_steps": self.qat_steps,
                "integer_operations": [self.count.integer, self.count.all],
                "loss": loss,
            },
            "int8_cosine_to_fp32": {"mean": loss["cosine_mean"], "min": loss["cosine_min"]},
        }


def fed_windows(source: Source, windows_db: np.ndarray, seed: int) -> np.ndarray:
    """Calibration windows as the network is fed them, some again with bands cut away, float32 [n, 1, frames, mels]."""
    return normalised(with_cut_bands(windows_db, source.contract.features.floor_db, seed), source.contract)


def int8_network(
    source: Source,
    windows_db: np.ndarray,
    probe: Probe,
    *,
    scheme: Scheme | None = None,
    limits: Limits | None = None,
    seed: int = 1,
    device: str = "cpu",
    note: Callable[[str], None] = lambda line: None,
) -> Int8:
    """Quantise: by `scheme`, else by the recipe's own where it does not want to choose, else by the fastest scheme that
    holds the score on the probe; where none does, after quantisation-aware fine-tuning.

    windows_db: to calibrate on, float32 [n, frames, mels] in dB; windows with bands cut away are added here.
    device: to fine-tune on.
    Raises DataError where calibration is silent or the result multiplies in float.
    """
    limits = limits or Limits()
    fed = fed_windows(source, windows_db, seed)
    quantiser = Quantiser(source.network, fed)
    settings = source.settings
    if scheme is None and not settings.choose:
        scheme = Scheme(settings.float_first, settings.float_last, settings.activation_bits)
    if scheme is not None:
        best = candidates(source.network, quantiser, probe, [scheme], limits, note)[0]
        return _checked(best, 0, (best,))
    schemes = CONVOLUTIONAL if "Conv" in quantiser.kinds.values() else TRANSFORMER
    schemes = tuple(s for s in schemes if s.float_first + s.float_last < len(quantiser.layers))
    considered = candidates(source.network, quantiser, probe, schemes, limits, note)
    best, qat_steps = chosen(considered), 0
    if not best.holds and settings.qat_steps and source.model is not None:
        from export.quantising.qat import fine_tuned

        note(f"no scheme holds the score: fine-tuning for {settings.qat_steps} steps with rounding in the loop")
        tuned = fine_tuned(source.model, fed, steps=settings.qat_steps, seed=seed, device=device)
        network = to_onnx(tuned, source.contract.window_frames, source.contract.features.n_mels)
        after = candidates(source.network, Quantiser(network, fed), probe, schemes, limits, note)
        considered += after
        if chosen(after).holds or chosen(after).loss.score_shift < best.loss.score_shift:
            best, qat_steps = chosen(after), settings.qat_steps
    if not best.holds:
        wide = candidates(source.network, quantiser, probe, [WIDE], limits, note)
        considered += wide
        if wide[0].holds:
            best, qat_steps = wide[0], 0
    if not best.holds:
        note(
            f"warning: no scheme holds the score within its limits; the one that moves it least is taken: {best.scheme}"
        )
    return _checked(best, qat_steps, tuple(considered))


def _checked(best: Candidate, qat_steps: int, considered: tuple[Candidate, ...]) -> Int8:
    count = onnx_integer_ops(best.network)
    require_integer(count, f"quantised {best.scheme}")
    return Int8(best.network, best.scheme, best, count, qat_steps, considered)


def put(
    out_dir: Path,
    source: Source,
    networks: dict[tuple[str, str], bytes],
    provenance: dict[str, Any],
    scorers: dict[tuple[str, str], bytes] | None = None,
) -> None:
    """Write networks, (format, precision) -> file, to a new package, or add them to one of the same weights.

    networks: of the embedder. scorers: of the second graph.
    Raises DataError where the directory holds a package of other weights or another contract.
    """
    joined = {**source.provenance, "weights": source.weights, **provenance}
    if not (out_dir / MANIFEST).is_file():
        write_package(out_dir, source.contract, networks, joined, scorers)
        return
    manifest = read_manifest(out_dir)
    known = manifest.get("provenance", {}).get("weights", source.weights)
    if known != source.weights or manifest.get("contract") != source.contract.to_dict():
        raise DataError(f"{out_dir}: holds a package of another model", remedy="choose another --out")
    for (network_format, precision), network in networks.items():
        add_network(out_dir, network_format, precision, network, joined)
    for (network_format, precision), network in (scorers or {}).items():
        add_network(out_dir, network_format, precision, network, joined, SCORER)


def put_float(out_dir: Path, source: Source) -> None:
    """Write the float package of these weights, in place of one of other weights; twins of the same weights stay."""
    if (out_dir / MANIFEST).is_file():
        held = read_manifest(out_dir)
        if held.get("provenance", {}).get("weights") != source.weights or held["contract"] != source.contract.to_dict():
            shutil.rmtree(out_dir)
    float_onnx = ("onnx", "fp32")
    put(
        out_dir,
        source,
        {float_onnx: source.network} if source.network else {},
        {},
        {float_onnx: source.scorer} if source.scorer else {},
    )
