"""Weights that others trained and published, given by path: found, named for provenance, and missed in words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_asd.config.nearest import nearest
from edge_asd.errors import ConfigError, MissingInputError


@dataclass(frozen=True)
class Published:
    """Published weights at hand. paths: name -> file or directory. sha256: name -> hash of its content."""

    paths: dict[str, Path]
    sha256: dict[str, str]

    def provenance(self) -> dict[str, str]:
        """For model packages: file names and hashes, no places on this disk; nothing where no weights are at hand."""
        told = [f"{name}: {path.name}, sha256 {self.sha256[name]}" for name, path in self.paths.items()]
        return {"published_weights": "; ".join(told)} if told else {}


def published_weights(
    known: Mapping[str, str], given: Mapping[str, str], note: Callable[[str], None] = lambda line: None
) -> Published:
    """What is given of the weights a network can start from.

    known: name -> what the file is and where it is published. given: name -> path; "" is not given. note: warned of
    each that is not given, for its part of the network then starts from random weights.

    Raises ConfigError for a name the network does not know, MissingInputError for a path that is not there: random
    weights are taken only where none were named.
    """
    for name in given:
        if name not in known:
            raise ConfigError(
                f"weights {name!r}: this recipe's network starts from no such",
                remedy=f"it takes {', '.join(known)}; nearest is {nearest(name, known)!r}" if known else "leave it out",
            )
    paths = {name: Path(path) for name, path in given.items() if path}
    for name, path in paths.items():
        if not path.exists():
            raise MissingInputError(
                f"weights {name!r}: {path} is not there, and no random ones were taken in its place",
                remedy=f"{known[name]}; or leave it away to start from random weights",
            )
    for name in sorted(set(known) - set(paths)):
        note(f"warning: weights {name!r} are not given ({known[name]}): random weights are used in their place; "
             f"--weights {name}=PATH")  # fmt: skip
    return Published(paths, {name: _sha256(path) for name, path in paths.items()})


def _sha256(path: Path) -> str:
    """Of a file's content, or of all files below a directory with their names."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()} {_sha256(file)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as content:
        while part := content.read(2**22):
            digest.update(part)
    return digest.hexdigest()
