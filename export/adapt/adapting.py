"""From bundles and normal sound of their machines to adapted bundles, or to the evidence that speaks against them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_asd import __version__
from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.sessions import SessionEvidence, session_summary
from edge_asd.errors import UsageError
from edge_asd.model_package import Model
from export.adapt.evidence import Evidence, FoldEvidence, HeldOut, enrolled, fold_evidence
from export.adapt.jobs import Job, own_windows, run_jobs
from export.adapt.pretenders import Pretenders
from export.adapt.sound import FOLDS, MachineSound
from export.adapt.start import check_same, scheme_of
from export.adapt.tune import TuneSettings
from export.packages.make import Source
from export.quantising.calibration import simulated_windows


@dataclass(frozen=True)
class Target:
    """A bundle, its machine's normal sound, and the SHA-256 of the bundle's file."""

    bundle: Bundle
    sound: MachineSound
    parent_sha256: str


@dataclass(frozen=True)
class Outcome:
    """What came of one target. candidate: enrolled with the adapted network, whatever evidence says of it."""

    evidence: Evidence
    candidate: Bundle

    @property
    def bundle(self) -> Bundle | None:
        """The adapted bundle; None where the evidence does not support it."""
        return self.candidate if self.evidence.supports else None


def adapt(
    targets: Sequence[Target],
    others: Sequence[MachineSound],
    source: Source,
    *,
    seed: int = 1,
    settings: TuneSettings | None = None,
    processes: int = 1,
    enrolled_s: float = 0.0,
    device: str = "cpu",
    at_step: Callable[[int, int], None] = lambda done, total: None,
    note: Callable[[str], None] = lambda line: None,
) -> list[Outcome]:
    """Adapt the one network all targets share, and judge it for each.

    others: machines without a bundle here; told apart from the targets in training and heard as anomalies in judging.
    source: float weights of the bundles' network. enrolled_s: when this is, seconds since 1970 (UTC). device: to
    fine-tune on. at_step: told how many training steps of how many are done.

    Raises UsageError where the bundles hold different networks, DataError where `source` holds another one.
    """
    settings = settings or TuneSettings()
    first = targets[0].bundle
    for target in targets[1:]:
        if target.bundle.model.network != first.model.network:
            raise UsageError(
                "the bundles hold different networks", remedy="adapt those of one network together, the rest apart"
            )
    machines = (*(target.sound for target in targets), *others)
    anchors_db = simulated_windows(first.contract, settings.simulated, seed)
    check_same(source, first, first.embedder, own_windows(machines, first.contract, seed)[:64])
    scheme = None if first.model.precision == "fp32" else scheme_of(first)

    def job(held: int | None) -> Job:
        parts = tuple(machine if held is None else machine.part(machine.folds() != held) for machine in machines)
        return Job(source, parts, anchors_db, settings, scheme, seed, device)

    jobs = [job(held) for held in (*range(FOLDS), None)]
    total = sum(job.steps for job in jobs)
    results = run_jobs(jobs, processes, lambda done: at_step(done, total))
    judged: list[list[FoldEvidence]] = [[] for _ in targets]
    pretenders = Pretenders(targets[0].sound.rate_hz, seed)
    judges = [Judge(target, machines, pretenders) for target in targets]
    for held, adapted in enumerate(itertools.islice(results, FOLDS)):
        for i, judge in enumerate(judges):
            judged[i].append(judge.fold(held, dataclasses.replace(first.model, network=adapted.network)))
    final = next(results)
    outcomes = []
    for target, found in zip(targets, judged, strict=True):
        evidence = Evidence(target.sound.name, tuple(found))
        made = _made(target, evidence, machines, final.int8, source, settings, seed)
        model = _adapted_model(target.bundle.model, final.network, made)
        provenance = {**target.bundle.provenance, "edge_asd": __version__, "adapted": made}
        candidate = enrolled(
            target.bundle,
            model,
            target.sound.clips,
            allowance=max(target.bundle.clip_calibration.allowance, default=1.0),
            enrolled_s=enrolled_s,
            provenance=provenance,
        )
        outcomes.append(Outcome(evidence, _of_the_same_sessions(candidate, target.bundle)))
    return outcomes


def _of_the_same_sessions(bundle: Bundle, parent: Bundle) -> Bundle:
    """With what its parent knew of sessions, so that a day added later counts as it would for the parent."""
    known = parent.enrolment.get("sessions")
    if known is None:
        return bundle
    sessions = session_summary(SessionEvidence.from_dict(known), known["asked"], bundle.clip_calibration)
    return dataclasses.replace(bundle, enrolment={**bundle.enrolment, "sessions": sessions})


class Judge:
    """Holds two networks against the folds of one target."""

    def __init__(self, target: Target, machines: Sequence[MachineSound], pretenders: Pretenders) -> None:
        self._target, self._pretenders = target, pretenders
        self._others = [machine for machine in machines if machine is not target.sound]

    def fold(self, held: int, model: Model) -> FoldEvidence:
        """Evidence of one fold; model: adapted to the others."""
        bundle, sound = self._target.bundle, self._target.sound
        others = [clip.samples for machine in self._others for clip in machine.part(machine.folds() == held).clips]
        out = HeldOut.of(bundle.contract.features, sound, held, self._pretenders, others)
        rest = sound.part(sound.folds() != held).clips
        model = dataclasses.replace(model, contract=bundle.contract)
        # Without what is allowed for other days: thresholds as wide as that would hide every false alarm.
        before, after = (enrolled(bundle, network, rest, allowance=1.0) for network in (bundle.model, model))
        return fold_evidence(before, after, out)


def data_sha256(machine: MachineSound) -> str:
    """Names the sound: changes with any sample of it."""
    digest = hashlib.sha256()
    for clip in machine.clips:
        digest.update(clip.samples.tobytes())
    return digest.hexdigest()


def _made(
    target: Target,
    evidence: Evidence,
    machines: Sequence[MachineSound],
    int8: dict[str, Any],
    source: Source,
    settings: TuneSettings,
    seed: int,
) -> dict[str, Any]:
    """How the bundle came about, for its provenance."""
    return {
        "parent_sha256": target.parent_sha256,
        "parent_network_sha256": hashlib.sha256(target.bundle.model.network).hexdigest(),
        "float_weights": source.weights,
        "data": {
            machine.name: {"seconds": round(machine.seconds, 1), "sha256": data_sha256(machine)} for machine in machines
        },
        "seed": seed,
        "settings": dataclasses.asdict(settings),
        "evidence": evidence.to_dict(),
        **int8,
    }


def _adapted_model(parent: Model, network: bytes, made: dict[str, Any]) -> Model:
    """The network under a version of its own: fitted anew by a board with the package it came from, the bundle would
    otherwise silently become what it was before."""
    short = hashlib.sha256(network).hexdigest()[:8]
    contract = dataclasses.replace(parent.contract, version=f"{parent.contract.version}+adapted.{short}")
    return dataclasses.replace(
        parent, contract=contract, network=network, provenance={**parent.provenance, "adapted": made}
    )
