"""`edge-asd export --model`: trained weights become a model package."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_asd.cli.parsing import Parser
from edge_asd.cli.progress import Progress, note
from edge_asd.errors import UsageError
from export.extra import TFLITE_PACKAGES, need

if TYPE_CHECKING:
    import numpy as np

    from export.packages.make import Source
    from export.quantising.choice import Scheme
    from export.quantising.probe import Probe

SEED = 1


def add_flags(parser: Parser) -> None:
    """Declare the flags of this way."""
    group = parser.add_argument_group("a model package (--model)")
    group.add_argument(
        "--model", type=Path, metavar="DIR", help="RUN/best of edge-asd train, or a package with a float ONNX network"
    )
    group.add_argument(
        "--format",
        choices=("onnx", "ort", "tflite"),
        default="onnx",
        help="of the network (onnx); ort is ONNX Runtime's own, which starts in a third of the time, but on x86 mixed "
        "networks run slower",
    )
    group.add_argument("--precision", choices=("int8", "fp32"), default="int8", help="of the network (int8)")
    group.add_argument(
        "--calibration", type=Path, metavar="DIR", help="recordings to calibrate int8 on (default: simulated machines)"
    )
    group.add_argument(
        "--cases", type=Path, metavar="CASES.csv", help="labelled recordings to hold the score on (default: simulated)"
    )
    group.add_argument("--float-first", type=_layers, metavar="N", help="layers from the input kept in float")
    group.add_argument("--float-last", type=_layers, metavar="N", help="layers from the output kept in float")
    group.add_argument(
        "--activation-bits", type=int, choices=(8, 16), help="of static int8 (8; chosen with the float layers)"
    )
    group.add_argument(
        "--sensitivity", action="store_true", help="report what leaving each single layer in float would change"
    )
    group.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Load, quantise, measure, write; the report on stdout."""
    if args.format == "tflite":
        need(TFLITE_PACKAGES, "tflite-export")
    else:
        need()
    from export.packages.make import load_source

    if args.precision == "fp32":
        wanted = {"--sensitivity": args.sensitivity, "--calibration": args.calibration, "--cases": args.cases}
        flag = next((name for name, value in wanted.items() if value), None)
        if flag:
            raise UsageError(f"{flag} belongs to int8", remedy="leave it away or give --precision int8")
    if args.format == "tflite" and (args.sensitivity or args.activation_bits or args.cases):
        raise UsageError("--sensitivity, --cases and --activation-bits belong to ONNX", remedy="give --format onnx")
    source = load_source(args.model)
    if args.format == "tflite":
        report = _tflite(source, args)
    elif args.precision == "fp32":
        report = _float(source, args)
    else:
        report = _int8(source, args)
    _print(report, args)
    return 0


def _float(source: Source, args: argparse.Namespace) -> dict[str, Any]:
    from export.packages.make import put

    network, report = _in_format(source.network, source, args)
    put(args.out, source, {(args.format, "fp32"): network}, {})
    return report


def _int8(source: Source, args: argparse.Namespace) -> dict[str, Any]:
    from export.packages.make import fed_windows, int8_network, put
    from export.quantising.choice import sensitivity
    from export.quantising.quantise import Quantiser

    windows, calibrated_on = _calibration(source, args)
    probe, probed_on = _probe(source, args)
    made = int8_network(source, windows, probe, scheme=_scheme(args), seed=SEED, note=note)
    network, report = _in_format(made.network, source, args)
    report |= {
        "scheme": str(made.scheme),
        "qat_steps": made.qat_steps,
        "integer_operations": made.count.integer,
        "operations": made.count.all,
        "calibration": calibrated_on,
        "measured_on": probed_on,
        "cpu_ms": round(made.result.cpu_ms, 3),
        "holds": made.result.holds,
        **made.result.loss.to_dict(),
    }
    put(args.out, source, {(args.format, "int8"): network}, made.provenance(calibrated_on, probed_on))
    if args.sensitivity:
        quantiser = Quantiser(source.network, fed_windows(source, windows, SEED))
        progress = Progress(len(quantiser.layers))
        everything, effects = sensitivity(
            source.network, quantiser, probe, lambda done, total: progress.at(done, f"layer {done} of {total}")
        )
        progress.end()
        report["all_int8"] = everything.to_dict()
        report["sensitivity"] = [{"layer": e.layer, "kind": e.kind, **e.loss.to_dict()} for e in effects]
    return report


