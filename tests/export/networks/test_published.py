import hashlib

import pytest

from edge_asd.errors import ConfigError, MissingInputError
from export.networks.published import published_weights

KNOWN = {"panns": "ResNet38.pth, published at example.org"}


def test_weights_that_are_not_given_are_warned_of_with_their_place():
    lines = []
    assert published_weights(KNOWN, {}, lines.append).paths == {}
    (line,) = lines
    assert "'panns'" in line and "example.org" in line and "random weights are used" in line


def test_a_path_that_is_not_there_never_means_random_weights(tmp_path):
    with pytest.raises(MissingInputError, match=r"absent\.pth is not there, and no random ones.*example\.org"):
        published_weights(KNOWN, {"panns": str(tmp_path / "absent.pth")})
    with pytest.raises(ConfigError, match=r"'pans'.*nearest is 'panns'"):
        published_weights(KNOWN, {"pans": "x"})


def test_files_and_directories_are_named_by_their_content(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"weights")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "config.json").write_text("{}")
    known = {"panns": "", "ast": ""}
    found = published_weights(known, {"panns": str(tmp_path / "a.pth"), "ast": str(tmp_path / "dir")})
    told = found.provenance()["published_weights"]
    assert told.startswith(f"panns: a.pth, sha256 {hashlib.sha256(b'weights').hexdigest()}; ast: dir, sha256 ")
    assert str(tmp_path) not in str(found.provenance())
    (tmp_path / "dir" / "config.json").write_text("{1}")
    again = published_weights(known, {"panns": str(tmp_path / "a.pth"), "ast": str(tmp_path / "dir")})
    assert again.sha256["panns"] == found.sha256["panns"] and again.sha256["ast"] != found.sha256["ast"]
