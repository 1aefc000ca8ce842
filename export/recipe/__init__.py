"""What a recipe is: every setting that decides what a trained model is, and which values of them make sense."""

from export.recipe.recordings import RecordingSettings, ScoringSettings, Subset, section_names
from export.recipe.settings import (
    NO_SECTIONS_YET,
    AugmentSettings,
    ContractSettings,
    DataSettings,
    HeadSettings,
    ModelSettings,
    NetworkSettings,
    ObjectiveSettings,
    QuantiseSettings,
    Recipe,
    TrainSettings,
)

__all__ = [
    "NO_SECTIONS_YET",
    "AugmentSettings",
    "ContractSettings",
    "DataSettings",
    "HeadSettings",
    "ModelSettings",
    "NetworkSettings",
    "ObjectiveSettings",
    "QuantiseSettings",
    "Recipe",
    "RecordingSettings",
    "ScoringSettings",
    "Subset",
    "TrainSettings",
    "section_names",
]
