"""What moved along the chain: embeddings, scores, AUC; and whether that is still the same model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.bundle.bundle import Bundle
from edge_asd.errors import DataError, UnavailableError
from export.formats.integer_ops import LEAST_INTEGER_SHARE, OpCount, onnx_integer_ops
from export.formats.tflite_ops import tflite_integer_ops
from export.parity.cases import CaseScores, score_cases
from export.parity.links import REFERENCE, Link, Played, chain, embed, model_of
from export.parity.sound import MachineSound, enrolled, scored, scored_probes

LEAST_COSINE = {"torch": 0.99999, "fp32": 0.99999, "int8": 0.995}
"""Mean cosine to the float ONNX network's embeddings, by what the link is."""
LEAST_EMULATED_COSINE = 0.999
"""Of every embedding to the same file's on this machine: all-integer networks are the same on every processor, mixed
ones round differently in their float layers."""
LARGEST_MEAN_AUC_LOSS, LARGEST_AUC_LOSS = 0.002, 0.01
"""Over the cases, and of any one, against the float ONNX network."""


@dataclass(frozen=True)
class Spread:
    """Mean and worst of a figure."""

    mean: float
    worst: float


@dataclass(frozen=True)
class Row:
    """One link measured.

    link: its name. integer_ops: operations that multiply by weights, in integers and all; None for torch.
    cosine: of embeddings to the float ONNX network's (worst is the lowest). here: the same to the same file's on this
        machine, of emulated links. score: absolute difference of scores of 0 to 100, to the float ONNX network's, or
        for emulated links to the same file's here. auc_loss: against the float ONNX network (worst is the largest
        loss). case_score: difference of those cases' clip scores; both only with cases, and not of emulated links.
    windows: how many were embedded.
    not_run: why all figures are missing, "" where they are not.
    """

    link: str
    integer_ops: OpCount | None = None
    cosine: Spread | None = None
    here: Spread | None = None
    score: Spread | None = None
    auc_loss: Spread | None = None
    case_score: Spread | None = None
    windows: int = 0
    not_run: str = ""


@dataclass(frozen=True)
class Report:
    """The whole chain. failures: what is not the same model any more, one line each."""

    model: str
    rows: tuple[Row, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True)
class _Here:
    """A link run on this machine: embeddings of all windows by machine, bundles, scores, and those of the probes."""

    embeddings: list[np.ndarray]
    bundles: list[Bundle]
    scores: np.ndarray
    probes: list[np.ndarray]


