"""Secrets come from files or credentials, and never come out again by themselves."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest

from edge_asd.errors import ConfigError, MissingInputError
from edge_asd.outputs.secrets import MAX_BYTES, Secret, read_secret

HIDDEN = "hunter2"


def secret_file(folder: Path, content: str = f"{HIDDEN}\n", mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_text(content)
    path.chmod(mode)
    return path


def test_a_file_is_read_without_its_line_break(tmp_path: Path) -> None:
    path = secret_file(tmp_path, " two words \r\n")
    assert read_secret("mqtt.password_file", str(path), {}, warn=pytest.fail).reveal() == b" two words "


def test_a_credential_is_looked_up_where_systemd_put_it(tmp_path: Path) -> None:
    secret_file(tmp_path, mode=0o440)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_secret("x", "credential:secret", environment, warn=pytest.fail).text() == HIDDEN
    with pytest.raises(ConfigError, match="LoadCredential=secret:FILE"):
        read_secret("x", "credential:secret", {}, warn=pytest.fail)
    with pytest.raises(ConfigError, match="no slash"):
        read_secret("x", "credential:../secret", environment, warn=pytest.fail)
    with pytest.raises(MissingInputError):
        read_secret("x", "credential:other", environment, warn=pytest.fail)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_others_can_read_is_warned_about(tmp_path: Path, mode: int) -> None:
    said: list[str] = []
    path = secret_file(tmp_path, mode=mode)
    read_secret("webhook.secret_file", str(path), {}, warn=said.append)
    assert said == [f"warning: webhook.secret_file: other users can read {path}; mend it: chmod 600 {path}"]


def test_what_is_no_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="does not exist"):
        read_secret("x", str(tmp_path / "none"), {}, warn=pytest.fail)
    with pytest.raises(ConfigError, match="is empty"):
        read_secret("x", str(secret_file(tmp_path, "\n")), {}, warn=pytest.fail)
    with pytest.raises(ConfigError, match="is over"):
        read_secret("x", str(secret_file(tmp_path, "x" * (MAX_BYTES + 1))), {}, warn=pytest.fail)


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(HIDDEN.encode())
    holder = {"password": secret}
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", repr(holder), "%s" % (secret,)]  # noqa: UP031
    try:
        raise ValueError(secret)
    except ValueError:
        shown.append(traceback.format_exc())
    assert not any(HIDDEN in text for text in shown)
    with pytest.raises(TypeError, match="not stored"):
        pickle.dumps(secret)
    with pytest.raises(ConfigError) as raised:
        Secret(HIDDEN.encode() + b"\xff").text()
    assert HIDDEN not in "".join(traceback.format_exception(raised.value))
