"""What adaptation starts from: the float weights of the network a bundle holds, wherever they are to be had."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from edge_asd.bundle.bundle import Bundle
from edge_asd.contract import LOG_MEL, ModelContract
from edge_asd.errors import DataError, UsageError
from edge_asd.inference import Embedder
from edge_asd.model_package import DEFAULT_PACKAGE, load_model
from export.networks.mobilefacenet import MobileFaceNet
from export.networks.rewrite import folded, without_prelu
from export.packages.make import Source, load_source
from export.packages.rebuild import rebuilt, torch_embeddings
from export.quantising.choice import CONVOLUTIONAL, Scheme
from export.recipe import QuantiseSettings

SAME_COSINE = 0.97
"""Mean cosine of an int8 network's embeddings to its float network's; strangers' are far below."""
SAFE_SCHEME = Scheme(2, 2)


def float_source(bundle: Bundle, model: Path | None) -> Source:
    """Float weights of the bundle's network: of the bundle itself where it holds a float network, else of the package
    that ships where it is that network, else of `model`, a package or RUN/best.

    Raises UsageError (no float weights to be had, nothing to adapt), DataError (another family of networks, another
    contract).
    """
    if not bundle.normal.uses_network:
        scorers = " + ".join(str(spec) for spec in bundle.normal.specs)
        raise UsageError(f"the bundle scores by {scorers} alone: no network hears the sound, nothing to adapt")
    if bundle.model.network_format != "onnx":
        raise UsageError(
            f"the bundle holds a {bundle.model.network_format} network, adapting makes ONNX networks",
            remedy="enrol with --runtime onnxruntime, adapt that bundle",
        )
    _check_family(bundle)
    source = load_source(model) if model is not None else _known_source(bundle)
    ours, theirs = _unstepped(bundle.contract), _unstepped(source.contract)
    if ours != theirs:
        raise DataError(
            f"{model}: {theirs.name} {theirs.version} has another contract than the bundle's network "
            f"({ours.name} {ours.version})",
            remedy="name the package or the run the bundle was made with",
        )
    network = source.model
    if not isinstance(network, MobileFaceNet):
        raise DataError(f"{model}: not a MobileFaceNet, which is what can be adapted", remedy="name RUN/best")
    return dataclasses.replace(source, contract=bundle.contract, model=folded(without_prelu(network)))


def check_same(source: Source, bundle: Bundle, embedder: Embedder, windows_db: np.ndarray) -> None:
    """Raise DataError unless the float weights hear windows float32 [n, frames, mels] as the bundle's network does."""
    assert source.model is not None
    ours, theirs = embedder.embed(windows_db), torch_embeddings(source.model, bundle.model, windows_db)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = float(np.mean((ours * theirs).sum(axis=1) / np.maximum(norms, 1e-12)))
    if not cosine >= SAME_COSINE:
        raise DataError(
            f"these float weights are not of the bundle's network: mean cosine {cosine:.3f}",
            remedy="name the package or the run the bundle was made with: --model PACKAGE|RUN/best",
        )


def scheme_of(bundle: Bundle) -> Scheme:
    """How the bundle's network was quantised, as its provenance tells; otherwise both ends stay in float."""
    told = (bundle.model.provenance.get("int8") or {}).get("scheme")
    return next((scheme for scheme in CONVOLUTIONAL if str(scheme) == told), SAFE_SCHEME)


def _check_family(bundle: Bundle) -> None:
    if bundle.model.scorer is not None or bundle.contract.inputs != (LOG_MEL,):
        raise UsageError("the bundle's model is more than an embedder of log-mel windows: it cannot be adapted")
    kind = bundle.model.provenance.get("recipe", {}).get("model", {}).get("kind", "mobilefacenet")
    if kind != "mobilefacenet":
        raise UsageError(
            f"the bundle's network is a {kind}; only MobileFaceNets can be adapted",
            remedy="enrol with one (the model that ships is), or train anew: edge-asd train --recipe",
        )


def _known_source(bundle: Bundle) -> Source:
    if bundle.model.precision == "fp32":
        network = rebuilt(bundle.model)
        return Source(bundle.contract, network, bundle.model.network, QuantiseSettings(), bundle.model.provenance)
    if "adapted" in bundle.provenance:
        parent = bundle.provenance["adapted"].get("parent_sha256", "")[:12]
        raise UsageError(
            "the bundle was adapted already and holds int8 weights only",
            remedy=f"adapt the bundle it came from (sha256 {parent}...) to all the sound",
        )
    if load_model(DEFAULT_PACKAGE, "int8", ("onnx",)).network == bundle.model.network:
        return load_source(DEFAULT_PACKAGE)
    raise UsageError(
        f"the bundle holds int8 weights only, of {bundle.contract.title}, which is not the network that ships",
        remedy="name what it was made with: --model PACKAGE|RUN/best",
    )


def _unstepped(contract: ModelContract) -> ModelContract:
    """The step is the bundle's own business."""
    return dataclasses.replace(contract, step_frames=contract.window_frames)
