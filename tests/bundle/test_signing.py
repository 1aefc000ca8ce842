"""Signed bundles: what was changed in any way is refused, before it is read; minisign agrees with all of it."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="pip install 'edge-asd[signing]'")

from edge_asd.bundle.bundle import Bundle, load_bundle, save_bundle
from edge_asd.bundle.signing import PublicKey, SecretKey, signature_path, signed_by
from edge_asd.cli import main
from edge_asd.errors import DataError, MissingInputError
from edge_asd.service.install import CONFIG

DATA = b"a bundle, nearly"
SECRET = SecretKey(b"12345678", bytes(range(32)))


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_ASD_CONFIG", raising=False)


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    path = tmp_path / "fan.asd"
    save_bundle(tiny_bundle, path)
    return path


@pytest.fixture
def key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "plant.key"
    assert main(["sign", "--new-key", str(path)]) == 0
    capsys.readouterr()
    return path


def test_what_is_signed_is_taken_with_its_comment() -> None:
    signature = SECRET.sign(DATA, "file:fan.asd")
    assert PublicKey.parse(SECRET.public.text, "k").check(DATA, signature, "s") == "file:fan.asd"
    assert SecretKey.parse(SECRET.text, "k") == SECRET


def test_a_change_of_any_part_is_refused() -> None:
    public, signature = SECRET.public, SECRET.sign(DATA, "file:fan.asd")
    lines = signature.splitlines()
    changed = [lines[0], lines[1], "trusted comment: file:pump.asd", lines[3]]
    for text, data in ((signature, DATA + b"!"), (signature, b""), ("\n".join(changed), DATA)):
        with pytest.raises(DataError, match="the signature does not fit"):
            public.check(data, text, "s")
    head = bytearray(base64.b64decode(lines[1]))
    for at in (10, 40, 73):
        bent = bytes([*head[:at], head[at] ^ 1, *head[at + 1 :]])
        text = "\n".join([lines[0], base64.b64encode(bent).decode(), *lines[2:]])
        with pytest.raises(DataError, match="the signature does not fit"):
            public.check(DATA, text, "s")


def test_another_key_is_named() -> None:
    other = SecretKey(b"87654321", bytes(32))
    with pytest.raises(DataError, match="signed with key 3132333435363738, and 3837363534333231 is trusted"):
        SECRET.public.check(DATA, other.sign(DATA, "x"), "s")
    same_number = SecretKey(SECRET.number, bytes(32))
    with pytest.raises(DataError, match="does not fit"):
        SECRET.public.check(DATA, same_number.sign(DATA, "x"), "s")


@pytest.mark.parametrize("text", ["", "x", "untrusted comment: x\n", "untrusted comment: x\n!!!!\n", "\0" * 100])
def test_what_is_no_key_and_no_signature_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        PublicKey.parse(text, "k")
    with pytest.raises(DataError):
        SecretKey.parse(text, "k")
    with pytest.raises(DataError):
        SECRET.public.check(DATA, text, "s")
    signature = SECRET.sign(DATA, "x")
    with pytest.raises(DataError):
        SECRET.public.check(DATA, signature.splitlines()[0] + "\n" + text, "s")


def test_a_secret_key_does_not_show_itself() -> None:
    assert "seed" not in repr(SECRET)


def test_the_bytes_that_are_checked_are_those_that_are_loaded(bundle: Path, tmp_path: Path) -> None:
    """The file is exchanged as soon as it has been checked: what is loaded is what was signed."""
    signature_path(bundle).write_text(SECRET.sign(bundle.read_bytes(), "x"))
    check = signed_by(SECRET.public, bundle)

    def check_and_exchange(data: bytes) -> None:
        check(data)
        bundle.write_bytes(b"something else")

    assert load_bundle(bundle, check=check_and_exchange).contract.name == "tiny"
    with pytest.raises(DataError, match="does not fit"):
        load_bundle(bundle, check=check)


def test_a_refused_file_is_not_even_parsed(bundle: Path) -> None:
    bundle.write_bytes(b"not a bundle at all")
    with pytest.raises(DataError, match="is not signed"):
        load_bundle(bundle, check=signed_by(SECRET.public, bundle))


def test_sign_and_check_from_the_command_line(bundle: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public = key.with_suffix(".pub")
    assert key.stat().st_mode & 0o777 == 0o600
    assert main(["sign", str(bundle), "--key", str(key)]) == 0
    assert main(["sign", str(bundle), "--check", str(public)]) == 0
    assert capsys.readouterr().out == f"{signature_path(bundle)}\n{bundle}: signed\n"
    bundle.write_bytes(bundle.read_bytes() + b"\0")
    assert main(["sign", str(bundle), "--check", str(public)]) == 65
    assert main(["sign", "--new-key", str(key)]) == 2
    assert "written over is lost for ever" in capsys.readouterr().err
    bundle.write_bytes(b"no bundle")
    assert main(["sign", str(bundle), "--key", str(key)]) == 65
    assert main(["sign", str(bundle), "--key", str(public)]) == 65
    assert main(["sign", "--key", str(key)]) == 2


@pytest.mark.parametrize("command", ["score", "run"])
def test_commands_refuse_a_bundle_that_is_not_signed_as_wanted(
    command: str, bundle: Path, key: Path, tmp_path: Path, steady_sound, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", steady_sound(4.0), 16000)
    config = tmp_path / "fan.yaml"
    config.write_text("model: {bundle: fan.asd, public_key: plant.pub}\n")
    sound = {"score": [str(tmp_path / "a.wav")], "run": ["--input", str(tmp_path / "a.wav"), "--fast", "--json"]}
    words = [command, "--config", str(config), *sound[command]]
    assert main(words) == 65
    assert "fan.asd is not signed (fan.asd.minisig is missing)" in capsys.readouterr().err
    assert main(["sign", str(bundle), "--key", str(key)]) == 0
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.count("\n") >= 1
    other = tmp_path / "other.key"
    main(["sign", "--new-key", str(other)])
    main(["sign", str(bundle), "--key", str(other)])
    capsys.readouterr()
    assert main(words) == 65
    assert re.search(r"signed with key \w{16}, and \w{16} is trusted", capsys.readouterr().err)
    (tmp_path / "plant.pub").write_text("nonsense")
    assert main(words) == 78
    (tmp_path / "plant.pub").unlink()
    assert main(words) == 66


def test_without_the_package_a_signed_bundle_is_refused_with_what_mends_it(
    bundle: Path, key: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    main(["sign", str(bundle), "--key", str(key)])
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert main(["sign", str(bundle), "--check", str(key.with_suffix(".pub"))]) == 69
    assert "pip install 'edge-asd[signing]'" in capsys.readouterr().err


def test_the_service_is_installed_with_key_and_signature_and_upgraded_only_with_signed_bundles(
    bundle: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "image"
    root.mkdir()
    words = ["service", "install", "--root", str(root), "--bundle", str(bundle), "--device", "mic0"]
    words += ["--program", "/opt/edge-asd/bin/edge-asd"]
    signed = [*words, "--public-key", str(key.with_suffix(".pub"))]
    assert main(signed) == 65
    assert list(root.iterdir()) == []
    assert main(["sign", str(bundle), "--key", str(key)]) == 0
    assert main(signed) == 0
    installed = root / CONFIG.parent
    assert (installed / "fan.asd.minisig").read_bytes() == signature_path(bundle).read_bytes()
    assert "public_key: plant.pub" in (root / CONFIG).read_text()
    assert main(["sign", str(installed / "fan.asd"), "--check", str(installed / "plant.pub")]) == 0
    bundle.write_bytes(bundle.read_bytes() + b"\0")
    capsys.readouterr()
    assert main(words) == 65, "the key that is configured counts for upgrades, too"
    assert "does not fit" in capsys.readouterr().err


@pytest.fixture
def minisign() -> str:
    program = shutil.which("minisign")
    if program is None:
        pytest.skip("minisign is not installed (apt install minisign)")
    return program


def test_minisign_takes_our_keys_and_signatures(minisign: str, bundle: Path, key: Path) -> None:
    main(["sign", str(bundle), "--key", str(key)])
    check = [minisign, "-V", "-p", str(key.with_suffix(".pub")), "-m", str(bundle)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "file:fan.asd" in done.stdout
    signature_path(bundle).unlink()
    subprocess.run([minisign, "-S", "-s", str(key), "-m", str(bundle)], check=True, capture_output=True)
    assert main(["sign", str(bundle), "--check", str(key.with_suffix(".pub"))]) == 0


def test_we_take_minisigns_keys_and_signatures(minisign: str, bundle: Path, tmp_path: Path) -> None:
    public, secret = tmp_path / "m.pub", tmp_path / "m.key"
    subprocess.run([minisign, "-G", "-W", "-p", str(public), "-s", str(secret)], check=True, capture_output=True)
    subprocess.run([minisign, "-S", "-s", str(secret), "-m", str(bundle)], check=True, capture_output=True)
    assert main(["sign", str(bundle), "--check", str(public)]) == 0
    signature_path(bundle).unlink()
    assert main(["sign", str(bundle), "--key", str(secret)]) == 0
    assert main(["sign", str(bundle), "--check", str(public)]) == 0


def test_a_key_that_is_not_there_is_said(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="--new-key"):
        from edge_asd.bundle.signing import read_text

        read_text(tmp_path / "none.pub")
    assert main(["sign", str(bundle), "--key", str(tmp_path / "none.key")]) == 66
    assert main(["sign", str(bundle), "--key", "/dev/zero"]) == 65
