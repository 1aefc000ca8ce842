"""The measures by name."""

from __future__ import annotations

from collections.abc import Mapping

from edge_asd.scorers.measure import Measure
from edge_asd.scorers.neighbours import CosineKnn, SpreadKnn
from edge_asd.scorers.views import VIEWS

MEASURES: Mapping[str, Mapping[str, type[Measure]]] = {
    "knn": {"cosine": CosineKnn, "spread": SpreadKnn},
}
"""Name -> metric -> class."""


def measure_class(view: str, measure: str) -> type[Measure]:
    """What `measure` is for a view's metric; both names are known ones."""
    return MEASURES[measure][VIEWS[view].metric]
