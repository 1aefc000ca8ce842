"""Work spread over processes: results come in the order of the tasks, and only a few tasks are under way at a time.

Processes, not threads: numpy's small products and the reading of files hold Python's lock. The standard library's pool
would keep every result until it is asked for, and its workers outlive a parent that was killed; these end with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from edge_asd.errors import UnavailableError

Task = TypeVar("Task")
Result = TypeVar("Result")
AHEAD = 4
"""Tasks under way for each worker: enough that none waits for the reader, few enough to hold in memory."""
_SINGLE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


MAX_FAILED_STARTS = 3
"""Workers that may die before any has finished a task; more, and starting others cannot help."""


class WorkerDied(Exception):
    """A worker ended in the middle of its task: killed for want of memory, or crashed by a library."""


def map_in_order(
    make_worker: Callable[..., Callable[[Task], Result]],
    arguments: tuple[Any, ...],
    tasks: Iterable[Task],
    jobs: int,
) -> Generator[Result | WorkerDied, None, None]:
    """`make_worker(*arguments)(task)` of every task, in order, in `jobs` processes; with one job, in this process.

    make_worker: called once in each process, so a model is loaded once; what it and its worker are given and give
    must pickle. A worker must not raise. Where its process dies, the task's result is WorkerDied and a new process
    takes over.
    """
    if jobs <= 1:
        yield from map(make_worker(*arguments), tasks)
        return
    pool = _Pool(make_worker, arguments, jobs)
    try:
        yield from pool.run(iter(tasks))
    finally:
        pool.close()


class _Pool:
    def __init__(self, make_worker: Callable[..., Any], arguments: tuple[Any, ...], jobs: int) -> None:
        self._start_arguments = (make_worker, arguments)
        self._workers: dict[Connection, Any] = {}
        self._queues: dict[Connection, deque[int]] = {}
        self._failed_starts, self._finished_any = 0, False
        for _ in range(jobs):
            self._start()

    def run(self, tasks: Iterator[Any]) -> Iterator[Any]:
        done: dict[int, Any] = {}
        under_way: dict[int, Any] = {}
        given, wanted, more = 0, 0, True
        while more or under_way or done:
            while more and given - wanted < AHEAD * len(self._workers):
                try:
                    under_way[given] = next(tasks)
                except StopIteration:
                    more = False
                    break
                self._give(given, under_way[given])
                given += 1
            while wanted in done:
                yield done.pop(wanted)
                wanted += 1
            if under_way and wanted not in done and (not more or given - wanted >= AHEAD * len(self._workers)):
                for index, result in self._receive(under_way):
                    del under_way[index]
                    done[index] = result

    def _give(self, index: int, task: Any) -> None:
        connection = min(self._queues, key=lambda c: len(self._queues[c]))
        self._queues[connection].append(index)
        with contextlib.suppress(OSError):  # a worker that has just died is noticed when its result is awaited
            connection.send(task)

    def _receive(self, under_way: dict[int, Any]) -> Iterator[tuple[int, Any]]:
        for ready in wait([c for c, queue in self._queues.items() if queue]):
            assert isinstance(ready, Connection)
            try:
                result = ready.recv()
            except (EOFError, OSError):
                yield from self._bury(ready, under_way)
                continue
            self._finished_any = True
            yield self._queues[ready].popleft(), result

    def _bury(self, connection: Connection, under_way: dict[int, Any]) -> Iterator[tuple[int, Any]]:
        """Replace a dead worker: the task it was at is lost, those behind it are given anew."""
        worker, queue = self._workers.pop(connection), self._queues.pop(connection)
        worker.join()
        connection.close()
        self._failed_starts += not self._finished_any
        if self._failed_starts > MAX_FAILED_STARTS:
            raise UnavailableError(f"worker processes end at once ({_how(worker.exitcode)})", remedy="try --jobs 1")
        self._start()
        if queue:
            yield queue.popleft(), WorkerDied(f"the process died at it ({_how(worker.exitcode)})")
        for index in queue:
            self._give(index, under_way[index])

    def _start(self) -> None:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(theirs, *self._start_arguments), daemon=True)
        with _quiet_start():
            process.start()
        theirs.close()
        self._workers[ours] = process
        self._queues[ours] = deque()

    def close(self) -> None:
        for connection in self._workers:
            connection.close()
        for process in self._workers.values():
            process.terminate()
            process.join()


_CONTEXT = multiprocessing.get_context("spawn")
"""A fork would copy the runtime's locks in whatever state its threads hold them."""


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Children start with one thread each for numpy's products, and deaf to Ctrl-C, which the parent answers."""
    resource_tracker.ensure_running()  # starting it lifts a block of SIGINT (bpo-33613)
    before = {name: os.environ.get(name) for name in _SINGLE_THREAD}
    os.environ.update(dict.fromkeys(_SINGLE_THREAD, "1"))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _work(connection: Connection, make_worker: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):  # the parent has gone, or has enough
        worker = make_worker(*arguments)
        while True:
            connection.send(worker(connection.recv()))


def _how(exit_code: int | None) -> str:
    return f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
