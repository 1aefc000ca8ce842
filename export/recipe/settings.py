"""A recipe: every setting that decides what a trained model is. `export.recipes.load` reads one from YAML."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from edge_asd.contract import INPUTS, LOG_MEL, SECTION, LogMelSpec, ModelContract
from export.recipe.recordings import RecordingSettings, ScoringSettings

HEARINGS = ("clip", "room", "machine")
LATER = {"later": True}
"""Marks a setting that came after runs were begun without it: `export.training.train.run_key` counts it only where it
is not left at its default, so those runs can be gone on with."""


@dataclass(frozen=True)
class NetworkSettings:
    """What every kind of network says; each kind's own settings are a subclass (see `export.networks.registry`).

    kind: a key of `export.networks.registry.KINDS`.
    embedding_size: numbers in one embedding; 0 for a network that only scores.
    """

    kind: str = "mobilefacenet"
    embedding_size: int = 128

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the embedder takes, as `ModelContract.inputs`."""
        return (LOG_MEL,)

    @property
    def scorer_inputs(self) -> tuple[str, ...]:
        """What the scorer graph takes, as `ModelContract.scorer_inputs`; nothing where there is none."""
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the scorer's numbers are called, as `ModelContract.outputs`."""
        return ()


@dataclass(frozen=True)
class ModelSettings(NetworkSettings):
    """The two networks that need no settings of the other's: "mobilefacenet" and "frame-vit".

    table, width, activation: of MobileFaceNet: layer table, multiplier of every hidden channel count, "relu6" or
        "prelu".
    size, depth, heads, mlp_size: of the frame ViT: width of a token, blocks, attention heads, width of the perceptron.
    """

    table: str = "stgram"
    width: float = 1.0
    activation: str = "relu6"
    size: int = 192
    depth: int = 4
    heads: int = 3
    mlp_size: int = 768


@dataclass(frozen=True)
class HeadSettings:
    """The classifier that shapes the embedding in training and is thrown away afterwards.

    kind: "sub-cluster-adacos", "adacos" or "arcface".
    sub_clusters: centres a class has, of sub-cluster AdaCos.
    scale, margin: of ArcFace.
    """

    kind: str = "sub-cluster-adacos"
    sub_clusters: int = 4
    scale: float = 64.0
    margin: float = 0.5


@dataclass(frozen=True)
class ObjectiveSettings:
    """What the network is trained for; each kind's own settings are a subclass.

    kind: a key of `export.objectives.registry.KINDS`. "classification" is set by `train` and `head`.
    """

    kind: str = "classification"

    @property
    def needs_sections(self) -> bool:
        """Whether training must be told the sections of the recordings by name."""
        return False


@dataclass(frozen=True)
class AugmentSettings:
    """What is done to training windows, drawn anew each time; nothing of it touches validation.

    mixup_probability, mixup_alpha: how often a window is mixed with another, and the Beta distribution of the shares.
    speed_spread: recordings are played at 1 - spread, 1 or 1 + spread times their speed (and pitch); 0: never.
    room_probability: how often a recording is put into a simulated room.
    level_db: lowest and highest change of a recording's level, before it is taken down in 16 bits again.
    time_masks, time_mask_frames, mel_masks, mel_mask_bands: SpecAugment: how many stripes, and the widest, are
        replaced by the window's mean.
    """

    mixup_probability: float = 0.0
    mixup_alpha: float = 0.5
    speed_spread: float = 0.0
    room_probability: float = 0.0
    level_db: tuple[float, float] = (0.0, 0.0)
    time_masks: int = 0
    time_mask_frames: int = 8
    mel_masks: int = 0
    mel_mask_bands: int = 16


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
    profile_probability: how often a machine ramps, hunts, or starts and stops (for all of these see
        `export.generated.variety`).
    coupled_probability: how often a second machine of the same build shares its frame.
    structure_probability: how often its sound leaves through a duct, a plate or a housing.
    walls_probability: how often a scene has walls near by.
    factory_probability, factory_snr_db: how often other sounds of a factory are heard, and how far below.
    microphone_probability: how often the microphone is a poor one.
    level_dbfs: RMS that the student's clips and every window of the teacher's are brought to.
    teacher_hears: what the teacher's features are of, one or several of HEARINGS: the "clip" as the student has it, the
        machine in its "room" without anything else that sounds there, or the "machine" by itself in the same run, so
        that the student learns to hear past rooms, microphones and noise.
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
    profile_probability: float = 0.0
    coupled_probability: float = 0.0
    structure_probability: float = 0.0
    walls_probability: float = 0.0
    factory_probability: float = 0.0
    factory_snr_db: tuple[float, float] = (-10.0, 20.0)
    microphone_probability: float = 0.0
    level_dbfs: float = -20.0
    teacher_hears: tuple[str, ...] = ("clip",)


