"""Scorers: how far a window is from normal sound, seen one way and measured one way. Higher = more anomalous."""

from edge_asd.contract import ModelContract
from edge_asd.scorers.measure import Measure
from edge_asd.scorers.scorer import (
    Features,
    Scorer,
    check_specs,
    cross_fitted,
    domain_folds,
    features_of,
    uses_network,
    uses_waveform,
)
from edge_asd.scorers.spec import ScorerSpec, parse_scorer, parse_scorers

DEFAULT_SCORERS = "embedding:knn+ranked:knn,r=1.05"
"""The best on recordings of real machines by a choice blind to the machine it scores; see benchmarks/RESULTS.md."""

SCORES_ALONE = "scores:column"
"""Of a model that gives no embeddings, or none to compare: its own score."""


def default_scorers(contract: ModelContract) -> str:
    """What a bundle's score is made of where nobody says."""
    return DEFAULT_SCORERS if contract.has_embedder else SCORES_ALONE


__all__ = [
    "DEFAULT_SCORERS",
    "Features",
    "Measure",
    "Scorer",
    "ScorerSpec",
    "check_specs",
    "cross_fitted",
    "default_scorers",
    "domain_folds",
    "features_of",
    "parse_scorer",
    "parse_scorers",
    "uses_network",
    "uses_waveform",
]
