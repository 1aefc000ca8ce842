"""The filter bank of the Audio Spectrogram Transformer as one graph: Kaldi's log mel energies, 128 bands, 10 ms apart.

Everything up to the power is linear in the samples of a frame (mean taken off, pre-emphasis, Hann window, Fourier
transform), so it is one convolution; the rest is a matrix product and a logarithm. ONNX holds all of it, and a device
feeds the waveform.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

RATE_HZ = 16000
FRAME_SAMPLES, HOP_SAMPLES, N_FFT = 400, 160, 512
PRE_EMPHASIS = 0.97
LOWEST_HZ, HIGHEST_HZ = 20.0, 8000.0
FLOOR = 1.1920928955078125e-07
"""Least energy of a band: the spacing of single-precision numbers at 1."""
MEAN, SPREAD = -4.2677393, 4.5689974
"""Of the log energies of AudioSet; the transformer is fed (x - MEAN) / (2 SPREAD)."""


def frames_in(samples: int) -> int:
    """Whole frames that fit into so many samples."""
    return max(0, 1 + (samples - FRAME_SAMPLES) // HOP_SAMPLES)


def _mel(hz: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(hz / 700.0)


def mel_weights(n_mels: int) -> Tensor:
    """Kaldi's triangles, float64 [n_mels, N_FFT / 2 + 1]: straight on the mel scale, of height 1."""
    low, high = _mel(torch.tensor([LOWEST_HZ, HIGHEST_HZ], dtype=torch.float64))
    edges = torch.linspace(float(low), float(high), n_mels + 2, dtype=torch.float64)
    bins = _mel(torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * RATE_HZ / N_FFT)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    weights = torch.minimum(rising, falling).clamp_min(0.0)
    weights[:, -1] = 0.0  # Kaldi leaves out the bin at half the rate
    return weights


def frame_transform() -> Tensor:
    """What turns a frame's samples into its spectrum, float64 [2 x (N_FFT / 2 + 1), FRAME_SAMPLES]: real parts first.

    Kaldi's order: the frame's own mean is taken off, then each sample loses 0.97 of the one before (the first of
    itself), then the symmetric Hann window.
    """
    n = FRAME_SAMPLES
    centred = torch.eye(n, dtype=torch.float64) - 1.0 / n
    emphasis = torch.eye(n, dtype=torch.float64)
    emphasis[torch.arange(1, n), torch.arange(n - 1)] = -PRE_EMPHASIS
    emphasis[0, 0] = 1.0 - PRE_EMPHASIS
    window = torch.hann_window(n, periodic=False, dtype=torch.float64)
    turns = torch.arange(N_FFT // 2 + 1, dtype=torch.float64)[:, None] * torch.arange(n) * (2.0 * math.pi / N_FFT)
    fourier = torch.cat((torch.cos(turns), -torch.sin(turns)))
    return (fourier * window) @ emphasis @ centred


class KaldiFilterBank(nn.Module):
    """Waveform in, what the Audio Spectrogram Transformer is fed out.

    n_mels: bands. n_frames: frames given; a shorter sound is filled up with zeros as the transformer's own feature
    extractor does (before its normalisation), a longer one is cut.
    """

    transform: Tensor
    bands: Tensor

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.register_buffer("transform", frame_transform().float()[:, None], persistent=False)
        self.register_buffer("bands", mel_weights(n_mels).T.float().contiguous(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """[n, samples] in -1..1 at 16 kHz -> [n, n_frames, n_mels]."""
        spectrum = nn.functional.conv1d(waveform[:, None], self.transform, stride=HOP_SAMPLES)
        real, imaginary = spectrum.chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2)
        energies = torch.log((power @ self.bands).clamp_min(FLOOR))[:, : self.n_frames]
        missing = self.n_frames - energies.shape[1]
        return (nn.functional.pad(energies, (0, 0, 0, missing)) - MEAN) / (2.0 * SPREAD)
