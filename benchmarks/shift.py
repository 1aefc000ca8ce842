"""Later days of the same machine: false alarms before and after a minute of re-enrolment, and faults still found there.

    python -m benchmarks.shift CASES.csv [--scorer SPECS] [--cases NAMES] [--session-allowance A] [--ungrouped]
        [--fortnight]

Each case is enrolled on its enrol rows; the threshold is the default for clips (5 %). Then the first minute of normal
test clips in order of time (by their group's name) is appended as target domain, and the rest is tested, both ways on
the same rest too. Into every normal test clip a simulated fault is mixed at 0 dB: the sound one of the simulator's
faults adds to a machine that never existed, at the clip's own power. The case's own anomalies, if it has any, are
found where they are above the threshold too. --ungrouped: the groups of the enrolment are not told, as where a folder
of recordings is enrolled; all of it then counts as one session.

--fortnight: a simulated machine watched with slow adaptation, a day of DAY_S seconds. A fault begins on day 2 and
stays; another run drifts slowly.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.enrolled import enrolled
from benchmarks.mixed_faults import added_sound
from edge_asd.audio.block import AudioBlock
from edge_asd.audio.files import read_clip
from edge_asd.bundle.bundle import Bundle
from edge_asd.calibration.allowance import AUTO, WORDS, parse_allowance
from edge_asd.calibration.scale import SHOWN_THRESHOLD
from edge_asd.enrolment.adaptation import AdaptationRules, Adapter
from edge_asd.enrolment.appending import appended, blank_enrolment
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.evaluation.cases import Case, read_cases
from edge_asd.evaluation.metrics import roc_auc
from edge_asd.frontend import log_mel
from edge_asd.inference import Embedder, load_embedder
from edge_asd.model_package import Model, load_model
from edge_asd.monitor.alarm import AlarmSettings, AlarmTracker
from edge_asd.monitor.demo import workshop
from edge_asd.scorers import DEFAULT_SCORERS, parse_scorers
from edge_asd.simulator import FAULTS, Fault, Machine, render
from export.generated.channel import mixed

CASES = "compressor-days-dev-rest,compressor-days-dev-off,fan2020-blade,fan2020-guards,uav-clean"
APPENDED_S = 60.0
STREAM = 24_105
DAY_S, DAYS, ENROL_S = 60.0, 14, 300.0
DRIFT_DB_A_DAY = 0.05


@dataclass(frozen=True)
class Rates:
    """Shares in percent, and how well clips with a fault stand out from those without."""

    false_alarms: float
    found: float
    auc: float
    own_found: float | None
    clips: int

    def __str__(self) -> str:
        own = "-" if self.own_found is None else f"{self.own_found:.0f} %"
        return f"{self.false_alarms:.0f} % | {self.found:.0f} %, {own} | {self.auc:.3f}"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shift", description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, metavar="CASES.csv")
    parser.add_argument("--scorer", default=DEFAULT_SCORERS, help=f"what is measured ({DEFAULT_SCORERS})")
    parser.add_argument("--cases", dest="names", default=CASES, help=f"which of them ({CASES})")
    parser.add_argument("--session-allowance", default=AUTO, help=f"{WORDS} ({AUTO})")
    parser.add_argument("--ungrouped", action="store_true", help="enrol without the names of groups")
    parser.add_argument("--fortnight", action="store_true", help="also simulate fourteen days with adaptation")
    args = parser.parse_args()
    model = load_model()
    embedder = load_embedder(model)
    wanted = args.names.split(",")
    print(
        "| case | clips | false alarms | faults found: mixed in, own | AUC of those mixed in "
        "| false alarms, appended | faults found | AUC |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case in read_cases(args.cases):
        if case.name in wanted:
            allowance = parse_allowance(args.session_allowance)
            before, rest, after = measure(case, model, embedder, args.scorer, allowance, grouped=not args.ungrouped)
            print(f"| {case.name}, all | {before.clips} | {before} | | | |")
            print(f"| {case.name}, without the first minute | {rest.clips} | {rest} | {after} |", flush=True)
    if args.fortnight:
        print("\n" + fortnight(model, embedder))
    return 0


def measure(
    case: Case, model: Model, embedder: Embedder, scorer: str, allowance: float | None, *, grouped: bool
) -> tuple[Rates, Rates, Rates]:
    """As enrolled on all later clips; on those after the first ones; and on the same once the first are appended."""
    enrolment = Enrolment(model, embedder, parse_scorers(scorer), strict=False, session_allowance=allowance)
    bundle = enrolled(case, enrolment, grouped=grouped)
    normal = sorted((clip for clip in case.test if not clip.anomalous), key=lambda clip: (clip.group, clip.file))
    rate_hz = model.contract.features.rate_hz
    sounds = [read_clip(clip.path, rate_hz, None) for clip in normal]
    faults = [added_sound(x.size, rate_hz, np.random.default_rng([STREAM, i])) for i, x in enumerate(sounds)]
    faulty = [mixed(sound, fault, snr_db=0.0) for sound, fault in zip(sounds, faults, strict=True)]
    own = [read_clip(clip.path, rate_hz, None) for clip in case.test if clip.anomalous]
    new = blank_enrolment(bundle, embedder, 0.0, strict=False)
    taken = 0
    while new.seconds < APPENDED_S - 0.5 and taken < len(normal) - 1:
        new.add_clip(normal[taken].path, group=normal[taken].group or None, domain="target")
        taken += 1
    grown = appended(bundle, new)
    return (
        rates(bundle, sounds, faulty, own),
        rates(bundle, sounds[taken:], faulty[taken:], own),
        rates(grown, sounds[taken:], faulty[taken:], own),
    )


def rates(bundle: Bundle, normal: list[np.ndarray], faulty: list[np.ndarray], own: list[np.ndarray]) -> Rates:
    """Of clips without a fault, with one mixed in, and of the case's own anomalies."""

    def scores(sounds: list[np.ndarray]) -> np.ndarray:
        return np.array([bundle.score_clip(log_mel(sound, bundle.contract.features)).score for sound in sounds])

    def share(found: np.ndarray) -> float:
        return 100.0 * float(np.mean(found > SHOWN_THRESHOLD))

    well, ill = scores(normal), scores(faulty)
    own_found = share(scores(own)) if own else None
    return Rates(share(well), share(ill), roc_auc(well, ill), own_found, len(normal))


