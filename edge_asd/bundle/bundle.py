"""The `.asd` file: one machine's model, bank and calibration in one checked archive.

`unzip -l fan.asd` lists it: `manifest.json`, the network and the arrays as `.npy`; `edge_asd.bundle.archive` writes and
checks it. Nothing in it is executed or unpickled.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.bank import WindowTags
from edge_asd.bundle.archive import read_archive, write_archive
from edge_asd.bundle.kept_frames import KeptFrames
from edge_asd.calibration.aggregation import Aggregation
from edge_asd.calibration.budget import Budget
from edge_asd.calibration.enrolment_scores import EnrolmentScores
from edge_asd.calibration.thresholds import Calibration, recalibrated
from edge_asd.clips import Clip, ClipScore, read_heard, score_distances
from edge_asd.contract import ModelContract
from edge_asd.detector import Detector, LiveScorer
from edge_asd.enrolment.known_windows import KnownWindows
from edge_asd.errors import DataError, UsageError
from edge_asd.explain.rhythm import loudness_shape, stretch_frames
from edge_asd.inference import AUTO, Embedder, load_embedder
from edge_asd.inference.engine import Engine
from edge_asd.model_package import EMBEDDER, SCORER, Model, Network
from edge_asd.normal import Comparison, NormalSound
from edge_asd.scorers import Scorer, ScorerSpec, features_of, parse_scorer, uses_waveform
from edge_asd.spectra import SpectrumBank
from edge_asd.windows import Windows


@dataclass(frozen=True)
class Bundle:
    """Everything a device needs to watch one machine.

    model: the network and its contract.
    normal: the scorers fitted on the normal windows, and those windows' spectra.
    enrolment_scores: the enrolment scored against itself, and how windows are aggregated.
    clip_calibration: threshold for the mean score of a clip.
    live_calibrations: thresholds for a stream's score, by the number of windows it takes in: 1, 2, ...
    enrolment: what was heard (seconds, windows, level, warnings), for people and health checks.
    provenance: who made the bundle, when, with what.
    fitted_by: the runtime whose embeddings the scorers were fitted on ("onnxruntime 1.31.1"), "" where none was used.
    frames: the enrolment's log-mel frames, where they were kept.
    known: what `enrolment.appending` needs of the enrolled windows; None in bundles made before there was that.
    runtime, engine: what to start, see `edge_asd.inference.load_embedder`; not stored.
    """

    model: Model
    normal: NormalSound
    enrolment_scores: EnrolmentScores
    clip_calibration: Calibration
    live_calibrations: tuple[Calibration, ...]
    enrolment: dict[str, Any]
    provenance: dict[str, Any]
    fitted_by: str = ""
    frames: KeptFrames | None = None
    known: KnownWindows | None = None
    runtime: str = AUTO
    engine: Engine = Engine()  # noqa: RUF009 (frozen)

    @property
    def contract(self) -> ModelContract:
        """The model's contract."""
        return self.model.contract

    @cached_property
    def embedder(self) -> Embedder:
        """The model, started on first use."""
        return load_embedder(self.model, self.runtime, self.engine)

    @property
    def aggregation(self) -> Aggregation:
        """How the windows of a clip or a stretch become one score."""
        return self.enrolment_scores.aggregation

    @property
    def uses_waveform(self) -> bool:
        """Whether scoring takes a window's samples, not its log-mel frames alone."""
        return uses_waveform(self.normal.specs, self.contract)

    @property
    def _network(self) -> Embedder | None:
        """The embedder where a scorer needs it: statistics alone start no runtime."""
        return self.embedder if self.normal.uses_network else None

    def detector(
        self,
        *,
        smoothing_s: float | None = None,
        percentile: float | None = None,
        false_alarms: Budget | None = None,
        confirm_s: float | None = None,
    ) -> Detector:
        """A detector for one stream.

        smoothing_s, percentile, false_alarms (one of both), confirm_s: other than the bundle was calibrated for; the
        live thresholds are then fitted anew.
        """
        calibrations = recalibrated(
            self.live_calibrations,
            self.enrolment_scores,
            self.contract,
            smoothing_s=smoothing_s,
            percentile=percentile,
            budget=false_alarms,
            confirm_s=confirm_s,
        )
        return Detector(self.contract, self.normal, calibrations, self.aggregation, self._network)

    def read_clip(
        self, path: Path, channel: int | None = None, *, on_note: Callable[[str], None] = lambda note: None
    ) -> Clip:
        """A recording with all that scoring it takes; arguments and errors as for `edge_asd.clips.read_heard`."""
        return read_heard(path, self.contract.features, channel, waveform=self.uses_waveform, on_note=on_note)

    def score_clip(self, clip: Clip | np.ndarray) -> ClipScore:
        """Score a clip, or its log-mel frames [n, n_mels] where the waveform is not needed."""
        return self.score_distances(self.clip_distances(clip), len(clip))

    def compare(self, windows: np.ndarray | Windows) -> Comparison:
        """Hold log-mel windows [k, window_frames, n_mels], or with their waveform, against normal sound."""
        return self.normal.compare(windows, self._network)

    def parts(self, clip: Clip | np.ndarray) -> Iterator[np.ndarray | Windows]:
        """All windows of a clip, some at a time, as `compare` takes them. Raises DataError for frames where the
        waveform is needed."""
        clip = Clip.of(clip)
        if self.uses_waveform:
            clip.require_sound(self.contract)
        return clip.parts(self.contract)

    def clip_distances(self, clip: Clip | np.ndarray) -> np.ndarray:
        """Distances of the windows of a clip, or of its log-mel frames, from normal sound, float32 [k, scorers]."""
        specs, network = self.normal.specs, self._network
        return np.concatenate([self.normal.distances(features_of(specs, part, network)) for part in self.parts(clip)])

    def score_distances(self, distances: np.ndarray, n_frames: int) -> ClipScore:
        """Score a clip of `n_frames` frames whose windows' distances [k, scorers] are at hand."""
        return score_distances(distances, n_frames, self.contract, self.clip_calibration, self.aggregation)

    def live_scorer(self) -> LiveScorer:
        """What turns the distances of a stream's windows into live scores, as this bundle's detector does."""
        return LiveScorer(self.live_calibrations, self.aggregation)


