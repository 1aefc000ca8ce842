"""The model's contract: everything the outside must do so that the network means what it says.

It travels as `model.json` inside the model package and the bundle; no code assumes any of these numbers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from edge_asd.errors import DataError
from edge_asd.keyed import KeyedReader


@dataclass(frozen=True)
class LogMelSpec:
    """How sound becomes log-mel frames. Defaults are the DCASE Task 2 baseline's.

    rate_hz: sample rate.
    n_fft: window and FFT length, samples (periodic Hann).
    hop_samples: step from frame to frame, samples.
    n_mels: number of mel bands.
    fmin_hz, fmax_hz: edges of the lowest and highest band.
    mel_scale: "slaney" (area-normalised bands on Slaney's scale) or "htk" (unit peak, HTK's scale).
    power: exponent of the magnitude spectrum, 2 = power.
    floor_db: lowest value a band can take, dB.
    """

    rate_hz: int = 16000
    n_fft: int = 1024
    hop_samples: int = 512
    n_mels: int = 128
    fmin_hz: float = 0.0
    fmax_hz: float = 8000.0
    mel_scale: str = "slaney"
    power: float = 2.0
    floor_db: float = -100.0

    def __post_init__(self) -> None:
        if self.mel_scale not in ("slaney", "htk"):
            raise DataError(f"contract: mel_scale {self.mel_scale!r} is neither 'slaney' nor 'htk'")
        if self.power not in (1.0, 2.0):
            raise DataError(f"contract: power {self.power!r} is neither 1 (magnitude) nor 2 (power)")
        for name in ("rate_hz", "n_fft", "hop_samples", "n_mels"):
            if getattr(self, name) <= 0:
                raise DataError(f"contract: {name} is {getattr(self, name)}, must be above 0")
        if self.n_fft % 2 or self.hop_samples > self.n_fft:
            raise DataError(f"contract: n_fft {self.n_fft} must be even and at least hop_samples {self.hop_samples}")
        if not 0 <= self.fmin_hz < self.fmax_hz <= self.rate_hz / 2:
            raise DataError(f"contract: bands {self.fmin_hz}-{self.fmax_hz} Hz do not fit {self.rate_hz} Hz sound")


LOG_MEL, WAVEFORM, EMBEDDING, SECTION = "log-mel", "waveform", "embedding", "section"
INPUTS = (LOG_MEL, WAVEFORM)
SCORER_INPUTS = (EMBEDDING, LOG_MEL, WAVEFORM, SECTION)


def tensor_name(graph_input: str) -> str:
    """What a graph calls an input of the contract: ONNX names have no hyphen."""
    return graph_input.replace("-", "_")


@dataclass(frozen=True)
class ModelContract:
    """What a model's graphs expect and give: an embedder, a scorer (a flow, a VAE, a classifier), or both in a row.

    name, version: of the model, for people and provenance.
    features: the front end it was trained on.
    window_frames, step_frames: frames a window holds, and frames from one window to the next by default.
    embedding_size: numbers in one embedding; 0 where there is no embedder, only a scorer.
    input_mean: "window" subtracts each window's own mean in dB (the embedding ignores loudness);
        "fixed" subtracts `input_offset_db`.
    input_offset_db, input_scale_db: (log-mel - mean) / input_scale_db is what the network is fed.
    short_clip: what a clip shorter than a window becomes: "repeat" (frames over again from the start) or
        "reflect" (frames back and forth).
    inputs: what the embedder takes, in this order, named by `tensor_name`: of "log-mel", float32
        [n, 1, window_frames, n_mels], and "waveform", float32 [n, window_samples] in -1..1, the very samples that the
        window's frames were computed from.
    scorer_inputs: what the scorer takes: of "embedding" [n, embedding_size], the embedder's output, "log-mel",
        "waveform", and "section" [n, len(sections)], one-hot. Empty where there is no scorer.
    outputs: names of the numbers the scorer gives for a window, [n, len(outputs)]; higher = more anomalous in each.
    sections: names of the classes the scorer was trained on, such as "fan/00".
    section: the one of them that is watched; "" while none was chosen.
    """

    name: str
    version: str
    features: LogMelSpec
    window_frames: int = 64
    step_frames: int = 32
    embedding_size: int = 128
    input_mean: str = "window"
    input_offset_db: float = 0.0
    input_scale_db: float = 20.0
    short_clip: str = "repeat"
    inputs: tuple[str, ...] = (LOG_MEL,)
    scorer_inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    section: str = ""

    def __post_init__(self) -> None:
        if self.input_mean not in ("window", "fixed"):
            raise DataError(f"contract: input_mean {self.input_mean!r} is neither 'window' nor 'fixed'")
        if self.short_clip not in ("repeat", "reflect"):
            raise DataError(f"contract: short_clip {self.short_clip!r} is neither 'repeat' nor 'reflect'")
        if self.window_frames <= 0 or not 0 < self.step_frames <= self.window_frames or self.embedding_size < 0:
            raise DataError(
                f"contract: window_frames {self.window_frames}, step_frames {self.step_frames} and embedding_size "
                f"{self.embedding_size} must be above 0 (an embedding_size of 0 is for a scorer alone), the step not "
                "above the window"
            )
        if self.input_scale_db <= 0.0:
            raise DataError(f"contract: input_scale_db is {self.input_scale_db}, must be above 0")
        self._check_graphs()

    def _check_graphs(self) -> None:
        """Raise DataError unless the inputs are known ones and there is what they are made of."""
        for name, known in (("inputs", INPUTS), ("scorer_inputs", SCORER_INPUTS)):
            for graph_input in getattr(self, name):
                if graph_input not in known:
                    raise DataError(f"contract: {name} {graph_input!r} is none of {', '.join(known)}")
        for name in ("inputs", "scorer_inputs", "outputs", "sections"):
            values = getattr(self, name)
            if len(set(values)) < len(values) or "" in values:
                raise DataError(f"contract: {name} {list(values)} has an empty name, or one twice")
        if bool(self.scorer_inputs) != bool(self.outputs):
            raise DataError("contract: scorer_inputs and outputs belong together, one of them is empty")
        if self.embedding_size == 0 and not self.has_scorer:
            raise DataError("contract: embedding_size is 0 and there is no scorer: the model gives nothing")
        if self.embedding_size == 0 and EMBEDDING in self.scorer_inputs:
            raise DataError("contract: the scorer takes embeddings, but embedding_size is 0")
        if self.embedding_size and not self.inputs:
            raise DataError("contract: inputs is empty: the embedder takes nothing")
        if SECTION in self.scorer_inputs and not self.sections:
            raise DataError("contract: the scorer takes a section, but sections is empty")
        if self.section and self.section not in self.sections:
            raise DataError(f"contract: section {self.section!r} is none of {', '.join(self.sections) or 'none'}")

    @property
    def has_embedder(self) -> bool:
        """Whether there is a graph that gives embeddings."""
        return self.embedding_size > 0

    @property
    def has_scorer(self) -> bool:
        """Whether there is a graph that gives scores."""
        return bool(self.scorer_inputs)

    @property
    def title(self) -> str:
        """Which model this is, for people and for what must not mix two of them: "mfn-128 3"."""
        return f"{self.name} {self.version}"

    @property
    def takes_waveform(self) -> bool:
        """Whether a window's samples are needed, not its log-mel alone."""
        return WAVEFORM in self.scorer_inputs or (self.has_embedder and WAVEFORM in self.inputs)

    @property
    def window_samples(self) -> int:
        """Samples one window covers, first to last."""
        return (self.window_frames - 1) * self.features.hop_samples + self.features.n_fft

    @property
    def window_s(self) -> float:
        """Seconds of sound one window covers, first sample to last."""
        return self.window_samples / self.features.rate_hz

    @property
    def step_s(self) -> float:
        """Seconds from one window's start to the next."""
        return self.step_frames * self.features.hop_samples / self.features.rate_hz

    def windows_in(self, seconds: float) -> int:
        """How many steps from window to window fit the time best, at least 1."""
        return max(1, round(seconds / self.step_s))

    def shape_of(self, graph_input: str) -> tuple[int, ...]:
        """Shape of one window of an input, after the axis of windows."""
        return {
            LOG_MEL: (1, self.window_frames, self.features.n_mels),
            WAVEFORM: (self.window_samples,),
            EMBEDDING: (self.embedding_size,),
            SECTION: (len(self.sections),),
        }[graph_input]

    def for_section(self, section: str) -> ModelContract:
        """The same model, watching `section`. Raises DataError for one it was not trained on."""
        if section not in self.sections:
            raise DataError(
                f"section {section!r} is none that {self.name} was trained on",
                remedy=f"it knows {', '.join(self.sections) or 'no sections'}",
            )
        return dataclasses.replace(self, section=section)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, the inverse of `from_dict`. Names of graphs' ends are left out at their defaults, so that
        what is written for a model of one log-mel input is what it always was."""
        written = dataclasses.asdict(self)
        for field in dataclasses.fields(self):
            if field.name in _GRAPHS and written[field.name] == field.default:
                del written[field.name]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in written.items()}

    @classmethod
    def from_dict(cls, data: Any) -> ModelContract:
        """Check and build from parsed JSON. Raises DataError naming the first wrong key."""
        return _READER.read(cls, data, "contract")


_READER = KeyedReader(upgrade="the model was made by a newer edge-asd: upgrade")
_GRAPHS = ("inputs", "scorer_inputs", "outputs", "sections", "section")