def verify(
    package: Path,
    sounds: Sequence[MachineSound],
    *,
    run: Path | None = None,
    cases: Sequence[Path] = (),
    emulate: bool = True,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run every link of a package's chain and compare it.

    sounds: what goes through. run: training run with the torch network; None: rebuilt from the package. cases:
    CASES.csv files for AUC. emulate: also run on processors that are not here.
    progress: told what is being run.
    Raises what `chain` raises, and DataError where a file of the package does not run at all.
    """
    links = chain(package)
    contract = model_of(REFERENCE, package).contract
    windows = [sound.windows(contract) for sound in sounds]
    probes = [sound.probes(contract) for sound in sounds]
    progress(f"{REFERENCE.name}: {sum(map(len, windows))} windows")
    ran = {REFERENCE: _run_here(REFERENCE, package, sounds, windows, probes, run)}
    cased = {REFERENCE: score_cases(REFERENCE, package, cases, progress)} if cases else {}
    rows = []
    for link in links:
        row = Row(link.name, _integer_ops(link, package))
        try:
            if link.cpu:
                if not emulate:
                    raise UnavailableError("emulation was not asked for")
                progress(link.name)
                row = _emulated_row(row, link, package, _same_file(link, ran), ran[REFERENCE], probes)
            else:
                if link not in ran:
                    progress(link.name)
                    ran[link] = _run_here(link, package, sounds, windows, probes, run)
                row = _local_row(row, ran[link], ran[REFERENCE])
                if cases and link.network_format != "torch":
                    if link not in cased:
                        cased[link] = score_cases(link, package, cases, progress)
                    row = _with_cases(row, cased[link], cased[REFERENCE])
        except UnavailableError as error:
            row = dataclasses.replace(row, not_run=str(error))
        rows.append(row)
    failures = [failure for link, row in zip(links, rows, strict=True) for failure in _failures(link, row)]
    return Report(contract.title, tuple(rows), tuple(failures))


def _run_here(
    link: Link,
    package: Path,
    sounds: Sequence[MachineSound],
    windows: list[np.ndarray],
    probes: list[np.ndarray],
    run: Path | None,
) -> _Here:
    model = model_of(link, package)
    sizes = np.cumsum([len(part) for part in (*windows, *probes)])[:-1]
    parts = np.split(embed(link, package, np.concatenate((*windows, *probes)), run), sizes)
    embeddings, of_probes = parts[: len(windows)], parts[len(windows) :]
    bundles, scores = [], []
    for sound, given in zip(sounds, embeddings, strict=True):
        played = Played(model.contract, given)
        bundles.append(enrolled(sound, model, played))
        scores.append(scored(sound, bundles[-1], played))
    return _Here(embeddings, bundles, np.concatenate(scores), of_probes)


def _local_row(row: Row, found: _Here, expected: _Here) -> Row:
    embeddings = np.concatenate(found.embeddings)
    return dataclasses.replace(
        row,
        cosine=_lowest(cosines(embeddings, np.concatenate(expected.embeddings))),
        score=_largest(np.abs(found.scores - expected.scores)),
        windows=len(embeddings),
    )


def _same_file(link: Link, ran: Mapping[Link, _Here]) -> _Here | None:
    """What this machine made of the same file, by the same runtime where it is here, else by another."""
    others = (
        known for known in ran if (known.network_format, known.precision) == (link.network_format, link.precision)
    )
    return ran.get(link.here) or next((ran[known] for known in others), None)


def _emulated_row(
    row: Row, link: Link, package: Path, here: _Here | None, reference: _Here, probes: list[np.ndarray]
) -> Row:
    if here is None:
        raise UnavailableError(f"{link.here.name} was not run here, nothing to compare with")
    found = embed(link, package, np.concatenate(probes))
    own, moved = np.concatenate(here.probes), []
    start = 0
    for bundle, part, expected in zip(here.bundles, probes, here.probes, strict=True):
        given = found[start : start + len(part)]
        start += len(part)
        scores = [scored_probes(part, bundle, Played(bundle.contract, e)) for e in (given, expected)]
        moved.append(np.abs(scores[0] - scores[1]))
    return dataclasses.replace(
        row,
        cosine=_lowest(cosines(found, np.concatenate(reference.probes))),
        here=_lowest(cosines(found, own)),
        score=_largest(np.concatenate(moved)),
        windows=len(found),
    )


def _with_cases(row: Row, found: CaseScores, expected: CaseScores) -> Row:
    loss = np.array([expected.auc[name] - found.auc[name] for name in expected.auc])
    moved = np.abs(np.concatenate([found.scores[name] - expected.scores[name] for name in expected.scores]))
    return dataclasses.replace(row, auc_loss=_largest(loss), case_score=_largest(moved))


def _integer_ops(link: Link, package: Path) -> OpCount | None:
    if link.network_format == "torch":
        return None
    network = model_of(link, package).network
    return onnx_integer_ops(network) if link.network_format == "onnx" else tflite_integer_ops(network)


def _failures(link: Link, row: Row) -> list[str]:
    found = []
    ops = row.integer_ops
    if link.precision == "int8" and ops is not None and not link.cpu and ops.share < LEAST_INTEGER_SHARE:
        found.append(
            f"{row.link}: still a float network, {ops.integer} of {ops.all} multiplying operations are integer"
        )
    least = LEAST_COSINE["torch" if link.network_format == "torch" else link.precision]
    if row.cosine is not None and not row.cosine.mean >= least:
        found.append(f"{row.link}: mean cosine {row.cosine.mean:.5f} to {REFERENCE.name}, {least} is the least")
    if row.here is not None and not row.here.worst >= LEAST_EMULATED_COSINE:
        found.append(
            f"{row.link}: a cosine of {row.here.worst:.5f} to the same file here, {LEAST_EMULATED_COSINE} is the least"
        )
    if row.auc_loss is not None and not row.auc_loss.mean <= LARGEST_MEAN_AUC_LOSS:
        found.append(f"{row.link}: mean AUC loss {100 * row.auc_loss.mean:.2f} points, 0.2 are allowed")
    if row.auc_loss is not None and not row.auc_loss.worst <= LARGEST_AUC_LOSS:
        found.append(f"{row.link}: a case loses {100 * row.auc_loss.worst:.2f} points of AUC, 1 is allowed")
    return found


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Between rows [n, d] and rows [n, d]: [n]. Raises DataError where the shapes differ."""
    if one.shape != other.shape:
        raise DataError(f"embeddings of {one.shape} and {other.shape} are not of one model")
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / np.maximum(lengths, 1e-12)


def _lowest(values: np.ndarray) -> Spread:
    return Spread(float(values.mean()), float(values.min()))


def _largest(values: np.ndarray) -> Spread:
    return Spread(float(values.mean()), float(values.max()))
