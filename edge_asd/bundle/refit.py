"""The same enrolment fitted anew for another network or runtime, from the frames a bundle kept.

Bank and thresholds mean what they say only for the embeddings they were fitted on, and two runtimes round differently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from edge_asd.bank import DEFAULT_METHOD
from edge_asd.bundle.bundle import Bundle
from edge_asd.enrolment.enrol import DEFAULT_CLIP_PERCENTILE, TARGET_DOMAIN, Enrolment
from edge_asd.enrolment.hearing import hear_frames
from edge_asd.errors import DataError, UnavailableError
from edge_asd.inference import AUTO, Embedder, load_embedder, runnable_formats
from edge_asd.inference.runtimes import RUNTIMES, is_installed
from edge_asd.model_package import Model, load_model


def for_runtime(bundle: Bundle, runtime: str, package: Path, on_note: Callable[[str], None]) -> Bundle:
    """`bundle` ready to be scored by `runtime`, fitted anew where another library fitted it and its frames were kept.

    runtime: a name of `edge_asd.inference.runtimes.CHOICES`; "auto" is the library that fitted it, where it is here.
    package: where a network of another format is taken from.
    on_note: told when bank and thresholds were fitted anew, or rest on another runtime's embeddings.
    Raises UnavailableError where no runtime for the bundle's network is here and no frames were kept.
    """
    if not bundle.normal.uses_network:
        return bundle
    if runtime == AUTO:
        runtime = _fitter(bundle) or AUTO
    bundle = dataclasses.replace(bundle, runtime=runtime)
    formats = runnable_formats(runtime)
    held = dict.fromkeys(network.format for network in bundle.model.graphs.values())
    remedy = "enrol here" if bundle.uses_waveform else "enrol here; a bundle made with --keep-frames is fitted anew"
    if set(held) <= set(formats):
        model, embedder = bundle.model, bundle.embedder
        if not bundle.fitted_by or _library(embedder.runtime) == _library(bundle.fitted_by):
            return bundle
        if bundle.frames is None:
            on_note(
                f"warning: the thresholds were fitted by {bundle.fitted_by} and {embedder.runtime} scores; {remedy}"
            )
            return bundle
    elif bundle.frames is None:
        raise UnavailableError(
            f"the bundle's network is {' and '.join(held)}, here runs {' and '.join(formats)}",
            remedy=remedy,
        )
    else:
        model = load_model(package, bundle.model.precision, formats)
        embedder = load_embedder(model, runtime, bundle.engine)
    on_note(f"bank and thresholds, made by {bundle.fitted_by}, are fitted anew by {embedder.runtime}")
    return dataclasses.replace(refitted(bundle, model, embedder), runtime=runtime, engine=bundle.engine)


def refitted(bundle: Bundle, model: Model, embedder: Embedder) -> Bundle:
    """`bundle` with bank and thresholds fitted on another network's embeddings.

    model: a network with the contract of the bundle's; the bundle's step is kept. embedder: `model`, started.
    Raises DataError where the bundle kept no frames, hears the waveform, which frames do not hold, or is of another
    model.
    """
    if bundle.uses_waveform:
        raise DataError(
            f"{bundle.contract.name} hears the waveform, and a bundle keeps log-mel frames at most",
            remedy="enrol again, from the recordings or the microphone",
        )
    if bundle.frames is None:
        raise DataError(
            "the bundle kept no frames of its enrolment and cannot be fitted anew",
            remedy="enrol again, with --keep-frames",
        )
    own = bundle.contract
    contract = dataclasses.replace(model.contract, step_frames=own.step_frames)
    if own.section:
        contract = contract.for_section(own.section)
    model = dataclasses.replace(model, contract=contract)
    if contract != own:
        names = (f"{c.name} {c.version}" for c in (own, contract))
        raise DataError("the bundle was made with {}, the network is {}".format(*names), remedy="enrol again")
    kept = bundle.enrolment.get("bank", {})
    enrolment = Enrolment(
        model,
        embedder,
        scorers=bundle.normal.specs,
        clip_percentile=bundle.clip_calibration.percentile or DEFAULT_CLIP_PERCENTILE,
        live=bundle.live_calibrations[-1].target,
        smoothing_s=len(bundle.live_calibrations) * model.contract.step_s,
        bank_budget_bytes=kept.get("budget_bytes"),
        bank_method=kept.get("method", DEFAULT_METHOD),
        enrolled_s=float(bundle.normal.tags.enrolled_s.max()),
        strict=False,
        session_allowance=max(bundle.clip_calibration.allowance, default=1.0),
        aggregation=bundle.aggregation,
    )
    for i, piece in enumerate(bundle.frames.pieces()):
        heard = hear_frames(piece.frames, model.contract, enrolment.scorers, embedder, whole=True)
        group, domain = None if piece.group < 0 else str(piece.group), TARGET_DOMAIN if piece.target else None
        enrolment.add_heard(heard, f"piece {i}", group, domain)
    fitted = enrolment.finish({**bundle.provenance, "refitted_from": bundle.fitted_by})
    return dataclasses.replace(fitted, enrolment=bundle.enrolment, frames=bundle.frames)


def _fitter(bundle: Bundle) -> str | None:
    """The runtime that fitted the bundle, if it is installed and runs the bundle's network."""
    name, formats = _library(bundle.fitted_by), {network.format for network in bundle.model.graphs.values()}
    able = (known for known in RUNTIMES if known.name == name and formats <= set(known.formats))
    return next((known.name for known in able if is_installed(known)), None)


def _library(runtime: str) -> str:
    """The name without the version: releases of one library agree closely enough."""
    return runtime.split(" ")[0]