def _tflite(source: Source, args: argparse.Namespace) -> dict[str, Any]:
    from export.packages.make import put
    from export.tflite.twin import float_twin, int8_twin

    report: dict[str, Any] = {"format": "tflite", "precision": args.precision}
    if args.precision == "int8":
        windows, calibrated_on = _calibration(source, args)
        first = source.settings.float_first if args.float_first is None else args.float_first
        last = source.settings.float_last if args.float_last is None else args.float_last
        twin = int8_twin(source, windows, calibrated_on, float_first=first, float_last=last, seed=SEED)
    else:
        twin = float_twin(source)
    put(args.out, source, {("tflite", args.precision): twin.network}, {f"tflite_{args.precision}": twin.provenance})
    return report | {
        "bytes": len(twin.network),
        "integer_operations": twin.count.integer,
        "operations": twin.count.all,
        "cosine_mean": twin.cosine_mean,
        "cosine_min": twin.cosine_min,
    }


def _scheme(args: argparse.Namespace) -> Scheme | None:
    """What the flags say; None where none was given."""
    from export.quantising.choice import Scheme

    given = (args.float_first, args.float_last, args.activation_bits)
    if all(value is None for value in given):
        return None
    return Scheme(args.float_first or 0, args.float_last or 0, args.activation_bits or 8)


def _calibration(source: Source, args: argparse.Namespace) -> tuple[np.ndarray, str]:
    from export.quantising.calibration import recorded_windows, simulated_windows

    n = source.settings.calibration_windows
    if args.calibration is not None:
        windows = recorded_windows(args.calibration, source.contract, n, SEED)
        return windows, f"{len(windows)} windows of recordings"
    note("simulating machines to calibrate on")
    return simulated_windows(source.contract, n, SEED), f"{n} simulated windows"


def _probe(source: Source, args: argparse.Namespace) -> tuple[Probe, str]:
    from export.quantising.probe import recorded_probe, simulated_probe

    if args.cases is not None:
        probe = recorded_probe(args.cases, source.contract)
        return probe, f"{len(probe.machines)} cases of recordings"
    note("simulating machines to measure the score on")
    probe = simulated_probe(source.contract, SEED)
    return probe, f"{len(probe.machines)} simulated machines"


def _in_format(network: bytes, source: Source, args: argparse.Namespace) -> tuple[bytes, dict[str, Any]]:
    """An ONNX network in the format asked for, and the report's first lines."""
    report: dict[str, Any] = {"format": args.format, "precision": args.precision, "bytes": len(network)}
    if args.format == "ort":
        from export.formats.ort_format import as_ort, start_ms

        converted = as_ort(network)
        before, after = start_ms([network, converted], source.contract)
        report |= {"bytes": len(converted), "start_ms": round(after, 2), "onnx_start_ms": round(before, 2)}
        network = converted
    return network, report


def _print(report: dict[str, Any], args: argparse.Namespace) -> None:
    if args.json:
        json.dump(report, sys.stdout, indent=1)
        print()
        return
    effects = report.pop("sensitivity", [])
    everything = report.pop("all_int8", None)
    print(f"{args.out}: {report['format']} {report['precision']}, {report['bytes']} bytes")
    if "start_ms" in report:
        print(f"starts in {report['start_ms']} ms, as .onnx in {report['onnx_start_ms']} ms")
    if "scheme" in report:
        print(f"{report['scheme']}; {report['integer_operations']} of {report['operations']} layers in integers")
        print(f"on {report['measured_on']}: {_figures(report)}")
    if report["format"] == "tflite":
        print(f"{report['integer_operations']} of {report['operations']} layers in integers", end="; ")
        print(f"cosine to the float network {report['cosine_mean']:.5f} (least {report['cosine_min']:.4f})")
    if effects:
        print(f"\n{'all int8':44} {_figures(everything)}")
        for effect in effects:
            print(f"{effect['layer'][-35:]:36}{effect['kind']:8} {_figures(effect)}")


def _figures(loss: dict[str, float]) -> str:
    return (
        f"AUC loss {100 * loss['auc_loss_mean']:6.2f} (worst {100 * loss['auc_loss_worst']:6.2f}) points, "
        f"score shift {loss['score_shift']:.3f} sd, cosine {loss['cosine_mean']:.5f} (least {loss['cosine_min']:.4f})"
    )


def _layers(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no count of layers; give 0 or more")
    return int(text)
