"""A small set of simulated clips in the shape of DCASE 2022 Task 2: names, domains, attributes, sections.

Seven machines, six sections each. A section is one individual in one place, and one of its attributes has other values
in the target domain than in the source domain: another speed, load, microphone, background or rhythm of work
(Dohi et al. 2022, arXiv 2206.05876, for the shape; the sound is `edge_asd.simulator`'s own).

Loudness tells nothing: in each domain of a section, the anomalous test clips have the very levels of the normal ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.errors import DataError
from edge_asd.simulator import draws
from edge_asd.simulator.faults import Fault
from edge_asd.simulator.machines import Cycle, Machine
from edge_asd.simulator.render import render
from edge_asd.simulator.scene import Scene

RATE_HZ = 16000
SECTIONS = ("00", "01", "02", "03", "04", "05")
DOMAINS = ("source", "target")
NOMINAL_DBFS, LEVEL_SPREAD_DB = -26.0, 4.0
"""Clips are brought to levels drawn evenly from nominal -+ spread."""
FAULT_DB = (0.0, 6.0)
"""How loud faults are, relative to the machine's own sound."""
SETTING, INDIVIDUAL, PLACE, LEVELS, CLIP = range(5)
"""Purposes random numbers are drawn for; each (seed, purpose, machine, section, ...) is a stream of its own."""


@dataclass(frozen=True)
class Attribute:
    """Something that is set about a machine, by the name it has in file names.

    aspect: what it changes: "speed" (factor), "load" (standard deviations), "rhythm" (factor on the period),
        "place" (which microphone) or "background" (which).
    source, target: (value as written, number for the aspect) in each domain; a section that does not shift this
        attribute holds it at the first source value.
    """

    name: str
    aspect: str
    source: tuple[tuple[str, float], ...]
    target: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Maker:
    """How a machine of the set is drawn. kind: of the simulator; faster: factor on its shaft speed (toys are small).

    faults: those of the kind that a test clip may have.
    """

    kind: str
    attributes: tuple[Attribute, ...]
    faults: tuple[str, ...]
    faster: float = 1.0


_MICROPHONES = Attribute("mic", "place", (("1", 0), ("2", 1)), (("3", 2), ("4", 3)))
_NOISES = Attribute("noise", "background", (("1", 0), ("2", 1)), (("3", 2), ("4", 3)))
_CAR_FAULTS = ("gear_tooth", "gear_wear", "bearing_outer", "dry_friction", "looseness")
_TRAIN_FAULTS = ("dry_friction", "rail_damage", "belt_squeal", "bearing_outer", "contamination")

MAKERS: dict[str, Maker] = {
    "ToyCar": Maker(
        "gearbox",
        (
            Attribute("spd", "speed", (("28V", 0.93), ("31V", 1.0)), (("34V", 1.08), ("37V", 1.16))),
            _MICROPHONES,
            _NOISES,
        ),
        _CAR_FAULTS,
        faster=2.5,
    ),
    "ToyTrain": Maker(
        "slider",
        (Attribute("spd", "speed", (("1", 0.94), ("2", 1.0)), (("3", 1.08), ("4", 1.15))), _MICROPHONES, _NOISES),
        _TRAIN_FAULTS,
        faster=1.6,
    ),
    "bearing": Maker(
        "bearing",
        (
            Attribute("vel", "speed", (("6", 0.93), ("10", 1.0)), (("14", 1.08), ("18", 1.16))),
            Attribute("loc", "place", (("A", 0), ("B", 1)), (("E", 2), ("F", 3))),
        ),
        ("bearing_outer", "bearing_inner", "bearing_ball", "contamination", "dry_friction", "looseness"),
    ),
    "fan": Maker(
        "fan",
        (
            Attribute("m-n", "background", (("W", 0), ("X", 1)), (("Y", 2), ("Z", 3))),
            Attribute("f-n", "place", (("A", 0), ("B", 1)), (("C", 2), ("D", 3))),
        ),
        ("blade_damage", "bearing_outer", "bearing_inner", "looseness", "rubbing", "belt_squeal", "rattle"),
    ),
    "gearbox": Maker(
        "gearbox",
        (
            Attribute("volt", "speed", (("1.0", 0.94), ("1.5", 1.0)), (("2.0", 1.08), ("2.5", 1.15))),
            Attribute("wt", "load", (("0", -0.5), ("50", 0.5)), (("150", 1.5), ("200", 2.0))),
        ),
        ("gear_tooth", "gear_wear", "bearing_outer", "bearing_inner", "bearing_ball", "dry_friction"),
    ),
    "slider": Maker(
        "slider",
        (
            Attribute("vel", "speed", (("700", 0.94), ("900", 1.0)), (("1000", 1.07), ("1100", 1.14))),
            Attribute("ac", "rhythm", (("0.02", 1.0), ("0.04", 0.92)), (("0.06", 0.85), ("0.08", 0.78))),
            Attribute("f-n", "background", (("A", 0), ("B", 1)), (("C", 2), ("D", 3))),
        ),
        ("dry_friction", "rail_damage", "belt_squeal", "bearing_outer", "looseness", "contamination"),
    ),
    "valve": Maker(
        "valve",
        (
            Attribute("pat", "rhythm", (("00", 1.0), ("01", 0.88)), (("02", 1.15), ("03", 0.76))),
            Attribute("panel", "place", (("open", 0), ("b-c", 1)), (("c-s", 2), ("c-c", 3))),
        ),
        ("leak", "chatter", "contamination", "electrical_hum", "rattle"),
    ),
}
MACHINES = tuple(MAKERS)


