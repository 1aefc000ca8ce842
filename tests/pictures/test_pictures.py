"""Pictures: what is loud where shows there, the scales are true, labels stay apart, and the files stay small."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from edge_asd.contract import LogMelSpec
from edge_asd.errors import DataError, UnavailableError
from edge_asd.frontend import log_mel, mel_edges_hz
from edge_asd.pictures import Mark, canvas, colours, spectrogram_png
from edge_asd.pictures.axes import Area, band_of_hz, frequency_ticks, round_ticks
from edge_asd.pictures.spectrogram import _columns, _free_spot, _overlap, panel_area

SPEC = LogMelSpec()


def indices(png: bytes) -> np.ndarray:
    """The picture's palette indices, [height, width]."""
    return np.asarray(Image.open(io.BytesIO(png)))


def panel(png: bytes, spec: LogMelSpec = SPEC) -> np.ndarray:
    """The sound itself: palette indices inside the axes."""
    area, _ = panel_area(spec, 44, 800)
    return indices(png)[area.top : area.bottom, area.left : area.right]


def test_a_tone_is_bright_at_its_time_and_frequency() -> None:
    frames = np.full((300, 128), -60.0, np.float32)
    frames[100:200, 70] = 0.0
    hz = mel_edges_hz(SPEC)[71]
    shown = panel(spectrogram_png(frames, SPEC, title="tone"))
    rows, columns = np.nonzero(shown == colours.LEVELS - 1)
    assert columns.min() / shown.shape[1] == pytest.approx(1 / 3, abs=0.005)
    assert columns.max() / shown.shape[1] == pytest.approx(2 / 3, abs=0.005)
    middle = 128 * (1.0 - (rows.min() + rows.max() + 1) / 2 / shown.shape[0])
    assert middle == pytest.approx(float(band_of_hz(hz, SPEC)), abs=0.3)
    assert rows.max() - rows.min() + 1 == shown.shape[0] // 128
    assert (shown[:, : shown.shape[1] // 4] == 0).all()


def test_no_click_is_lost_where_a_pixel_holds_many_frames() -> None:
    frames = np.full((40_000, 128), -60.0, np.float32)
    frames[12_345] = 0.0
    shown = panel(spectrogram_png(frames, SPEC, title="click"))
    assert (shown == colours.LEVELS - 1).any(axis=0).sum() == 1
    changes = np.zeros((100, 4), np.float32)
    changes[13], changes[55] = -9.0, 3.0
    kept = _columns(changes, 10, largest=np.abs)
    assert kept.min() == -9.0
    assert kept.max() == 3.0


def test_brightness_follows_level_in_the_eye_and_not_only_in_the_table() -> None:
    linear = (colours.palette()[: colours.LEVELS] / 255.0) ** 2.2
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance ** (1 / 3)) > 0).all()
    change = (colours.palette()[colours.CHANGE_MAP : colours.CHANGE_MAP + colours.LEVELS]).astype(int)
    assert change[0, 2] > change[0, 0] + 60  # quieter is blue
    assert change[-1, 0] > change[-1, 2] + 60  # louder is red


def test_thirty_seconds_make_a_small_file_of_the_promised_size(steady_sound) -> None:
    png = spectrogram_png(log_mel(steady_sound(30.0), SPEC), SPEC, title="fan", marks=[Mark(1.0, 2.0, 100.0, 900.0)])
    assert indices(png).shape == (328, 800)
    assert len(png) < 100_000
    assert png == spectrogram_png(
        log_mel(steady_sound(30.0), SPEC), SPEC, title="fan", marks=[Mark(1.0, 2.0, 100.0, 900.0)]
    )


def test_a_mark_is_drawn_around_what_it_means_and_stays_inside() -> None:
    frames = np.zeros((313, 128), np.float32)
    mark = Mark(2.0, 4.0, 2000.0, 4000.0)
    shown = panel(spectrogram_png(frames, SPEC, title="", marks=[mark]))
    rows, columns = np.nonzero(shown == colours.MARK)
    seconds = 313 * 512 / 16000
    assert columns.min() == pytest.approx(2.0 / seconds * shown.shape[1], abs=1)
    assert columns.max() + 1 == pytest.approx(4.0 / seconds * shown.shape[1], abs=1)
    assert shown.shape[0] - rows.min() == pytest.approx(float(band_of_hz(4000.0, SPEC)) * 2, abs=1)
    outside = Mark(-5.0, 900.0, 0.0, 90_000.0, "all of it, and the label is far too long for any picture " * 5)
    assert (indices(spectrogram_png(frames, SPEC, title="t" * 500, marks=[outside])) == colours.MARK).any()


def test_labels_cover_no_other_label() -> None:
    area, taken = Area(0, 0, 300, 200), []
    for _ in range(8):
        taken.append(_free_spot(area, Area(40, 60, 90, 80), 120, 17, taken))
    assert not any(_overlap(a, b) for i, a in enumerate(taken) for b in taken[:i])
    assert all(spot.top >= 0 and spot.bottom <= 200 and spot.right <= 300 for spot in taken)


@pytest.mark.parametrize("spec", [SPEC, LogMelSpec(rate_hz=48000, fmax_hz=24000.0, n_mels=64, mel_scale="htk")])
def test_frequencies_are_named_apart_and_in_place(spec: LogMelSpec) -> None:
    ticks = frequency_ticks(spec, lambda hz: 2.0 * float(band_of_hz(hz, spec)), 16.0)
    places = [place for place, _ in ticks]
    assert len(places) >= 5
    assert min(abs(a - b) for i, a in enumerate(places) for b in places[:i]) >= 16.0
    assert "2000" in {words for _, words in ticks}
    for place, words in ticks:
        edges = mel_edges_hz(spec)
        meant = np.interp(place / 2.0 + 0.5, np.arange(spec.n_mels + 2), edges)
        assert float(words) == pytest.approx(meant, abs=edges[-1] - edges[-2])


def test_scales_have_round_steps() -> None:
    assert round_ticks(0.0, 30.0, 8).tolist() == [0, 5, 10, 15, 20, 25, 30]
    assert round_ticks(-57.0, 3.0, 4).tolist() == [-40, -20, 0]
    assert round_ticks(0.0, 0.5, 5).tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("frames", [np.zeros((0, 128)), np.zeros((5, 64)), np.zeros(128)])
def test_what_is_no_log_mel_is_refused(frames: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"expected \[n, 128\]"):
        spectrogram_png(frames.astype(np.float32), SPEC, title="x")


def test_silence_and_letters_the_font_lacks_are_drawn_all_the_same() -> None:
    shown = indices(spectrogram_png(np.full((1, 128), -100.0, np.float32), SPEC, title="Lüfter 風扇"))
    assert shown.shape == (328, 800)


def test_without_pillow_the_remedy_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    canvas._pillow.cache_clear()
    with pytest.raises(UnavailableError, match="pip install pillow"):
        spectrogram_png(np.zeros((9, 128), np.float32), SPEC, title="x")
    monkeypatch.undo()
    canvas._pillow.cache_clear()
