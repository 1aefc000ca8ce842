"""Setting one value in a config file and leaving the rest as it is."""

from __future__ import annotations

import pytest
import yaml

from edge_asd.config.edit import with_setting
from edge_asd.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "model:\n  runtime: litert\n"),
        ("audio: {device: mic0}", "audio: {device: mic0}\nmodel:\n  runtime: litert\n"),
        ("model:\n  bundle: a.asd # x\n", "model:\n  runtime: litert\n  bundle: a.asd # x\n"),
        ("model:\n    runtime: auto  # was\n", "model:\n    runtime: litert  # was\n"),
        ("model:\n  runtime: 'auto'\n", "model:\n  runtime: litert\n"),
        ("model:\naudio: {}\n", "model:\n  runtime: litert\naudio: {}\n"),
    ],
)
def test_the_value_is_set_and_all_else_stays(text: str, wanted: str) -> None:
    assert with_setting(text, "model", "runtime", "litert") == wanted
    assert yaml.safe_load(wanted)["model"]["runtime"] == "litert"


def test_what_cannot_be_edited_line_by_line_is_left_alone() -> None:
    with pytest.raises(ConfigError, match="in braces"):
        with_setting("model: {runtime: auto}\n", "model", "runtime", "litert")
    with pytest.raises(ConfigError, match="not valid YAML"):
        with_setting("model: [\n", "model", "runtime", "litert")
