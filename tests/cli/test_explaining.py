"""`edge-asd explain`: words and numbers on stdout, a picture where it is asked for, and nothing lost by mistake."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from edge_asd.bundle.bundle import save_bundle
from edge_asd.cli import main
from edge_asd.frontend import log_mel
from edge_asd.pictures import colours


@pytest.fixture(scope="module")
def bundle(tiny_bundle, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("explain") / "fan.asd"
    save_bundle(tiny_bundle, path)
    return path


@pytest.fixture(scope="module")
def clip(steady_sound, tmp_path_factory) -> Path:
    """8 s of the enrolled machine with a tone of 3.1 kHz from 4 s on."""
    path = tmp_path_factory.mktemp("explain") / "odd.wav"
    sound = np.concatenate((steady_sound(4.0, seed=3), steady_sound(4.0, seed=4, tone_hz=3100.0)))
    soundfile.write(path, sound, 16000)
    return path


def test_words_come_on_stdout_and_the_picture_where_it_was_asked_for(bundle, clip, tmp_path, capsys) -> None:
    out = tmp_path / "why.png"
    assert main(["explain", str(clip), "--bundle", str(bundle), "--out", str(out)]) == 0
    said = capsys.readouterr()
    first, second, *_ = said.out.splitlines()
    assert first.startswith(f"{clip}: anomalous, score ")
    assert "new tone near 3.1 kHz, +" in second
    assert str(out) in said.err
    picture = Image.open(io.BytesIO(out.read_bytes()))
    assert picture.width == 800
    assert (np.asarray(picture) == colours.MARK).any()


def test_json_holds_the_findings_and_the_moment(bundle, clip, capsys) -> None:
    assert main(["explain", str(clip), "--bundle", str(bundle), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["anomalous"] is True
    assert data["score"] > data["threshold"]
    assert 4.0 < data["peak_time_s"] < 8.0
    assert 3.0 < data["from_s"] < data["peak_time_s"] < data["to_s"] <= 8.1
    tone = data["findings"][0]
    assert tone["kind"] == "tone"
    assert tone["frequency_hz"] == pytest.approx(3100, rel=0.01)
    assert data["explanation"].startswith(tone["text"])
    assert data["picture"] is None


def test_a_dump_of_log_mel_says_the_same(bundle, clip, tiny_bundle, tmp_path, capsys) -> None:
    samples, _ = soundfile.read(clip, dtype="float32")
    np.save(tmp_path / "odd.npy", log_mel(samples, tiny_bundle.contract.features))
    found = []
    for path in (clip, tmp_path / "odd.npy"):
        assert main(["explain", str(path), "--bundle", str(bundle), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["findings"])
    # Sound files go through a DC block, so the lowest bands differ a little.
    assert [finding["kind"] for finding in found[0]][:1] == [finding["kind"] for finding in found[1]][:1] == ["tone"]
    assert found[0][0]["frequency_hz"] == pytest.approx(found[1][0]["frequency_hz"], rel=1e-3)
    assert found[0][0]["change_db"] == pytest.approx(found[1][0]["change_db"], abs=0.2)


def test_a_normal_clip_is_called_normal_and_a_short_one_is_explained(bundle, steady_sound, tmp_path, capsys) -> None:
    soundfile.write(tmp_path / "short.wav", steady_sound(0.2, seed=6), 16000)
    assert (
        main(["explain", str(tmp_path / "short.wav"), "--bundle", str(bundle), "--out", str(tmp_path / "s.png")]) == 0
    )
    soundfile.write(tmp_path / "fine.wav", steady_sound(64.0, seed=1), 16000)
    capsys.readouterr()
    assert main(["explain", str(tmp_path / "fine.wav"), "--bundle", str(bundle)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert ": normal, score " in first
    assert "nothing specific" in second


def test_a_picture_is_not_replaced_unless_asked(bundle, clip, tmp_path, capsys) -> None:
    out = tmp_path / "why.png"
    out.write_bytes(b"mine")
    words = ["explain", str(clip), "--bundle", str(bundle), "--out", str(out)]
    assert main(words) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert main([*words, "--force"]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["{clip}"], 2, "--bundle"),
        (["{tmp}/none.wav", "--bundle", "{bundle}"], 66, "none.wav"),
        (["{clip}", "--bundle", "{tmp}/none.asd"], 66, "edge-asd enroll"),
        (["{bundle}", "--bundle", "{bundle}"], 65, "fan.asd"),
        (["{tmp}", "--bundle", "{bundle}"], 65, "directory"),
        (["{clip}", "--bundle", "{bundle}", "--out", "{tmp}"], 2, "a directory"),
        (["{clip}", "--bundle", "{bundle}", "--out", "{tmp}/why.jpg"], 2, "name it why.png"),
        (["{clip}", "--bundle", "{bundle}", "--out", "{tmp}/none/why.png"], 66, "make it first"),
        (["{clip}", "--bundle", "{bundle}", "--out", "/dev/null", "--force"], 74, "choose another name"),
    ],
)
def test_mistakes_end_with_their_code_and_a_remedy(words, code, said, bundle, clip, tmp_path, capsys) -> None:
    filled = [word.format(clip=clip, tmp=tmp_path, bundle=bundle) for word in words]
    assert main(["explain", *filled]) == code
    assert said in capsys.readouterr().err
