"""TgramNet: a learned picture of the waveform, to stand beside the log-mel one (Liu et al. 2022, arXiv 2201.05510).

One convolution plays the part of a filter bank with the log-mel's own window and hop, three more refine it over time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_asd.errors import ConfigError

NORMS = ("layer", "instance")
BLOCKS, KERNEL, SLOPE = 3, 3, 0.2
QUIET = 1e-5
"""Added to the RMS of a waveform before it is divided by it; digital silence stays silence."""


class TgramNet(nn.Module):
    """Waveform [n, samples] -> [n, bands, frames].

    The convolution has no padding of its own: the contract's waveform holds exactly the samples of a window's frames
    (an offline clip padded by half a window at both ends, which is the published padding).

    norm: "layer", as published: LayerNorm over time, with a weight and a bias for every one of `frames` places, so that
        it takes windows of this one length. "instance": each band over time (InstanceNorm1d), with a weight and a bias
        a band, which takes windows of any length; and the waveform is brought to an RMS of 1 first, so that loudness
        says nothing and eight bits are enough for a quiet machine.
    """

    def __init__(self, *, bands: int, frames: int, n_fft: int, hop_samples: int, norm: str = "layer") -> None:
        super().__init__()
        if norm not in NORMS:
            raise ConfigError(f"model.norm {norm!r} is none of {', '.join(NORMS)}")
        self.unit_level = norm == "instance"
        self.filters = nn.Conv1d(1, bands, n_fft, stride=hop_samples, bias=False)
        layers: list[nn.Module] = []
        for _ in range(BLOCKS):
            layers += [
                nn.LayerNorm(frames) if norm == "layer" else nn.InstanceNorm1d(bands, affine=True),
                nn.LeakyReLU(SLOPE),
                nn.Conv1d(bands, bands, KERNEL, padding=KERNEL // 2, bias=False),
            ]
        self.refine = nn.Sequential(*layers)

    def forward(self, waveform: Tensor) -> Tensor:
        """[n, samples] in -1..1 -> [n, bands, frames]."""
        if self.unit_level:
            waveform = waveform / (waveform.square().mean(dim=1, keepdim=True).sqrt() + QUIET)
        return self.refine(self.filters(waveform.unsqueeze(1)))


def stacked(log_mel: Tensor, tgram: Tensor) -> Tensor:
    """log-mel [n, 1, frames, mels] and TgramNet's [n, mels, frames] as two channels, [n, 2, frames, mels]."""
    return torch.cat((log_mel, tgram.transpose(1, 2).unsqueeze(1)), dim=1)
