"""Bundles of a trained system for a board: their networks in int8 where that holds, enrolled again with the same sound.

Bank and thresholds mean what they say only for the network they were fitted on, and a bundle keeps no waveform; so the
training clips are heard again.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edge_asd.audio.files import read_clip
from edge_asd.bundle.bundle import Bundle, load_bundle
from edge_asd.enrolment.enrol import DEFAULT_CLIP_PERCENTILE, Enrolment
from edge_asd.errors import DataError, MissingInputError
from edge_asd.evaluation.clip_names import NamedClip
from edge_asd.evaluation.plan import BUNDLE_SUFFIX, RUN_BUNDLES
from edge_asd.inference import load_embedder
from edge_asd.model_package import EMBEDDER, Model
from export.quantising.int8_graphs import HeardWindows, int8_graphs, rank_correlation
from export.sound.clip_batches import even_windows, stacked
from export.sound.recordings import MachineClips, machine_clips

DATA = "data.txt"
"""File of a run: the data set's directory."""
MOST_WINDOWS = 256
WINDOWS_PER_CLIP = 4
KEEP_FLOAT = "export it as it is, with --precision fp32"
Note = Callable[[str], None]


def bundles_in(path: Path) -> list[Path]:
    """The bundle, or those in a directory of bundles or of a training run. Raises MissingInputError for none."""
    if not path.is_dir():
        return [path]
    folder = path / RUN_BUNDLES if (path / RUN_BUNDLES).is_dir() else path
    found = sorted(folder.glob(f"*{BUNDLE_SUFFIX}"))
    if not found:
        raise MissingInputError(f"{path}: no bundle there", remedy="name a bundle, or the RUN of edge-asd train")
    return found


def is_float(model: Model) -> bool:
    """Whether a graph of it could still become int8."""
    return any(network.precision == "fp32" and network.format == "onnx" for network in model.graphs.values())


def place_of(bundle: Bundle) -> tuple[str, str] | None:
    """(machine, section) a bundle was made for by `edge-asd train`; None for others."""
    machine, section = bundle.provenance.get("machine"), bundle.provenance.get("section")
    return (str(machine), str(section)) if machine and section else None


def data_of(bundle: Path) -> Path | None:
    """The data set a bundle of a training run was enrolled with, where that is still there."""
    told = bundle.absolute().parent.parent / DATA
    folder = Path(told.read_text(encoding="utf-8").strip()) if told.is_file() else None
    return folder if folder is not None and folder.is_dir() else None


