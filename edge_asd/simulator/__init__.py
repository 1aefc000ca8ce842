"""Sound of machines that never existed: for training, for the demo, for tests. numpy only.

    rng = np.random.default_rng(7)
    machine, scene = Machine.random("fan", rng), Scene.random(rng)
    normal = render(machine, scene, 10.0, rng)
    faulty = render(machine, scene, 10.0, rng, fault=Fault("blade_damage", level_db=0.0, onset_s=5.0))

All randomness comes from the generator passed in; the same seed gives the same samples.
"""

from __future__ import annotations

from edge_asd.simulator.faults import FAULTS, Fault
from edge_asd.simulator.machines import KINDS, Machine
from edge_asd.simulator.render import render
from edge_asd.simulator.scene import Scene

__all__ = ["FAULTS", "KINDS", "Fault", "Machine", "Scene", "render"]
