"""Two graphs of two inputs: each becomes int8 where it ranks as before, and says why not where it does not."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")
pytest.importorskip("onnx", reason="the export extra is not installed")

from edge_asd.contract import ModelContract  # noqa: E402
from edge_asd.inference import load_embedder  # noqa: E402
from edge_asd.model_package import Model, Network  # noqa: E402
from edge_asd.windows import Windows  # noqa: E402
from export.formats.onnx_export import graphs_to_onnx  # noqa: E402
from export.networks import network as networks  # noqa: E402
from export.quantising.int8_graphs import HeardWindows, int8_graphs, rank_correlation  # noqa: E402
from export.recipe import Recipe  # noqa: E402


class Both(networks.Network):
    """Hears the waveform and the log-mel; the scorer is told the section."""

    def __init__(self, gain: float, hidden: int) -> None:
        super().__init__()
        self.mel, self.wave = torch.nn.Linear(16 * 128, 8), torch.nn.Linear(64, 8)
        self.scorer = Scorer(gain, hidden)

    def forward(self, log_mel, waveform):
        return self.mel(log_mel.flatten(1)) + self.wave(waveform[:, :64])

    def graphs(self):
        return {"embedder": self, "scorer": self.scorer}


class Scorer(torch.nn.Module):
    def __init__(self, gain: float, hidden: int) -> None:
        super().__init__()
        self.wide, self.joint, self.gain = torch.nn.Linear(8 + 2, hidden), torch.nn.Linear(hidden, 1), gain

    def forward(self, embedding, section):
        return torch.sin(self.gain * self.joint(self.wide(torch.cat((embedding, section), dim=1))))


def model_of(gain, hidden=256):
    torch.manual_seed(0)
    contract = dataclasses.replace(
        Recipe("both").model_contract(), window_frames=16, step_frames=8, embedding_size=8,
        sections=("fan/00", "fan/01"),
        inputs=("log-mel", "waveform"), scorer_inputs=("embedding", "section"), outputs=("surprise",),
    )  # fmt: skip
    graphs = graphs_to_onnx(Both(gain, hidden).eval(), contract)
    return Model(contract, "fp32", graphs["embedder"], {}, scorer=Network(graphs["scorer"], "onnx", "fp32"))


def heard(contract: ModelContract):
    rng = np.random.default_rng(1)
    frames = rng.normal(-40, 8, (40, 16, 128)) + rng.normal(0, 10, (40, 1, 128))
    samples = rng.normal(0, 0.3, (40, contract.window_samples))
    windows = Windows(frames.astype(np.float32), samples.astype(np.float32))
    parts = [Windows(windows.frames[i::2], windows.samples[i::2]) for i in range(2)]
    return [HeardWindows(part, section) for part, section in zip(parts, contract.sections, strict=True)]


def test_both_graphs_become_int8_and_score_in_the_same_order():
    model = model_of(0.2)
    windows = heard(model.contract)
    made, choices = int8_graphs(model, windows)
    assert [choice.precision for choice in choices] == ["int8", "int8"]
    assert (made.precision, made.scorer.precision) == ("int8", "int8") and made.network != model.network
    before, after = (load_embedder(m.for_section("fan/01")).score(windows[1].windows)[:, 0] for m in (model, made))
    assert rank_correlation(before, after) > 0.9
    assert set(made.provenance["int8_graphs"]) == {"embedder", "scorer"}


def test_a_graph_that_would_rank_otherwise_stays_float_and_says_so():
    model, lines = model_of(500.0), []
    made, choices = int8_graphs(model, heard(model.contract), lines.append)
    assert made.scorer == model.scorer and choices[1].precision == "fp32"
    assert "stays float: " in lines[-1] and "ranks windows otherwise (correlation" in lines[-1]


def test_a_graph_whose_int8_saves_nothing_worth_having_stays_float_and_says_so():
    model, lines = model_of(0.2, hidden=8), []
    made, choices = int8_graphs(model, heard(model.contract), lines.append)
    assert [choice.precision for choice in choices] == ["int8", "fp32"] and made.scorer == model.scorer
    whole = len(model.network) + len(model.scorer.data)
    assert lines[-1] == f"scorer: {made.provenance['int8_graphs']['scorer']}"
    assert f"stays float: int8 would save 0 bytes of {whole} and has 0.5" in lines[-1]
    assert "1 % of either is asked" in lines[-1]


def test_rank_correlation_knows_order_alone():
    values = np.array([3.0, 1.0, 2.0, 5.0])
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1.0)
    assert rank_correlation(values, -values) == pytest.approx(-1.0)
    assert rank_correlation(values, np.ones(4)) == 0.0
