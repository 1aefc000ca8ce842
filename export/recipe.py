"""A recipe: every setting that decides what a trained model is, in one YAML file, checked once.

Keys left out take the defaults below; a key nobody knows is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_asd.config.nearest import nearest
from edge_asd.contract import LogMelSpec, ModelContract
from edge_asd.errors import ConfigError, DataError, MissingInputError

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class ModelSettings:
    """The network.

    table: layer table, a key of `export.mobilefacenet.LAYER_TABLES`.
    width: multiplier of every hidden channel count.
    embedding_size: numbers in one embedding.
    """

    table: str = "stgram"
    width: float = 1.0
    embedding_size: int = 128


@dataclass(frozen=True)
class DataSettings:
    """The generated sound.

    machines: individuals, spread evenly over the simulator's kinds.
    scenes_per_machine: rooms, microphones and backgrounds each individual is heard in.
    windows_per_clip: windows cut from one clip; each machine and scene gives a healthy and a faulty clip.
    fault_level_db: lowest and highest power of a fault against the machine's own.
    neighbour_probability, neighbour_snr_db: how often another machine runs beside it, and how far below.
    noise_probability, noise_snr_db: how often coloured noise is added to a clip, and how far below.
    tilt_db_per_octave: largest slope of the random equaliser, either way.
    level_dbfs: RMS every window is brought to before teacher and student hear it.
    """

    machines: int = 1600
    scenes_per_machine: int = 2
    windows_per_clip: int = 6
    fault_level_db: tuple[float, float] = (-12.0, 6.0)
    neighbour_probability: float = 0.3
    neighbour_snr_db: tuple[float, float] = (-5.0, 20.0)
    noise_probability: float = 0.3
    noise_snr_db: tuple[float, float] = (-5.0, 25.0)
    tilt_db_per_octave: float = 3.0
    level_dbfs: float = -20.0


@dataclass(frozen=True)
class TrainSettings:
    """The loop.

    steps: optimiser steps in all.
    groups_per_batch, windows_per_group: a batch is so many machine-and-scene groups, so many windows of each.
    learning_rate, warmup_steps, weight_decay: AdamW, linear warm-up, then half a cosine down to nothing.
    distil_weight: of the cosine distance to the teacher.
    relation_weight: of the same after subtracting the group's mean: how one machine's sounds differ.
    identity_weight: of the sub-cluster AdaCos classification of machine states.
    sub_clusters: centres a machine state has.
    checkpoint_steps: steps between checkpoints.
    """

    steps: int = 1000
    groups_per_batch: int = 16
    windows_per_group: int = 8
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    distil_weight: float = 1.0
    relation_weight: float = 0.5
    identity_weight: float = 0.05
    sub_clusters: int = 4
    checkpoint_steps: int = 100


@dataclass(frozen=True)
class QuantiseSettings:
    """Static int8.

    calibration_windows: generated windows the activation ranges are measured on.
    float_first, float_last: how many convolutions from the input and from the output stay in float.
    """

    calibration_windows: int = 512
    float_first: int = 0
    float_last: int = 0


@dataclass(frozen=True)
class ContractSettings:
    """What the model package promises beside the front end; the fields of `edge_asd.contract.ModelContract`."""

    version: str = "1"
    window_frames: int = 64
    step_frames: int = 32
    input_mean: str = "window"
    input_offset_db: float = 0.0
    input_scale_db: float = 20.0
    short_clip: str = "repeat"


@dataclass(frozen=True)
class Recipe:
    """All settings of one model. name: of the model; seed: of everything random."""

    name: str
    seed: int = 1
    features: LogMelSpec = field(default_factory=LogMelSpec)
    contract: ContractSettings = field(default_factory=ContractSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    quantise: QuantiseSettings = field(default_factory=QuantiseSettings)

    def model_contract(self) -> ModelContract:
        """The contract the finished package carries."""
        return ModelContract(
            name=self.name,
            features=self.features,
            embedding_size=self.model.embedding_size,
            **dataclasses.asdict(self.contract),
        )


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by the name of a shipped one or by path.

    Raises MissingInputError when there is no such file, ConfigError when it is not a valid recipe.
    """
    import yaml

    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
        raise MissingInputError(f"no recipe {str(name_or_path)!r}", remedy=f"give a .yaml file or one of: {known}")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    try:
        recipe = _build(Recipe, data, str(path))
        recipe.model_contract()
    except DataError as error:
        raise ConfigError(f"{path}: {error.message}") from error
    return recipe


def _build(cls: type, data: Any, where: str) -> Any:
    """Parsed YAML as dataclass `cls`, nested ones included."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected keys and values, found {type(data).__name__}")
    types = typing.get_type_hints(cls)
    values = {}
    for key, value in data.items():
        if key not in types:
            near = nearest(str(key), types)
            raise ConfigError(f"{where}: unknown key {key!r}", remedy=f"the nearest known key is {near!r}")
        values[key] = _convert(types[key], value, f"{where}: {key}")
    for f in dataclasses.fields(cls):
        if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: key {f.name!r} is missing")
    return cls(**values)


def _convert(wanted: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(wanted):
        return _build(typing.cast(type, wanted), value, where)
    if typing.get_origin(wanted) is tuple:
        if isinstance(value, list) and len(value) == 2:
            low, high = (_convert(float, v, where) for v in value)
            if low <= high:
                return (low, high)
        raise ConfigError(f"{where}: {value!r} is not [lowest, highest]")
    number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
    if type(value) is not wanted and not number:
        raise ConfigError(f"{where}: {value!r} is not of type {wanted.__name__}")
    return wanted(value)