@dataclass(frozen=True)
class Counts:
    """Clips of one section: source and target ones to train on; to test, normal ones in each domain and as many
    anomalous ones."""

    source: int = 8
    target: int = 2
    test: int = 2

    def __post_init__(self) -> None:
        if self.source < 1 or self.target < 0 or self.test < 0:
            raise DataError(
                f"simulator: {self.source} source, {self.target} target and {self.test} test clips are no set",
                remedy="give 1 or more of the source, 0 or more of the others",
            )


@dataclass(frozen=True)
class GeneratedClip:
    """One clip of the set.

    machine, section, role ("train", "test"), domain, label: as in its name. attributes: (name, value) pairs.
    level_dbfs: its RMS level. fault: what is wrong with it, None for a normal clip. seed: of its random numbers.
    """

    machine: str
    section: str
    role: str
    domain: str
    label: str
    index: int
    attributes: tuple[tuple[str, str], ...]
    level_dbfs: float
    seed: tuple[int, ...]
    fault: Fault | None = None

    @property
    def path(self) -> str:
        """Relative to the set's folder, as the organisers name clips."""
        words = "_".join(f"{name}_{value}" for name, value in self.attributes)
        return (
            f"{self.machine}/{self.role}/section_{self.section}_{self.domain}_{self.role}_{self.label}_"
            f"{self.index:04d}_{words}.wav"
        )


class Section:
    """One individual machine of the set: the same seed gives the same clips, whatever else is made beside it.

    Raises DataError for a machine or section the set has not.
    """

    def __init__(self, machine: str, section: str, clip_s: float, seed: int) -> None:
        if machine not in MAKERS:
            raise DataError(
                f"simulator: no machine {machine!r} in DCASE 2022", remedy=f"choose of {','.join(MACHINES)}"
            )
        if section not in SECTIONS:
            raise DataError(f"simulator: no section {section!r}", remedy=f"choose of {','.join(SECTIONS)}")
        if not clip_s > 0.0:
            raise DataError(f"simulator: {clip_s} s is no clip", remedy="give a time above 0")
        self.machine, self.section, self.clip_s = machine, section, clip_s
        self._maker = MAKERS[machine]
        self._key = (MACHINES.index(machine), SECTIONS.index(section))
        self._seed = seed
        self.shifted = self._maker.attributes[self._key[1] % len(self._maker.attributes)]
        self._individual = _calm(Machine.random(self._maker.kind, self._rng(INDIVIDUAL)), self._maker.faster, clip_s)
        self._scenes = _places(self._rng(PLACE))

    def _rng(self, purpose: int, *more: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, purpose, *self._key, *more])

    def clips(self, counts: Counts) -> Iterator[GeneratedClip]:
        """Every clip of the section, without sound: training, then testing."""
        for domain, n in zip(DOMAINS, (counts.source, counts.target), strict=True):
            yield from self._group("train", domain, "normal", n)
        for domain in DOMAINS:
            for label in ("normal", "anomaly"):
                yield from self._group("test", domain, label, counts.test)

    def _group(self, role: str, domain: str, label: str, n: int) -> Iterator[GeneratedClip]:
        stream = (DOMAINS.index(domain), ("train", "test").index(role))
        values = getattr(self.shifted, domain)
        for i in range(n):
            # A normal clip and the anomaly of its number have one level and one setting.
            rng = self._rng(LEVELS, *stream, i)
            level_dbfs = NOMINAL_DBFS + rng.uniform(-LEVEL_SPREAD_DB, LEVEL_SPREAD_DB)
            written = values[i % len(values)][0]
            fault = None
            if label == "anomaly":
                fault = Fault(str(rng.choice(self._maker.faults)), level_db=float(rng.uniform(*FAULT_DB)))
            yield GeneratedClip(
                self.machine, self.section, role, domain, label, i,
                tuple((a.name, written if a is self.shifted else a.source[0][0]) for a in self._maker.attributes),
                float(level_dbfs), (*stream, int(label == "anomaly"), i), fault,
            )  # fmt: skip

    def sound(self, clip: GeneratedClip) -> np.ndarray:
        """Its samples, int16 [round(clip_s * 16000)]."""
        machine, scene = self._individual, self._scenes[0][0]
        for attribute, (_, written) in zip(self._maker.attributes, clip.attributes, strict=True):
            number = dict(attribute.source + attribute.target)[written]
            if attribute.aspect == "place":
                scene = dataclasses.replace(self._scenes[int(number)][0], background=scene.background)
            elif attribute.aspect == "background":
                scene = dataclasses.replace(scene, background=self._scenes[int(number)][1])
            else:
                machine = _set(machine, attribute.aspect, number)
        wave = render(machine, scene, self.clip_s, self._rng(CLIP, *clip.seed), RATE_HZ, clip.fault)
        wave = wave.astype(np.float64)
        wave *= 10.0 ** (clip.level_dbfs / 20.0) / max(float(np.sqrt(np.mean(np.square(wave)))), 1e-9)
        return np.clip(np.round(wave * 32768.0), -32768, 32767).astype(np.int16)