def fortnight(model: Model, embedder: Embedder) -> str:
    """A table: share of the scores of each day above the threshold, with and without adaptation."""
    rng = np.random.default_rng(STREAM)
    machine, scene = Machine.random("fan", rng), workshop(rng)
    rate_hz = model.contract.features.rate_hz
    run = int(rng.integers(2**63))
    total_s = ENROL_S + DAYS * DAY_S
    sound = render(machine, scene, total_s, np.random.default_rng(run), rate_hz)
    fault = Fault(
        "bearing_outer" if "bearing_outer" in FAULTS["fan"] else FAULTS["fan"][0], onset_s=ENROL_S + 1.5 * DAY_S
    )
    broken = render(machine, scene, total_s, np.random.default_rng(run), rate_hz, fault=fault)
    n_enrol = round(ENROL_S * rate_hz)
    enrolment = Enrolment(model, embedder)
    enrolment.add_samples(sound[:n_enrol], "normal sound")
    bundle = enrolment.finish({})
    days = np.arange(sound.size - n_enrol) / (DAY_S * rate_hz)
    drifting = (sound[n_enrol:] * 10.0 ** (DRIFT_DB_A_DAY * days / 20.0)).astype(np.float32)
    lines = [f"| share of scores above the threshold on day | {' | '.join(map(str, range(1, DAYS + 1)))} | admitted |"]
    lines.append("|---" * (DAYS + 2) + "|")
    runs = {f"lasting {fault.name} from day 2": broken[n_enrol:], f"drift of {DRIFT_DB_A_DAY:g} dB a day": drifting}
    for name, heard in runs.items():
        for adapting in (True, False):
            shares, admitted = watched(bundle, embedder, heard, adapting=adapting)
            words = "with" if adapting else "without"
            lines.append(f"| {name}, {words} adaptation | {' | '.join(f'{s:.0f} %' for s in shares)} | {admitted} |")
    return "\n".join(lines)


def watched(bundle: Bundle, embedder: Embedder, sound: np.ndarray, *, adapting: bool) -> tuple[list[float], int]:
    """Percent of each day's scores above the threshold, and how many windows were admitted."""
    rate_hz = bundle.contract.features.rate_hz
    plain = AdaptationRules()
    # A day of a minute has few windows: a quarter as many join as on a real day, and quarantine is a quarter of it too.
    rules = AdaptationRules(per_day=12, quarantine_s=plain.quarantine_s / plain.day_s * DAY_S, day_s=DAY_S)
    detector, alarm = bundle.detector(), AlarmTracker(AlarmSettings(cooldown_s=0.0), rate_hz=rate_hz)
    above: list[list[bool]] = [[] for _ in range(DAYS)]
    step = bundle.contract.step_frames * bundle.contract.features.hop_samples
    n_admitted = 0
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "machine.adapted"
        adapter = Adapter(bundle, path, on_normal=detector.compare_with, warn=sys.exit, rules=rules)
        for start in range(0, sound.size, step):
            for score in detector.push(AudioBlock(sound[start : start + step], start, start / rate_hz)):
                alarm.update(score)
                above[min(DAYS - 1, int(score.time / DAY_S))].append(score.anomalous)
                if adapting:
                    n_admitted += adapter.observe(score, disturbed=alarm.active_id is not None)
    return [100.0 * float(np.mean(day)) for day in above], n_admitted


if __name__ == "__main__":
    sys.exit(main())
