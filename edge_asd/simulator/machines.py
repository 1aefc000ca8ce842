"""What one individual machine is: a drive, a rhythm of work, and layers of sound. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_asd.errors import DataError
from edge_asd.simulator.noise import Curve
from edge_asd.simulator.resonance import Mode

KINDS = ("fan", "pump", "gearbox", "bearing", "valve", "slider")
FLAT = Curve((20.0, 20000.0), (0.0, 0.0))


@dataclass(frozen=True)
class Layer:
    """What every layer of sound has.

    level_db: power at nominal speed, relative to the whole machine.
    exponent: amplitude follows (speed / nominal) ** exponent.
    load_db: change for one standard deviation of load.
    flutter_depth, flutter_hz: slow random gain (see `noise.flutter`).
    beat_order, beat_depth, beat_sharpness: swelling locked to the shaft (see `tones.beat`).
    gate: "always", or "open" (only while the machine's cycle is in its open part).
    """

    level_db: float = 0.0
    exponent: float = 0.0
    load_db: float = 0.0
    flutter_depth: float = 0.0
    flutter_hz: float = 5.0
    beat_order: float = 1.0
    beat_depth: float = 0.0
    beat_sharpness: float = 0.0
    gate: str = "always"


@dataclass(frozen=True)
class Tones(Layer):
    """Cosines at whole multiples of one turning speed.

    orders, amplitudes, phases: cycles a turn, relative amplitude, radians at angle 0; equally long.
    ratio: turns of this wheel for one turn of the shaft; unused where `fixed_hz` is above 0, which is
        a speed of its own (mains, a switching converter).
    wander: relative random departure of the speed, moving no faster than `wander_hz`.
    """

    orders: tuple[int, ...] = (1,)
    amplitudes: tuple[float, ...] = (1.0,)
    phases: tuple[float, ...] = (0.0,)
    ratio: float = 1.0
    fixed_hz: float = 0.0
    wander: float = 0.0
    wander_hz: float = 0.5


@dataclass(frozen=True)
class Noise(Layer):
    """Flow, friction, hiss. curve: its spectrum at nominal speed, which moves with (speed / nominal) ** follows."""

    curve: Curve = FLAT
    follows: float = 0.0


@dataclass(frozen=True)
class Impacts(Layer):
    """Blows that make a structure ring.

    at: "turn" (`ratio` blows a turn of the shaft), "clock" (`ratio` blows a second) or "click" (each time the
        cycle opens, closes or turns back).
    slip: see `resonance.crossings`. spread: standard deviation of a blow's log amplitude. modes: what rings.
    """

    at: str = "turn"
    ratio: float = 1.0
    slip: float = 0.01
    spread: float = 0.1
    modes: tuple[Mode, ...] = (Mode(2000.0, 0.003, 1.0),)


@dataclass(frozen=True)
class Drive:
    """How it turns.

    shaft_hz: nominal speed, turns a second.
    speeds: normal operating points relative to nominal; each rendering runs at one, or, if `continuous`, anywhere
        between the lowest and the highest.
    change_chance: probability that a rendering changes its operating point on the way.
    drift, jitter: relative standard deviation of the speed below 0.5 Hz and up to 20 Hz.
    wobble, wobble_hz: periodic change of speed with the load.
    """

    shaft_hz: float
    speeds: tuple[float, ...] = (1.0,)
    continuous: bool = False
    change_chance: float = 0.0
    drift: float = 0.002
    jitter: float = 0.001
    wobble: float = 0.0
    wobble_hz: float = 1.0


@dataclass(frozen=True)
class Cycle:
    """A rhythm of work.

    shape: "steady" (none), "stroke" (a carriage runs out and back, resting `rest` of each half period) or
        "open" (a valve opens once a period, for 1 - `rest` of it).
    period_s: one whole period. ramp_s: time to reach full speed or opening.
    jitter: relative standard deviation of each duration. back: speed of the way back against the way out.
    miss: probability that a valve fails to open at its turn.
    """

    shape: str = "steady"
    period_s: float = 1.0
    rest: float = 0.2
    ramp_s: float = 0.05
    jitter: float = 0.02
    back: float = 1.0
    miss: float = 0.0


@dataclass(frozen=True)
class Bearing:
    """Blows a turn of the shaft when a defect on the outer race, inner race, ball or cage passes."""

    outer: float
    inner: float
    ball: float
    cage: float


@dataclass(frozen=True)
class Machine:
    """One individual of a kind: the same instance always is the same machine, however often it is rendered.

    layers: its sound at the casing. body: colour the casing gives to all of it; modes: casing resonances.
    pass_order: blades, vanes or teeth that pass a turn of the shaft. bearing: where its bearing's defects would strike.
    """

    kind: str
    drive: Drive
    layers: tuple[Layer, ...]
    cycle: Cycle = field(default_factory=Cycle)
    body: Curve = FLAT
    modes: tuple[Mode, ...] = ()
    pass_order: int = 7
    bearing: Bearing = field(default_factory=lambda: Bearing(3.6, 5.4, 4.7, 0.4))

    @classmethod
    def random(cls, kind: str, rng: np.random.Generator) -> Machine:
        """Draw an individual of one of `KINDS`. Raises DataError for another kind, naming those known."""
        from edge_asd.simulator.designs import DESIGNS

        if kind not in DESIGNS:
            raise DataError(f"simulator: unknown machine kind {kind!r}", remedy=f"choose one of {', '.join(KINDS)}")
        return DESIGNS[kind](rng)
