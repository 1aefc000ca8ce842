"""Whether a board can keep up with a model: operations a second of sound against what the board does in one.

Estimates, for a board is rarely at hand: the target files say what each does (`gmacs`), and docs/training.md where the
numbers come from. The front end and the scorer's search are left out, both small beside a network that matters here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_asd.errors import UsageError
from edge_asd.model_package import Model
from export.formats.operations import onnx_macs
from export.targets.target import Target, load_target, names

REFUSED, WARNED = 1.0, 0.5
"""Shares of a board's time: beyond the first it falls behind, beyond the second little is left for anything else."""


@dataclass(frozen=True)
class Load:
    """What a model asks of a board.

    macs: precision -> multiply-accumulates of one window. windows_per_s: as streamed, by the contract's step.
    """

    macs: dict[str, int]
    windows_per_s: float
    window_s: float

    def share(self, target: Target) -> float | None:
        """Share of the board's time; None where its file gives no figure."""
        if not all(target.gmacs.get(precision) for precision in self.macs):
            return None
        window_s = sum(macs / (1e9 * target.gmacs[precision]) for precision, macs in self.macs.items())
        return window_s * self.windows_per_s

    @property
    def gmacs_per_window(self) -> float:
        """10^9 operations of one window."""
        return sum(self.macs.values()) / 1e9

    @property
    def gmacs_per_clip(self) -> float:
        """The same of all windows of a clip of 10 s."""
        return self.gmacs_per_window * max(1.0, (10.0 - self.window_s) * self.windows_per_s + 1.0)


def load_of(model: Model) -> Load | None:
    """What a model asks for; None where a graph is in another format than ONNX, whose operations are not counted."""
    macs: dict[str, int] = {}
    for network in model.graphs.values():
        if network.format != "onnx":
            return None
        macs[network.precision] = macs.get(network.precision, 0) + onnx_macs(network.data)
    return Load(macs, 1.0 / model.contract.step_s, model.contract.window_s)


def check_budget(
    model: Model, target: Target, name: str, *, force: bool = False, note: Callable[[str], None] = lambda line: None
) -> float | None:
    """Share of the board's time the model takes by estimate; said where it is more than half.

    name: of the bundle, for messages. force: only warn. Raises UsageError for more than the board has.
    """
    load = load_of(model)
    share = None if load is None else load.share(target)
    if load is None or share is None or share <= WARNED:
        return share
    words = (
        f"{name}: {load.gmacs_per_window:.2g} GMAC a window, {load.windows_per_s:.3g} windows a second "
        f"({load.gmacs_per_clip:.3g} GMAC a clip of 10 s) would take {100 * share:.0f} % of {target.name}'s time "
        "by estimate"
    )
    able = [other for other in names() if (least := load.share(load_target(other))) is not None and least <= REFUSED]
    remedy = f"{', '.join(able) if able else 'no target'} can keep up; a longer step (enroll --step) asks for less"
    if share > REFUSED and not force:
        raise UsageError(words, remedy=f"{remedy}; --force exports it all the same")
    note(f"warning: {words}: {remedy}")
    return share