def save_bundle(bundle: Bundle, path: Path) -> None:
    """Write the bundle whole or not at all. Raises StorageError, MissingInputError."""
    graphs = bundle.model.graphs
    members = {_network_member(graph, own.format): own.data for graph, own in graphs.items()}
    places = {
        part: {name: _place(members, f"{part}/{name}.npy", array) for name, array in arrays.items()}
        for part, arrays in _parts(bundle).items()
    }
    manifest = {
        "contract": bundle.contract.to_dict(),
        "precision": bundle.model.precision,
        "network_format": bundle.model.network_format,
        **({SCORER: _described(graphs[SCORER])} if SCORER in graphs else {}),
        "fitted_by": bundle.fitted_by,
        "model_provenance": bundle.model.provenance,
        "scorers": [str(spec) for spec in bundle.normal.specs],
        "arrays": places,
        "aggregation": {"top_share": bundle.aggregation.top_share},
        "calibration": {
            "clip": bundle.clip_calibration.to_dict(),
            "live": [calibration.to_dict() for calibration in bundle.live_calibrations],
        },
        "enrolment": bundle.enrolment,
        "provenance": bundle.provenance,
    }
    write_archive(path, manifest, members)


def load_bundle(path: Path, *, check: Callable[[bytes], None] | None = None) -> Bundle:
    """Read a bundle and check every member's size and hash.

    check: given the file's bytes before anything is made of them, the very ones that are loaded; raises to refuse them.

    Raises MissingInputError, StorageError, DataError (not a bundle, damaged, cut short, of another schema).
    """
    path = Path(path)
    manifest, members = read_archive(path, check)
    try:
        loaded = {
            name: np.load(io.BytesIO(data), allow_pickle=False)
            for name, data in members.items()
            if name.endswith(".npy")
        }
        arrays = {
            part: {name: loaded[place] for name, place in places.items()} for part, places in manifest["arrays"].items()
        }
        specs = [_spec(text, path) for text in manifest["scorers"]]
        scorers = tuple(Scorer.from_arrays(spec, arrays[_scorer_part(i)]) for i, spec in enumerate(specs))
        aggregation = Aggregation(float(manifest["aggregation"]["top_share"]))
        model = _model(manifest, members)
        bundle = Bundle(
            model=model,
            normal=NormalSound(
                scorers,
                SpectrumBank(**arrays["spectra"]),
                _rhythms(arrays, model.contract),
                WindowTags(**arrays["tags"]),
            ),
            enrolment_scores=EnrolmentScores(**arrays["enrolment_scores"], aggregation=aggregation),
            clip_calibration=Calibration.from_dict(manifest["calibration"]["clip"]),
            live_calibrations=tuple(Calibration.from_dict(live) for live in manifest["calibration"]["live"]),
            enrolment=manifest["enrolment"],
            provenance=manifest["provenance"],
            fitted_by=str(manifest.get("fitted_by", "")),
            known=KnownWindows.from_arrays(arrays["known"]) if "known" in arrays else None,
        )
        if "frames" in arrays:
            bundle = replace(bundle, frames=KeptFrames.from_arrays(arrays["frames"], model.contract.features.n_mels))
    except (KeyError, TypeError, ValueError, EOFError, AttributeError) as error:
        raise DataError(f"{path}: incomplete bundle ({error!r})", remedy="enrol again") from error
    contract = model.contract
    expected = (*[spec.width(contract) for spec in specs], 2 * contract.features.n_mels, *3 * [len(specs)])
    found = (
        *[scorer.measure.width for scorer in scorers],
        bundle.normal.spectra.codes.shape[1],
        bundle.enrolment_scores.distances.shape[1],
        len(bundle.clip_calibration.fusion.shapes),
        *{len(live.fusion.shapes) for live in bundle.live_calibrations},
    )
    if found != expected:
        raise DataError(f"{path}: the bank does not fit the model's contract", remedy="enrol again")
    return bundle


