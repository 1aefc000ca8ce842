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
        ("model: {runtime: auto}\n", "model: {runtime: litert}\n"),
        ("model: {} # none\n", "model:  # none\n  runtime: litert\n"),
        ("model: null\n", "model: \n  runtime: litert\n"),
        ("model:\n  runtime:  # not yet\n\n  bundle: a\n", "model:\n  runtime: litert  # not yet\n\n  bundle: a\n"),
    ],
)
def test_the_value_is_set_and_all_else_stays(text: str, wanted: str) -> None:
    assert with_setting(text, "model", "runtime", "litert") == wanted
    assert yaml.safe_load(wanted)["model"]["runtime"] == "litert"


@pytest.mark.parametrize(
    "text",
    [
        "model: {bundle: a}\n",
        "{}\n",
        "model:\n  runtime: >-\n    auto\n",
        "model:\n  runtime: &a auto\n  bundle: *a\n",
        "model: &m\n  bundle: a\n",
        "model: [a]\n",
        "audio: null\n...\n",
        "- model\n",
    ],
)
def test_what_cannot_be_edited_line_by_line_is_left_to_a_person(text: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.runtime cannot be set without rewriting the file") as caught:
        with_setting(text, "model", "runtime", "litert")
    assert caught.value.remedy == "write runtime: litert below model: by hand"


def test_a_file_that_is_no_yaml_is_told_as_such() -> None:
    with pytest.raises(ConfigError, match="not valid YAML"):
        with_setting("model: [\n", "model", "runtime", "litert")