@dataclass(frozen=True)
class TrainSettings:
    """The loop.

    steps: optimiser steps in all. epochs: where above 0, as often through all recordings instead.
    groups_per_batch, windows_per_group: a batch is so many machine-and-scene groups, so many windows of each.
    learning_rate, warmup_steps, weight_decay: AdamW (Adam, where nothing decays) and its linear warm-up.
    schedule: of the learning rate after it: "cosine", half a one down to nothing, or "constant".
    distil_weight: of the cosine distance to the teacher.
    teacher_bands: whether the teacher's four bands of frequency are kept apart; else their mean is followed.
    centred_targets: whether the teacher's mean over the generated sound is taken off its features first.
    relation_weight: of the same after subtracting the group's mean: how one machine's sounds differ.
    identity_weight: of the head's classification (of machine states, or of the classes of given recordings).
    clip_norm: longest gradient.
    checkpoint_steps: steps between checkpoints, each with a line of metrics and, where there is one, a validation.
    validation_share: of the recordings (or generated scenes), kept from training to choose the best state by; 0: none,
        and the last state is the best.
    patience: validations in a row without a better one that end the training early; 0: never.
    """

    steps: int = 1000
    groups_per_batch: int = 16
    windows_per_group: int = 8
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    distil_weight: float = 1.0
    teacher_bands: bool = field(default=False, metadata=LATER)
    centred_targets: bool = field(default=True, metadata=LATER)
    relation_weight: float = 0.5
    identity_weight: float = 0.05
    clip_norm: float = 5.0
    checkpoint_steps: int = 100
    validation_share: float = 0.0
    patience: int = 0
    epochs: int = field(default=0, metadata=LATER)
    schedule: str = field(default="cosine", metadata=LATER)


@dataclass(frozen=True)
class QuantiseSettings:
    """Int8.

    calibration_windows: windows the activation ranges are measured on.
    float_first, float_last: how many convolutions or matrix products from the input and from the output stay in float.
    activation_bits: 8, or 16 (a runtime without 16-bit kernels multiplies those in float).
    choose: let measurement choose these three: the fewest float layers that hold the score.
    qat_steps: of quantisation-aware fine-tuning where no choice holds the score; 0: none.
    """

    calibration_windows: int = 512
    float_first: int = 0
    float_last: int = 0
    activation_bits: int = 8
    choose: bool = True
    qat_steps: int = 300


@dataclass(frozen=True)
class ContractSettings:
    """What the model package promises beside the front end; the fields of `edge_asd.contract.ModelContract`.

    sections: filled in by the training, for networks whose scorer is told the section; not for recipes by hand.
    """

    version: str = "1"
    window_frames: int = 64
    step_frames: int = 32
    input_mean: str = "window"
    input_offset_db: float = 0.0
    input_scale_db: float = 20.0
    short_clip: str = "repeat"
    sections: tuple[str, ...] = ()


NO_SECTIONS_YET = ("any",)
"""Stands for the sections until the recordings have named them."""


@dataclass(frozen=True)
class Recipe:
    """All settings of one model.

    name: of the model; seed: of everything random. weights: published weights, name -> file or directory, of networks
    that start from such (their modules say which). lineage: names of the recipes it extends, the nearest first.
    """

    name: str
    seed: int = 1
    features: LogMelSpec = field(default_factory=LogMelSpec)
    contract: ContractSettings = field(default_factory=ContractSettings)
    model: NetworkSettings = field(default_factory=ModelSettings)
    weights: dict[str, str] = field(default_factory=dict)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    recordings: RecordingSettings = field(default_factory=RecordingSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    data: DataSettings = field(default_factory=DataSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    quantise: QuantiseSettings = field(default_factory=QuantiseSettings)
    lineage: list[str] = field(default_factory=list, repr=False)  # shapes nothing, and results are kept by the repr

    @property
    def needs_teacher(self) -> bool:
        """Whether a loss with weight compares with the teacher."""
        classifies = self.objective.kind == "classification"
        return classifies and (self.train.distil_weight > 0.0 or self.train.relation_weight > 0.0)

    @property
    def sound_inputs(self) -> tuple[str, ...]:
        """What of the sound training needs, in the order of `Batch.inputs`: the embedder's inputs, then the scorer's
        that are not among them."""
        own = self.model.inputs if self.model.embedding_size else ()
        return tuple(dict.fromkeys((*own, *(name for name in self.model.scorer_inputs if name in INPUTS))))

    def model_contract(self) -> ModelContract:
        """The contract the finished package carries."""
        settings = dataclasses.asdict(self.contract)
        if SECTION in self.model.scorer_inputs and not self.contract.sections:
            settings["sections"] = NO_SECTIONS_YET
        return ModelContract(
            name=self.name,
            features=self.features,
            embedding_size=self.model.embedding_size,
            inputs=self.model.inputs if self.model.embedding_size else (),
            scorer_inputs=self.model.scorer_inputs,
            outputs=self.model.outputs,
            **settings,
        )
