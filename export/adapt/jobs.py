"""Several adaptations side by side, each in a process and on a thread of its own: the same numbers however many run."""

from __future__ import annotations

import dataclasses
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

import numpy as np

from edge_asd.contract import ModelContract
from edge_asd.errors import EdgeAsdError, UnavailableError
from export.adapt.changes import Cutter
from export.adapt.sound import MachineSound
from export.adapt.tune import TuneSettings, tuned
from export.formats.onnx_export import to_onnx
from export.networks.mobilefacenet import MobileFaceNet
from export.packages.make import Source, int8_network
from export.quantising.choice import Scheme
from export.quantising.probe import Probe, ProbeMachine

OWN_WINDOWS = 256
"""Windows of the machines' own sound int8 is calibrated on, beside the anchors."""


@dataclass(frozen=True)
class Job:
    """One adaptation.

    source: float weights. machines: the sound to adapt to. anchors_db: float32 [n, frames, mels], simulated machines.
    scheme: how to quantise; None: not at all. device: to fine-tune on.
    """

    source: Source
    machines: tuple[MachineSound, ...]
    anchors_db: np.ndarray
    settings: TuneSettings
    scheme: Scheme | None
    seed: int
    device: str = "cpu"

    @property
    def steps(self) -> int:
        """Steps of progress it tells."""
        return self.settings.steps


@dataclass(frozen=True)
class Adapted:
    """The adapted network as a device runs it, and what quantising did, for provenance."""

    network: bytes
    int8: dict[str, Any]


def adapted_network(job: Job, at_step: Callable[[], None] = lambda: None) -> Adapted:
    """Fine-tune, export and quantise. Raises DataError."""
    source = job.source
    assert isinstance(source.model, MobileFaceNet)
    contract = source.contract
    network = tuned(
        source.model, contract, job.machines, job.anchors_db, job.settings, job.seed, lambda step: at_step(), job.device
    )
    exported = to_onnx(network, contract.window_frames, contract.features.n_mels)
    if job.scheme is None:
        return Adapted(exported, {})
    windows = np.concatenate((own_windows(job.machines, contract, job.seed), job.anchors_db))
    made = int8_network(
        dataclasses.replace(source, model=network, network=exported),
        windows,
        _probe(contract, windows),
        scheme=job.scheme,
        seed=job.seed,
    )
    return Adapted(made.network, made.provenance(f"{len(windows)} windows of the machines and simulated ones", "these"))


def own_windows(machines: Sequence[MachineSound], contract: ModelContract, seed: int) -> np.ndarray:
    """Windows of the machines as they are, float32 [n, frames, mels] in dB."""
    cutter, rng = Cutter(contract), np.random.default_rng([seed, 51])
    clips = [clip for machine in machines for clip in machine.clips]
    chosen = rng.choice(len(clips), min(OWN_WINDOWS, 2 * len(clips)))
    return np.stack([cutter.plain(clips[int(i)].samples, rng) for i in chosen])


def run_jobs(
    jobs: Sequence[Job], processes: int, at_step: Callable[[int], None] = lambda done: None
) -> Iterator[Adapted]:
    """Results in the order of the jobs, each as soon as it and those before it are there.

    at_step: told how many steps of all jobs are done. Leaving early (an error, Ctrl-C) ends the processes.
    Raises DataError of a job, UnavailableError where a process was ended from outside.
    """
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        at_step(done)

    if processes == 1 or len(jobs) == 1:
        yield from (adapted_network(job, one_more) for job in jobs)
        return
    waiting = list(enumerate(jobs))
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    results: dict[int, Adapted] = {}
    try:
        for wanted in range(len(jobs)):
            while wanted not in results:
                while waiting and len(running) < processes:
                    number, job = waiting.pop(0)
                    receiver, process = _started(job)
                    running[receiver] = number, process
                for ready in wait(list(running)):
                    receiver = cast("Connection", ready)
                    said = _heard(receiver, running[receiver][1])
                    if said is None:
                        one_more()
                        continue
                    number, process = running.pop(receiver)
                    process.join()
                    if isinstance(said, Exception):
                        raise said
                    results[number] = said
            yield results.pop(wanted)
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _started(job: Job) -> tuple[Connection, BaseProcess]:
    # Spawned, not forked: interpreters and thread pools do not survive a fork.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, sender), daemon=True)
    # Ctrl-C goes to every process of a terminal; this one alone minds it, and ends the others.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    sender.close()
    return receiver, process


def _heard(receiver: Connection, process: BaseProcess) -> Adapted | Exception | None:
    """What a process says next: a step is done (None), its result, or what went wrong."""
    try:
        said: Adapted | Exception | None = receiver.recv()
    except EOFError:
        process.join()
        said = UnavailableError(
            f"a process that adapted was ended from outside (exit code {process.exitcode})",
            remedy="perhaps memory ran out: run it again with --processes 1",
        )
    return said


def _work(job: Job, sender: Connection) -> None:
    """In each process: one thread, words to the parent."""
    import torch

    torch.set_num_threads(1)
    try:
        sender.send(adapted_network(job, lambda: sender.send(None)))
    except EdgeAsdError as error:
        sender.send(error)


def _probe(contract: ModelContract, windows: np.ndarray) -> Probe:
    """The windows by halves, as a machine enrolled and tested: shows what int8 does to distances."""
    half = len(windows) // 2
    clips = np.arange(len(windows) - half)
    machine = ProbeMachine(slice(0, half), slice(half, len(windows)), clips, np.zeros(len(clips), bool))
    return Probe(contract, windows, [machine])