def sections_of(machines: Sequence[str], sections: Sequence[str], clip_s: float, seed: int) -> list[Section]:
    """Each section of each machine, in the order of the set. Raises DataError for one the set has not."""
    return [Section(machine, section, clip_s, seed) for machine in machines for section in sections]


def _calm(machine: Machine, faster: float, clip_s: float) -> Machine:
    """The individual at one operating point, its rhythm so quick that every clip hears all of it."""
    drive = dataclasses.replace(
        machine.drive,
        shaft_hz=machine.drive.shaft_hz * faster,
        speeds=(1.0,),
        change_chance=0.0,
        drift=min(machine.drive.drift, 0.003),
        wobble=min(machine.drive.wobble, 0.005),
    )
    cycle = machine.cycle
    if cycle.shape != "steady" and cycle.period_s > 0.4 * clip_s:
        shrink = 0.4 * clip_s / cycle.period_s
        cycle = dataclasses.replace(cycle, period_s=cycle.period_s * shrink, ramp_s=cycle.ramp_s * shrink)
    if cycle.shape == "stroke" and machine.kind != "slider":
        cycle = Cycle()  # a motor that is switched on and off has no clip that hears all of it
    return dataclasses.replace(machine, drive=drive, cycle=cycle)


def _places(rng: np.random.Generator) -> list[tuple[Scene, tuple[Machine, ...]]]:
    """Four microphones in one place, each with a background: [(scene, background)]."""
    first = dataclasses.replace(
        Scene.random(rng),
        level_dbfs=-30.0,
        snr_db=float(rng.uniform(12.0, 20.0)),
        rt60_s=float(rng.uniform(0.1, 0.4)),
        direct_db=float(rng.uniform(3.0, 10.0)),
        floor_dbfs=-80.0,
        bits=0,
    )
    places = [(first, first.background)]
    for _ in range(3):
        colour = draws.random_colour(rng, 1.5)
        moved = dataclasses.replace(first, room_seed=int(rng.integers(2**31)), microphone=first.microphone.plus(colour))
        places.append((moved, Scene.random(rng).background))
    return places


def _set(machine: Machine, aspect: str, number: float) -> Machine:
    """The machine with its speed, load or rhythm set."""
    if aspect == "speed":
        return dataclasses.replace(machine, drive=dataclasses.replace(machine.drive, speeds=(number,)))
    if aspect == "rhythm":
        cycle = dataclasses.replace(machine.cycle, period_s=machine.cycle.period_s * number)
        return dataclasses.replace(machine, cycle=cycle)
    if aspect == "load":
        layers = tuple(dataclasses.replace(x, level_db=x.level_db + number * x.load_db) for x in machine.layers)
        return dataclasses.replace(machine, layers=layers)
    raise ValueError(f"no such aspect: {aspect!r}")
