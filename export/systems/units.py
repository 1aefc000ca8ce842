"""The networks a recipe makes of a data set: one, one a machine, or one for each of its subsets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edge_asd.contract import SECTION
from edge_asd.errors import DataError
from export.recipe import Recipe, RecordingSettings, section_names
from export.sound.recordings import ClipClasses, MachineClips, classes_of

EVERY_MACHINE = "*"


@dataclass(frozen=True)
class Unit:
    """One network.

    name: of its directory; "" where it is the only one.
    recipe: its own: recordings narrowed to its own, sections filled in.
    clips: it is trained on. serves: (machine, section) it is enrolled and scores for.
    """

    name: str
    recipe: Recipe
    clips: ClipClasses
    serves: tuple[tuple[str, str], ...]


def units(recipe: Recipe, found: MachineClips, folder: Path) -> list[Unit]:
    """The networks of a recipe. Raises DataError as `classes_of`, for a machine's section that two serve, and for a
    network that should tell classes apart where there is only one."""
    settings = recipe.recordings
    machines = settings.machines or found.machines
    if settings.subsets:
        made = [_of_subset(recipe, found, folder, i, machines) for i in range(len(settings.subsets))]
    elif settings.models == "machine":
        alone = [(machine, dataclasses.replace(settings, machines=(machine,))) for machine in machines]
        made = [_unit(machine, recipe, own, found, folder, {machine: "all"}) for machine, own in alone]
    else:
        made = [_unit("", recipe, settings, found, folder, dict.fromkeys(machines, "all"))]
    served = [place for unit in made for place in unit.serves]
    twice = next((place for place in served if served.count(place) > 1), None)
    if twice:
        raise DataError(
            f"recipe {recipe.name!r}: two networks serve {'/'.join(twice)}", remedy="see recordings.subsets"
        )
    if not served:
        raise DataError(f"{folder}: none of its machines' sections is served by recipe {recipe.name!r}")
    return made


def unserved(made: list[Unit], found: MachineClips) -> list[str]:
    """Machines' sections of the data set that no network serves: "fan/00"."""
    served = {place for unit in made for place in unit.serves}
    return ["/".join(place) for place in found.by_section if place not in served]


def strange_machines(recipe: Recipe, found: MachineClips) -> list[str]:
    """In words the machines that the recipe's scoring names and the data set has not: mistyped, or not in this part."""
    strange = [machine for machine in recipe.scoring.machines if machine not in found.machines]
    there = ", ".join(found.machines)
    return [f"scoring.machines names {machine!r}, which the data has not: there are {there}" for machine in strange]


def _of_subset(recipe: Recipe, found: MachineClips, folder: Path, index: int, machines: tuple[str, ...]) -> Unit:
    subset = recipe.recordings.subsets[index]
    own = dataclasses.replace(
        recipe.recordings, sections=subset.sections, machines=subset.machines or recipe.recordings.machines
    )
    steps, epochs = subset.steps, subset.epochs
    if not steps and not epochs:
        steps, epochs = recipe.train.steps, recipe.train.epochs
    train = dataclasses.replace(recipe.train, steps=steps or recipe.train.steps, epochs=epochs)
    trained = dataclasses.replace(recipe, train=train)
    named = {machine for other in recipe.recordings.subsets for machine in other.serves}
    serves = {
        machine: subset.serves.get(machine, "" if machine in named else subset.serves.get(EVERY_MACHINE, ""))
        for machine in machines
    }
    return _unit(subset.name, trained, own, found, folder, {m: text for m, text in serves.items() if text})


def _unit(
    name: str, recipe: Recipe, own: RecordingSettings, found: MachineClips, folder: Path, serves: dict[str, str]
) -> Unit:
    clips = classes_of(found, own, folder)
    if len(clips.names) < 2 and recipe.objective.kind == "classification":
        raise DataError(
            f"{folder}: all clips of {name or 'the data'} are of one class, {clips.names[0]!r}: this recipe's network "
            "learns by telling classes apart",
            remedy="give the machine's other sections, or leave the machine out with recordings.machines",
        )
    contract = recipe.contract
    tells_sections = SECTION in recipe.model.scorer_inputs or recipe.objective.needs_sections
    if tells_sections:
        contract = dataclasses.replace(contract, sections=clips.section_names)
    own = dataclasses.replace(own, subsets=())
    made = dataclasses.replace(recipe, recordings=own, contract=contract)
    places = []
    for machine, section in found.by_section:
        wanted = section_names(serves[machine]) if machine in serves else ()
        known = not tells_sections or f"{machine}/{section}" in clips.section_names
        if (wanted is None or section in wanted) and known:
            places.append((machine, section))
    return Unit(name, made, clips, tuple(places))
