"""Scorers: how far a window is from normal sound, seen one way and measured one way. Higher = more anomalous."""

from edge_asd.scorers.measure import Measure
from edge_asd.scorers.scorer import Features, Scorer, cross_fitted, domain_folds, features_of, uses_network
from edge_asd.scorers.spec import ScorerSpec, parse_scorer, parse_scorers

DEFAULT_SCORERS = "embedding:knn+ranked:knn,r=1.05"
"""The best on recordings of real machines by a choice blind to the machine it scores; see benchmarks/RESULTS.md."""

__all__ = [
    "DEFAULT_SCORERS",
    "Features",
    "Measure",
    "Scorer",
    "ScorerSpec",
    "cross_fitted",
    "domain_folds",
    "features_of",
    "parse_scorer",
    "parse_scorers",
    "uses_network",
]
