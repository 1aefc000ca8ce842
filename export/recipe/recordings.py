"""The part of a recipe that speaks of recordings: which to learn from, by which classes, and how machines are enrolled.

It matters for data sets whose clips name machine and section (`edge_asd.evaluation.clip_names`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_asd.errors import ConfigError

CLASS_PARTS = ("machine", "section", "domain", "attributes")
"""What can make two recordings belong to different classes."""
MODELS = ("all", "machine")

_NAMED_SECTIONS = {"dev": ("00", "01", "02"), "eval": ("03", "04", "05")}


def section_names(text: str) -> tuple[str, ...] | None:
    """ "dev" -> 00, 01, 02; "eval" -> 03, 04, 05 (2021 and 2022); "0_3" -> 00, 03; "all" -> None: whatever there is.

    Raises ConfigError for anything else.
    """
    if text == "all":
        return None
    if text in _NAMED_SECTIONS:
        return _NAMED_SECTIONS[text]
    numbers = text.split("_")
    if not all(number.isdigit() for number in numbers):
        raise ConfigError(f"recordings: sections {text!r} are neither all, dev, eval nor numbers such as 0_3")
    return tuple(f"{int(number):02d}" for number in numbers)


@dataclass(frozen=True)
class Subset:
    """One of several networks of a recipe.

    name: of its directory. sections: it is trained on, as `RecordingSettings.sections`.
    machines: it is trained on; none named: all. epochs, steps: of its training; 0: the recipe's.
    serves: machine -> sections whose clips it scores; "*" stands for every machine not named.
    """

    name: str
    sections: str = "all"
    machines: tuple[str, ...] = ()
    epochs: int = 0
    steps: int = 0
    serves: dict[str, str] = field(default_factory=lambda: {"*": "all"})


@dataclass(frozen=True)
class RecordingSettings:
    """Which recordings of a data set are learnt from.

    years: the recipe was made for; a data set of another one is refused. None named: any.
    machines: none named: all.
    sections: "all", "dev" (00 to 02) or "eval" (03 to 05), or numbers joined by an underscore, such as "0_3".
    domains: of "source" and "target"; none named: all. Clips that name no domain count as source.
    classes: parts that tell classes apart, of `CLASS_PARTS`.
    models: "all": one network for all machines; "machine": one each.
    subsets: several networks, each trained on sections of its own and serving sections of its own.
    """

    years: tuple[int, ...] = ()
    machines: tuple[str, ...] = ()
    sections: str = "all"
    domains: tuple[str, ...] = ()
    classes: tuple[str, ...] = CLASS_PARTS
    models: str = "all"
    subsets: tuple[Subset, ...] = ()


@dataclass(frozen=True)
class ScoringSettings:
    """How the machines of a data set are enrolled after the training.

    scorer: as `edge-asd enroll --scorer` takes it; "": the default. machines: machine -> scorer, where it differs.
    aggregation: "mean": of a clip's windows, as published; "auto": chosen by the machine's sound.
    percentile: share of normal clips meant to stay below the clip threshold.
    smoothing_s: seconds of sound a stream's score averages; 0: the default.
    """

    scorer: str = ""
    machines: dict[str, str] = field(default_factory=dict)
    aggregation: str = "auto"
    percentile: float = 95.0
    smoothing_s: float = 0.0
