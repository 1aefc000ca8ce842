"""Faults of the process: killed, stopped, short of memory, its readers gone. The harness starts it again, as systemd
would (faults/manager.py has the real one)."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time

from benchmarks.chaos.fault import fault
from benchmarks.chaos.trial import Trial

AREA = "process"
MEMORY_BYTES = 300 << 20
"""Of address space: too little for the network's runtime."""


@fault(
    "kill-9-mid-stream",
    AREA,
    by="SIGKILL while the machine sounds normal, then a new start",
    holds="the next start listens, scores as before, and every alarm told before is in the store",
)
def kill_mid_stream(trial: Trial) -> None:
    device = trial.listening()
    time.sleep(trial.rng.uniform(0.0, 1.0))
    device.kill()
    since = device.start()
    trial.recovered(device, since)
    trial.scores_equal(device, since)
    trial.still_well(device)


@fault(
    "kill-9-mid-alarm",
    AREA,
    by="SIGKILL half a second after an alarm was told, then a new start",
    holds="the alarm's start is in the store; the next start raises it anew while the fault lasts",
)
def kill_mid_alarm(trial: Trial) -> None:
    device = trial.listening()
    device.alarm(end=False)
    time.sleep(0.5)
    device.kill()
    since = device.start()
    trial.recovered(device, since)
    device.wait(lambda r: r["type"] == "alarm" and r["state"] == "start", "alarm anew", since=since)
    device.play("normal")
    device.wait(lambda r: r["type"] == "alarm" and r["state"] == "end", "its end", since=since)
    trial.ends_well(device)


@fault(
    "sigterm-mid-alarm",
    AREA,
    by="SIGTERM while an alarm is on",
    holds="the alarm is ended and told, then the summary, exit code 0 within the manager's patience",
)
def sigterm_mid_alarm(trial: Trial) -> None:
    device = trial.listening()
    started = device.alarm(end=False)
    code = device.stop(20.0)
    trial.must(code == 0, f"it ends with {code}")
    trial.until(lambda: device.records[-1]["type"] == "summary", "the summary is not the last record", 2.0)
    trial.must((started["machine"], started["id"], "end") in device.told(), "the alarm that was on is not ended")
    trial.count_lost(device.told(), device.store)
    device.play("normal")
    since = device.start()
    trial.recovered(device, since)
    trial.ends_well(device)


@fault(
    "stopped-and-continued",
    AREA,
    by="SIGSTOP for 12 s (longer than the ring of sound), then SIGCONT",
    holds="no watchdog signal while stopped; afterwards it says what it lost and goes on",
)
def stopped_and_continued(trial: Trial) -> None:
    device = trial.listening()
    device.signal(signal.SIGSTOP)
    since = time.monotonic() + 0.5
    time.sleep(12.0)
    trial.must(not device.watched_by_manager(since), "the watchdog was fed by a stopped process")
    since = device.signal(signal.SIGCONT)
    trial.recovered(device, since)
    device.wait(lambda r: r["type"] == "source" and r["lost_s"] > 1.0, "word of the sound lost", since=since)
    trial.still_well(device)


@fault(
    "memory-limit",
    AREA,
    by=f"RLIMIT_AS of {MEMORY_BYTES >> 20} MiB, less than it takes to start",
    holds="it ends, and does not hang half alive; started with memory again it listens",
)
def memory_limit(trial: Trial) -> None:
    device = trial.listening()
    device.kill()
    starved = trial.appliance(before=["prlimit", f"--as={MEMORY_BYTES}"])
    starved.start()
    code = starved.ended()
    trial.must(code != 0 and starved.stderr.strip(), f"without memory it ends with {code} and says nothing")
    since = device.start()
    trial.recovered(device, since)
    trial.still_well(device)


@fault(
    "memory-taken-while-running",
    AREA,
    by="prlimit sets RLIMIT_AS below what the process has while it runs, an alarm comes, the limit is lifted",
    holds="it goes on, or ends so that it is started again; the alarms told are kept",
)
def memory_taken(trial: Trial) -> None:
    device = trial.listening()
    pid = device.process.pid
    low = resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (low, resource.RLIM_INFINITY))
    device.play("faulty")
    time.sleep(4.0)
    device.play("normal")
    since = time.monotonic()
    if device.running:
        resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        since = device.start()
    trial.recovered(device, since)
    time.sleep(2.0)
    trial.still_well(device)


@fault(
    "stdout-reader-gone",
    AREA,
    by="the program that reads standard output closes its end of the pipe",
    holds="it ends at once with 141 (as any program in a pipe), the store complete; started again it listens",
)
def reader_gone(trial: Trial) -> None:
    reading, writing = os.pipe()
    device = trial.appliance(stdout=writing)
    device.start()
    os.close(writing)
    time.sleep(4.0)
    os.close(reading)
    code = device.ended()
    trial.must(code == 141, f"it ends with {code}")
    again = trial.appliance()
    trial.recovered(again, again.start())
    trial.still_well(again)


@fault(
    "stdout-full",
    AREA,
    by="standard output is /dev/full",
    holds="it ends with 74 and says why, so that the manager sees it; with a good one it listens",
)
def stdout_full(trial: Trial) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    device = trial.appliance(stdout=full)
    device.start()
    os.close(full)
    code = device.ended()
    trial.must(code == 74 and "No space" in device.stderr, f"it ends with {code}: {device.stderr[-200:]}")
    again = trial.appliance()
    trial.recovered(again, again.start())
    trial.still_well(again)


@fault(
    "stdout-not-read",
    AREA,
    by="the program that reads standard output hangs for 10 s with the pipe full",
    holds="no watchdog signal while records cannot go out; afterwards it goes on and no alarm is lost",
)
def stdout_not_read(trial: Trial) -> None:
    reading, writing = os.pipe()
    trial.leave(lambda: os.close(reading))
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b"\n" * 4096):
            pass
    os.set_blocking(writing, True)
    clogged = trial.appliance(stdout=writing)
    began = clogged.start()
    os.close(writing)
    time.sleep(10.0)
    trial.must(clogged.running, f"it ended with {clogged.process.returncode}")
    trial.must(not clogged.watched_by_manager(began), "the watchdog is fed though nothing gets out")
    since = time.monotonic()
    clogged.read_from(reading)
    trial.recovered(clogged, since)
    trial.must(clogged.watched_by_manager(since), "the watchdog is not fed afterwards")
    trial.still_well(clogged)


@fault(
    "stderr-closed",
    AREA,
    by="standard error is closed before it starts",
    holds="it listens and alarms as ever",
)
def stderr_closed(trial: Trial) -> None:
    device = trial.appliance(before=["sh", "-c", 'exec "$@" 2>&-', "sh"])
    trial.recovered(device, device.start())
    trial.still_well(device)


@fault(
    "descriptors-run-out",
    AREA,
    by="prlimit lowers RLIMIT_NOFILE to 8 while it runs, for 6 s with an alarm in it",
    holds="it goes on listening and alarming; what the store could not write is written afterwards",
)
def descriptors_run_out(trial: Trial) -> None:
    device = trial.listening()
    pid = device.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    since = time.monotonic()
    device.play("faulty")
    time.sleep(0.3)  # the fake microphone reads its files in the same process
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, before[1]))
    device.wait(lambda r: r["type"] == "alarm" and r["state"] == "start", "alarm", since=since)
    device.said("listening goes on")
    time.sleep(2.0)
    device.play("normal")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    trial.recovered(device, time.monotonic())
    device.wait(lambda r: r["type"] == "alarm" and r["state"] == "end", "its end", since=since)
    trial.still_well(device)
