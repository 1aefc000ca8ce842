"""A recipe and a data set become a system: trained networks, model packages, and a bundle for every machine's section.

RUN/            one network's training run (see `export.training.run_folder`); of several networks, RUN/<name>/ each
RUN/model/      its model package, of the best state, in float; of several, RUN/model/<name>/
RUN/data.txt    the data set's directory, for `edge-asd export --bundle`
RUN/bundles/    <machine>_<section>.asd, enrolled with the training clips of both domains
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.calibration.aggregation import Aggregation
from edge_asd.enrolment.enrol import DEFAULT_SMOOTHING_S, Enrolment
from edge_asd.errors import EdgeAsdError
from edge_asd.evaluation.plan import RUN_BUNDLES
from edge_asd.inference import load_embedder, runnable_formats
from edge_asd.inference.runtimes import AUTO
from edge_asd.model_package import Model, load_model
from edge_asd.scorers import parse_scorers
from export.networks.published import Published
from export.packages.make import load_source, put_float
from export.recipe import Recipe
from export.sound.clip_batches import ClipBatches
from export.sound.recordings import MachineClips
from export.systems.units import Unit
from export.training.parallel import ALONE, Processes
from export.training.train import run_key, train

BUNDLES, MODEL = RUN_BUNDLES, "model"
Note = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """One network of a system. run: its directory. package: its model package. summary: of the training."""

    run: Path
    package: Path
    summary: dict[str, Any]


def prepared(unit: Unit, note: Note = lambda line: None) -> tuple[Recipe, ClipBatches]:
    """The unit's recipe with as many steps as its epochs take, and its batches; a batch has no more clips than there
    are, and that is said."""
    recipe, n_clips = unit.recipe, len(unit.clips.paths)
    if recipe.train.groups_per_batch > n_clips:
        note(f"batches of {n_clips} clips instead of {recipe.train.groups_per_batch}: there are no more")
        recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, groups_per_batch=n_clips))
    batches = ClipBatches(recipe, unit.clips)
    if recipe.train.epochs:
        steps = recipe.train.epochs * batches.steps_per_epoch
        recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, steps=steps))
    return recipe, batches


def train_unit(
    unit: Unit,
    out: Path,
    published: Published,
    *,
    processes: Processes = ALONE,
    at_step: Callable[[int, int, dict[str, float]], None] = lambda step, steps, losses: None,
    note: Note = lambda line: None,
) -> Trained:
    """Train one network, or go on with it, and write its float model package. Errors as `export.training.train.train`.

    processes: that share the training. at_step: told of each step, of how many, and its losses.
    """
    recipe, batches = prepared(unit, note)
    batches.provenance |= published.provenance()
    run = out / unit.name if unit.name else out
    _, summary = train(
        recipe,
        batches,
        run,
        key=run_key(recipe, unit.clips.key, published.sha256, processes.count),
        processes=processes,
        start=lambda network: network.load_published(published.paths, note),
        at_step=lambda step, losses: at_step(step, recipe.train.steps, losses),
        note=note,
    )
    package = out / MODEL / unit.name if unit.name else out / MODEL
    if processes.first:
        put_float(package, load_source(run / "best"))
    return Trained(run, package, summary)


def enrol_machine(
    recipe: Recipe,
    model: Model,
    found: MachineClips,
    place: tuple[str, str],
    *,
    now_s: float | None = None,
    note: Note = lambda line: None,
) -> Bundle:
    """A bundle of one machine's section, enrolled with all its training clips as `recipe.scoring` says.

    now_s: seconds since 1970 (UTC), for the record; None: by the clock.
    Raises DataError for a clip that cannot be used, and what `Enrolment` raises.
    """
    machine, section = place
    scoring = recipe.scoring
    if model.contract.sections:
        model = model.for_section(f"{machine}/{section}")
    text = scoring.machines.get(machine, scoring.scorer)
    enrolment = Enrolment(
        model,
        load_embedder(model),
        parse_scorers(text) if text else (),
        clip_percentile=scoring.percentile,
        smoothing_s=scoring.smoothing_s or DEFAULT_SMOOTHING_S,
        enrolled_s=time.time() if now_s is None else now_s,
        strict=False,
        # As published, a threshold is the percentile itself; by default it allows for days that were not heard.
        session_allowance=1.0 if scoring.aggregation == "mean" else None,
        aggregation=Aggregation() if scoring.aggregation == "mean" else None,
    )
    for clip in found.by_section[place]:
        enrolment.add_clip(Path(clip.file), on_note=note, domain=clip.domain or None)
    n_clips = len(found.by_section[place])
    source = f"{n_clips} training clips of {machine} section {section}"
    made_of = _of(recipe, model, found, place)
    return enrolment.finish({"source": source, "machine": machine, "section": section, **made_of})


def enrol_unit(
    unit: Unit, trained: Trained, found: MachineClips, out: Path, *, note: Note = lambda line: None
) -> list[Path]:
    """Write the bundle of every machine's section the network serves; one that is there already, made with the very
    same network, clips and scoring, is left as it is."""
    model = load_model(trained.package, "fp32", runnable_formats(AUTO))
    folder = out / BUNDLES
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for done, place in enumerate(unit.serves, 1):
        path = folder / f"{'_'.join(place)}.asd"
        paths.append(path)
        if path.is_file() and _is_of(path, _of(unit.recipe, model, found, place)):
            continue
        bundle = enrol_machine(unit.recipe, model, found, place, note=note)
        save_bundle(bundle, path)
        for warning in bundle.enrolment["warnings"]:
            note(f"{path.name}: {warning}")
        note(f"{path}: {bundle.enrolment['windows']} windows ({done} of {len(unit.serves)})")
    return paths


def _of(recipe: Recipe, model: Model, found: MachineClips, place: tuple[str, str]) -> dict[str, str]:
    """What a bundle is made of, for its provenance: the network, and a hash of scoring, step and training clips."""
    files = [Path(clip.file) for clip in found.by_section[place]]
    clips = [(path.name, path.stat().st_size) for path in files]
    enrolled = hashlib.sha256(repr((recipe.scoring, model.contract.step_frames, clips)).encode()).hexdigest()[:12]
    return {"weights": str(model.provenance.get("weights", "")), "enrolled_as": enrolled}


def _is_of(path: Path, made_of: dict[str, str]) -> bool:
    """Whether a bundle was made of this."""
    try:
        held = load_bundle(path).provenance
    except EdgeAsdError:
        return False  # a damaged one, or of an older edge-asd: made anew
    return all(held.get(name) == value for name, value in made_of.items())
