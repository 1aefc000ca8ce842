"""How a scorer is written: `view:measure`, settings behind commas, several joined by `+`.

embedding:knn+spectrum:knn        ranked:gmm,r=0.95,k=2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_asd.contract import ModelContract
from edge_asd.errors import UsageError
from edge_asd.scorers.measure import Measure
from edge_asd.scorers.registry import MEASURES, fitting_measures, measure_class
from edge_asd.scorers.views import VIEWS, View


@dataclass(frozen=True)
class ScorerSpec:
    """Which view is compared by which measure.

    parameters: all that either of them has, sorted by name.
    """

    view: str
    measure: str
    parameters: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        """As `parse_scorer` reads it; parameters at their defaults are left out."""
        defaults = _parameters(self.view, self.measure)
        return f"{self.view}:{self.measure}" + "".join(
            f",{name}={value}" for name, value in self.parameters if value != defaults[name][0]
        )

    @property
    def view_of(self) -> View:
        """The view."""
        return VIEWS[self.view]

    @property
    def measure_of(self) -> type[Measure]:
        """The measure's class."""
        return measure_class(self.view, self.measure)

    @property
    def features(self) -> str:
        """Names the features it compares: scorers of the same name share them."""
        own = self._values(self.view_of.parameters)
        return self.view + "".join(f",{name}={value}" for name, value in own.items())

    @property
    def view_parameters(self) -> dict[str, float]:
        """Those of the view."""
        return self._values(self.view_of.parameters)

    @property
    def measure_parameters(self) -> dict[str, float]:
        """Those of the measure."""
        return self._values(self.measure_of.PARAMETERS)

    def width(self, contract: ModelContract) -> int:
        """Numbers in one row of its features."""
        return self.view_of.width(contract)

    def _values(self, names: Mapping[str, object]) -> dict[str, float]:
        return {name: value for name, value in self.parameters if name in names}


def parse_scorer(text: str) -> ScorerSpec:
    """One scorer, such as `ranked:gmm,k=2`. Raises UsageError naming the nearest known word."""
    name, *settings = text.strip().split(",")
    view, colon, measure = name.partition(":")
    if not colon:
        raise UsageError(
            f"scorer {text!r}: not VIEW:MEASURE", remedy=f"views: {_list(VIEWS)}; measures: {_list(MEASURES)}"
        )
    _known(f"scorer {text!r}: view", view, VIEWS)
    _known(f"scorer {text!r}: measure", measure, MEASURES)
    if measure not in fitting_measures(view):
        raise UsageError(
            f"scorer {text!r}: {view} has no measure {measure}", remedy=f"there are {', '.join(fitting_measures(view))}"
        )
    known = _parameters(view, measure)
    values = {key: limits[0] for key, limits in known.items()}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not known:
            raise UsageError(f"scorer {text!r}: {view}:{measure} has nothing to set")
        _known(f"scorer {text!r}: setting", key, known)
        values[key] = _number(f"scorer {text!r}: {key}", value if equals else "", known[key])
    return ScorerSpec(view, measure, tuple(sorted(values.items())))


def parse_scorers(text: str) -> tuple[ScorerSpec, ...]:
    """One or more scorers joined by `+`. Raises UsageError."""
    specs = tuple(parse_scorer(part) for part in text.split("+"))
    for i, spec in enumerate(specs):
        if spec in specs[:i]:
            raise UsageError(f"scorer {spec} stands twice in {text!r}")
    return specs


def _parameters(view: str, measure: str) -> dict[str, tuple[float, float, float]]:
    return {**VIEWS[view].parameters, **measure_class(view, measure).PARAMETERS}


def _known(what: str, word: str, known: Mapping[str, object]) -> None:
    if word not in known:
        from edge_asd.config.nearest import nearest

        raise UsageError(
            f"{what} {word!r} is not known", remedy=f"did you mean {nearest(word, known)!r}? There are {_list(known)}"
        )


def _number(what: str, text: str, limits: tuple[float, float, float]) -> float:
    default, lowest, highest = limits
    try:
        value = type(default)(text)
    except ValueError:
        value = None
    if value is None or not lowest <= value <= highest:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise UsageError(f"{what} is {text!r}, expected {kind} from {lowest:g} to {highest:g}")
    return value


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(names)
