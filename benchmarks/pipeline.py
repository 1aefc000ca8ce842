"""CPU time of the whole pipe per second of audio, beside librosa + torch and beside the machine's floor.

    python -m benchmarks.pipeline [--rounds N] [--json]

One thread. The sound is simulated (a fan), and every contender hears the same windows. Contenders take turns, so each
finds the cache emptied by the others, as on a board that does other things too; "by itself" is ours with a warm one.
The peer is what one would write first: librosa log-mel, a PReLU MobileFaceNet in torch float32 (the full-width one of
the ST-gram report, and one of our own width), a float32 matrix product for the bank.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import numpy as np

from benchmarks.stream import stream
from benchmarks.timing import Timing, machine, take_turns
from edge_asd.bank import EmbeddingBank, unit_vectors
from edge_asd.bundle.bundle import Bundle
from edge_asd.contract import ModelContract
from edge_asd.detector import Detector
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.frontend import LogMel, log_mel
from edge_asd.inference import Embedder, load_embedder
from edge_asd.model_package import load_model
from edge_asd.native import library
from edge_asd.simulator import Machine, Scene, render
from edge_asd.windows import clip_windows

ENROLMENT_S = 600.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=200, help="rounds in which every contender runs once (200)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    result = measure(args.rounds)
    if args.json:
        json.dump(result, sys.stdout, indent=1)
        print()
        return 0
    print(result["machine"])
    for name, row in result["contenders"].items():
        print(f"{name:58s} {row['cpu_ms_per_audio_s']:7.3f} ms/s  ({row['p5']:.3f}-{row['p95']:.3f})")
    for name, value in result["ratios"].items():
        print(f"{name:58s} {value:7.2f}")
    return 0


def measure(rounds: int) -> dict[str, Any]:
    """All contenders in one run; CPU ms per second of audio."""
    import torch

    torch.set_num_threads(1)
    model = load_model()
    contract = model.contract
    spec = contract.features
    rng = np.random.default_rng(7)
    machine_state, scene = Machine.random("fan", rng), Scene.random(rng)
    one_step = contract.step_frames * spec.hop_samples
    heard = render(machine_state, scene, ENROLMENT_S + 24.0, rng)
    enrolment = Enrolment(model, load_embedder(model), strict=False)
    enrolment.add_samples(heard[: int(ENROLMENT_S * spec.rate_hz)], "normal sound")
    bundle = enrolment.finish({})
    sound = heard[int(ENROLMENT_S * spec.rate_hz) :]
    enrolled_windows, _ = clip_windows(log_mel(heard[: int(ENROLMENT_S * spec.rate_hz)], spec), contract)
    bank = EmbeddingBank.fit(load_embedder(model).embed(enrolled_windows))

    contenders = {
        "edge-asd int8": _stream(load_embedder(model), bundle, sound),
        "edge-asd int8, log-mel by numpy": _stream(load_embedder(model), bundle, sound, kernel="numpy"),
        "edge-asd fp32": _stream(load_embedder(load_model(precision="fp32")), bundle, sound),
        "librosa + torch fp32 PReLU, full width": _peer(1.0, bank, sound, contract),
        "librosa + torch fp32 PReLU, our width": _peer(
            float(model.provenance["recipe"]["model"]["width"]), bank, sound, contract
        ),
    }
    # "native" fails where the C kernel was not built: what is measured is never another thing than its name says.
    kernels = ("native", "numpy")
    front_ends = {kernel: LogMel(spec, padded=False, kernel=kernel) for kernel in kernels}
    parts: dict[str, Callable[[], object]] = {
        **{f"log-mel alone, {kernel}": partial(front_ends[kernel].push, sound[:one_step]) for kernel in kernels},
        "log-mel alone, librosa": lambda: _librosa_log_mel(sound[:one_step], spec),
    }
    windows = clip_windows(log_mel(sound, spec), contract)[0][:1]
    embedders = {precision: load_embedder(load_model(precision=precision)) for precision in ("int8", "fp32")}
    litert = load_embedder(load_model(formats=("tflite",)), "litert")
    networks = {
        "network alone, int8": lambda: embedders["int8"].embed(windows),
        "network alone, fp32": lambda: embedders["fp32"].embed(windows),
        "network alone, int8 by LiteRT": lambda: litert.embed(windows),
    }
    by_itself = {"edge-asd int8 by itself": _stream(load_embedder(model), bundle, sound)}
    rows: dict[str, Timing] = {}
    for beside_each_other in (contenders, by_itself, networks, parts):
        rows |= take_turns(beside_each_other, rounds)
    s = contract.step_s
    table = {
        name: {"cpu_ms_per_audio_s": t.median_ms / s, "p5": t.p5_ms / s, "p95": t.p95_ms / s}
        for name, t in rows.items()
    }
    floor = floor_ms_per_audio_s(contract)
    table["floor: network multiplications and FFT at the machine's peak"] = {
        "cpu_ms_per_audio_s": floor,
        "p5": floor,
        "p95": floor,
    }
    ours = table["edge-asd int8"]["cpu_ms_per_audio_s"]
    return {
        "machine": machine(),
        "contenders": table,
        "ratios": {
            f"{other}: times edge-asd int8": table[other]["cpu_ms_per_audio_s"] / ours
            for other in table
            if other.startswith("librosa +") or other == "edge-asd fp32"
        }
        | {
            "edge-asd int8: times the floor": ours / floor,
            "edge-asd int8, log-mel by numpy: times the floor": table["edge-asd int8, log-mel by numpy"][
                "cpu_ms_per_audio_s"
            ]
            / floor,
            "log-mel alone, numpy: times native": table["log-mel alone, numpy"]["cpu_ms_per_audio_s"]
            / table["log-mel alone, native"]["cpu_ms_per_audio_s"],
            "network alone, fp32: times int8": table["network alone, fp32"]["cpu_ms_per_audio_s"]
            / table["network alone, int8"]["cpu_ms_per_audio_s"],
            "network alone, int8 by LiteRT: times by ONNX Runtime": table["network alone, int8 by LiteRT"][
                "cpu_ms_per_audio_s"
            ]
            / table["network alone, int8"]["cpu_ms_per_audio_s"],
        },
    }


def _stream(embedder: Embedder, bundle: Bundle, sound: np.ndarray, *, kernel: str = "native"):
    """A call that feeds one step of a stream to a Detector, as `edge-asd run` does."""
    contract = embedder.contract
    os.environ[library.CHOICE_VARIABLE] = kernel
    detector = Detector(contract, bundle.normal, bundle.live_calibrations, bundle.aggregation, embedder)
    step = contract.step_frames * contract.features.hop_samples
    del os.environ[library.CHOICE_VARIABLE]
    return stream(detector, sound, step)


def _peer(width: float, bank: EmbeddingBank, sound: np.ndarray, contract: ModelContract):
    """librosa log-mel, torch float32 MobileFaceNet with PReLU, float32 bank: one window a call."""
    import torch
    from torch import nn

    from export.networks.mobilefacenet import MobileFaceNet

    torch.manual_seed(0)
    spec, window = contract.features, contract.window_samples
    net = MobileFaceNet(
        window_frames=contract.window_frames, n_mels=spec.n_mels, embedding_size=contract.embedding_size, width=width
    )
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU6):
                setattr(parent, name, nn.PReLU(1))
    net.eval()
    vectors = unit_vectors(bank.vectors.astype(np.float32))
    position = 0

    def score() -> float:
        nonlocal position
        start = position % (sound.size - window)
        position += contract.step_frames * spec.hop_samples
        frames = _librosa_log_mel(sound[start : start + window], spec)
        fed = (frames - frames.mean()) / 20.0
        with torch.inference_mode():
            embedding = net(torch.from_numpy(fed)[None, None]).numpy()
        return float(1.0 - (unit_vectors(embedding) @ vectors.T).max())

    return score


def _librosa_log_mel(samples: np.ndarray, spec) -> np.ndarray:
    import librosa

    mel = librosa.feature.melspectrogram(
        y=samples,
        sr=spec.rate_hz,
        n_fft=spec.n_fft,
        hop_length=spec.hop_samples,
        n_mels=spec.n_mels,
        fmin=spec.fmin_hz,
        fmax=spec.fmax_hz,
        center=False,
    )
    return 10.0 * np.log10(np.maximum(mel.T, 1e-10)).astype(np.float32)


def floor_ms_per_audio_s(contract: ModelContract) -> float:
    """What the arithmetic alone would take: the network's multiplications at the machine's best int8 matrix product,
    the FFTs at its best float32 one (2.5 n log2 n operations a real FFT)."""
    n_fft = contract.features.n_fft
    fft_flops = contract.step_frames * 2.5 * n_fft * np.log2(n_fft)
    arithmetic_s = network_multiplications() / _int8_macs_per_s() + fft_flops / _float32_flops_per_s()
    return 1e3 * arithmetic_s / contract.step_s


def network_multiplications() -> int:
    """Multiplications of the default model in one window, counted from its float32 graph."""
    import onnx
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(onnx.load_from_string(load_model(precision="fp32").network)).graph
    shapes = {
        v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim] for v in [*graph.value_info, *graph.output]
    }
    weights = {w.name: list(w.dims) for w in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += int(np.prod(shapes[node.output[0]])) * int(np.prod(weights[node.input[1]][1:]))
        elif node.op_type in ("Gemm", "MatMul"):
            total += int(np.prod(weights[node.input[1]]))
    return total


def _int8_macs_per_s() -> float:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    n = 1024
    weights = np.random.default_rng(0).integers(-64, 64, (n, n), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "peak",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [n, n])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [n, n])],
        [helper.make_tensor("b", TensorProto.INT8, [n, n], weights.tobytes(), raw=True)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    onnx.checker.check_model(proto)
    a = np.random.default_rng(1).integers(0, 255, (n, n), dtype=np.uint8)
    return n**3 / _best_s(lambda: session.run(None, {"a": a}))


def _float32_flops_per_s() -> float:
    n = 1024
    a = np.random.default_rng(0).standard_normal((n, n)).astype(np.float32)
    return 2.0 * n**3 / _best_s(lambda: a @ a)


def _best_s(call, repeats: int = 20) -> float:
    times = []
    for _ in range(repeats):
        before = time.process_time_ns()
        call()
        times.append((time.process_time_ns() - before) / 1e9)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