def in_int8(paths: Sequence[Path], data: Path | None, note: Note = lambda line: None) -> dict[Path, Bundle]:
    """Every bundle with its graphs in int8 where that holds; those that share a network share the choice.

    data: the data set they were enrolled with; None: the one their run names. A bundle whose sound is not at hand stays
    as it is, and that is said. Raises DataError for a bundle that knows sound the data set has not, before any work,
    and for a data set with more or fewer clips than it was enrolled with.
    """
    bundles = {path: load_bundle(path) for path in paths}
    made = dict(bundles)
    groups: dict[tuple[bytes, ...], list[Path]] = {}
    for path, bundle in bundles.items():
        if is_float(bundle.model):
            networks = tuple(network.data for network in bundle.model.graphs.values())
            groups.setdefault(networks, []).append(path)
    read: dict[Path, MachineClips | None] = {}
    at_hand: dict[Path, list[NamedClip]] = {}
    for path in itertools.chain.from_iterable(groups.values()):
        found = _clips_of(path, bundles[path], data, read)
        if found is not None:
            _check_nothing_appended(path, bundles[path])
            at_hand[path] = found
    for members in groups.values():
        clips = {path: at_hand[path] for path in members if path in at_hand}
        for path in set(members) - set(clips):
            note(
                f"{path.name} stays float: int8 needs the sound it was enrolled with; give its data set with --enroll "
                "DIR"
            )
        if not clips:
            continue
        share = max(1, MOST_WINDOWS // len(clips))
        heard = [heard_windows(bundles[path], own, share) for path, own in clips.items()]
        model, _ = int8_graphs(bundles[next(iter(clips))].model, heard, note)
        if all(network.precision == "fp32" for network in model.graphs.values()):
            continue
        for path, own in clips.items():
            made[path] = enrolled_again(bundles[path], model, own)
            note(f"{path.name}: {_compared(path, bundles[path], made[path])}")
    return made


def heard_windows(bundle: Bundle, clips: Sequence[NamedClip], most: int) -> HeardWindows:
    """At most about `most` windows of a bundle's own clips, spread over all of them."""
    contract = bundle.contract
    n_clips = max(1, min(len(clips), most // WINDOWS_PER_CLIP))
    chosen = [clips[i] for i in np.linspace(0, len(clips) - 1, n_clips).round().astype(int)]
    sound = [read_clip(Path(clip.file), rate_hz=contract.features.rate_hz) for clip in chosen]
    windows = [even_windows(samples, WINDOWS_PER_CLIP, contract) for samples in sound]
    return HeardWindows(stacked(windows), contract.section)


def enrolled_again(bundle: Bundle, model: Model, clips: Sequence[NamedClip]) -> Bundle:
    """The same enrolment with another precision of its network, with all settings of the bundle's own."""
    if bundle.contract.section:
        model = model.for_section(bundle.contract.section)
    model = dataclasses.replace(
        model, contract=dataclasses.replace(model.contract, step_frames=bundle.contract.step_frames)
    )
    enrolment = Enrolment(
        model,
        load_embedder(model),
        bundle.normal.specs,
        clip_percentile=bundle.clip_calibration.percentile or DEFAULT_CLIP_PERCENTILE,
        live=bundle.live_calibrations[-1].target,
        smoothing_s=len(bundle.live_calibrations) * model.contract.step_s,
        enrolled_s=float(bundle.normal.tags.enrolled_s.max()),
        strict=False,
        session_allowance=max(bundle.clip_calibration.allowance, default=1.0),
        aggregation=bundle.aggregation,
    )
    for clip in clips:
        enrolment.add_clip(Path(clip.file), domain=clip.domain or None)
    return enrolment.finish(bundle.provenance)


def _clips_of(
    path: Path, bundle: Bundle, data: Path | None, read: dict[Path, MachineClips | None]
) -> list[NamedClip] | None:
    """The clips a bundle was enrolled with, where they are at hand. read: data sets that were looked at already."""
    place, folder = place_of(bundle), data or data_of(path)
    if place is None or folder is None:
        return None
    if folder not in read:
        read[folder] = machine_clips(folder)
    found = read[folder]
    clips = None if found is None else found.by_section.get(place)
    if clips is None and data is not None:
        raise DataError(f"{data}: no training clips of {place[0]} section {place[1]}, which {path.name} is of")
    return clips


def _check_nothing_appended(path: Path, bundle: Bundle) -> None:
    """Raises DataError for a bundle that was added to: that sound is in no data set, and enrolled again the bundle
    would silently know it no more."""
    added = bundle.enrolment.get("appended", [])
    if not added:
        return
    undo = f"take it back (edge-asd enroll --undo {path})"
    anew = f"remove {path} and give edge-asd train once more, which enrols it anew"
    raise DataError(
        f"{path}: {sum(entry['seconds'] for entry in added):.0f} s of sound were added to it (enroll --append), which "
        "int8 would forget: it is enrolled with the data set again",
        remedy=f"{KEEP_FLOAT}; or {undo if len(added) == 1 else anew}, export, and append on the board",
    )


def _compared(path: Path, before: Bundle, after: Bundle) -> str:
    """In words how the enrolment's clips rank before and after. Raises DataError where they are not as many: what a
    bundle knows would change with its precision."""
    one, other = (b.clip_calibration.score(b.enrolment_scores.per_clip()) for b in (before, after))
    if len(one) != len(other):
        raise DataError(
            f"{path}: enrolled with {len(one)} clips, and its data set now has {len(other)}: not the same sound",
            remedy=f"give the data set it was enrolled with (--enroll DIR); or {KEEP_FLOAT}",
        )
    kinds = ", ".join(f"{name} {network.precision}" for name, network in after.model.graphs.items())
    leading = f"{kinds}; " if len(after.model.graphs) > 1 or EMBEDDER not in after.model.graphs else ""
    return f"{leading}its {len(one)} clips rank with a correlation of {rank_correlation(one, other):.3f} to float"
