"""The measures by name."""

from __future__ import annotations

from collections.abc import Mapping

from edge_asd.scorers.clusters import Centres, SmoteKnn
from edge_asd.scorers.column import Column
from edge_asd.scorers.density import LocalDensity, LocalOutlierFactor
from edge_asd.scorers.measure import Measure
from edge_asd.scorers.mixture import GaussianMixture
from edge_asd.scorers.neighbours import CosineKnn, SpreadKnn
from edge_asd.scorers.space import METRICS
from edge_asd.scorers.views import VIEWS
from edge_asd.scorers.whitened import Mahalanobis, WhitenedKnn

MEASURES: Mapping[str, Mapping[str, type[Measure]]] = {
    "knn": {"cosine": CosineKnn, "spread": SpreadKnn},
    "ldn": dict.fromkeys(METRICS, LocalDensity),
    "white": dict.fromkeys(METRICS, WhitenedKnn),
    "centres": dict.fromkeys(METRICS, Centres),
    "smote": dict.fromkeys(METRICS, SmoteKnn),
    "lof": dict.fromkeys(METRICS, LocalOutlierFactor),
    "gmm": dict.fromkeys(METRICS, GaussianMixture),
    "maha": dict.fromkeys(METRICS, Mahalanobis),
    "column": {"given": Column},
}
"""Name -> metric -> class.

knn: nearest neighbours. ldn: the same by local density. white: after whitening. centres: K-means of the source domain
and all of the target domain. smote: after multiplying the target domain. lof: local outlier factor. gmm: Gaussian
mixture. maha: Mahalanobis distance. column: one of the numbers as it is."""


def fitting_measures(view: str) -> list[str]:
    """Names of the measures for a view's metric."""
    return [name for name, by_metric in MEASURES.items() if VIEWS[view].metric in by_metric]


def measure_class(view: str, measure: str) -> type[Measure]:
    """What `measure` is for a view's metric; both names are known ones."""
    return MEASURES[measure][VIEWS[view].metric]