def _model(manifest: dict[str, Any], members: dict[str, bytes]) -> Model:
    contract = ModelContract.from_dict(manifest["contract"])
    network_format = str(manifest.get("network_format", "onnx"))
    data = members[_network_member(EMBEDDER, network_format)] if contract.has_embedder else b""
    scorer = None
    if contract.has_scorer:
        described = {name: str(manifest[SCORER][name]) for name in ("format", "precision")}
        scorer = Network(members[_network_member(SCORER, described["format"])], **described)
    return Model(contract, str(manifest["precision"]), data, manifest["model_provenance"], network_format, scorer)


def _rhythms(arrays: Mapping[str, Mapping[str, np.ndarray]], contract: ModelContract) -> np.ndarray | None:
    """None where there are none, or they are of shorter stretches, as edge-asd once measured them in single windows."""
    power = arrays.get("rhythms", {}).get("power")
    return power if power is not None and power.shape == loudness_shape(stretch_frames(contract)) else None


def _described(network: Network) -> dict[str, str]:
    return {"format": network.format, "precision": network.precision}


def _spec(text: Any, path: Path) -> ScorerSpec:
    try:
        return parse_scorer(str(text))
    except UsageError as error:
        raise DataError(f"{path}: {error.message}", remedy="it was made by another edge-asd: enrol again") from error


def _parts(bundle: Bundle) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of a bundle, by the part they belong to."""
    return {
        **{_scorer_part(i): scorer.measure.arrays() for i, scorer in enumerate(bundle.normal.scorers)},
        "spectra": bundle.normal.spectra.arrays(),
        **({} if bundle.normal.rhythms is None else {"rhythms": {"power": bundle.normal.rhythms}}),
        "tags": bundle.normal.tags.arrays(),
        "enrolment_scores": {
            "distances": bundle.enrolment_scores.distances,
            "pieces": bundle.enrolment_scores.pieces,
            "runs": bundle.enrolment_scores.runs,
        },
        **({} if bundle.frames is None else {"frames": bundle.frames.arrays()}),
        **({} if bundle.known is None else {"known": bundle.known.arrays()}),
    }


def _network_member(graph: str, network_format: str) -> str:
    """The name from when there was one graph, or the graph's own."""
    return f"{'model' if graph == EMBEDDER else graph}.{network_format}"


def _scorer_part(index: int) -> str:
    return f"scorer{index}"


def _place(members: dict[str, bytes], name: str, array: np.ndarray) -> str:
    """Put an array among the members and tell where; what is there already (a scorer may keep the very spectra) is
    not stored twice."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    data = buffer.getvalue()
    for known, other in members.items():
        if other == data:
            return known
    members[name] = data
    return name
