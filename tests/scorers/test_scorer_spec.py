"""How scorers are written, and what a wrong word is answered."""

from __future__ import annotations

import pytest

from edge_asd.errors import UsageError
from edge_asd.scorers import DEFAULT_SCORERS, parse_scorer, parse_scorers
from edge_asd.scorers.registry import MEASURES
from edge_asd.scorers.views import VIEWS


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("measure", MEASURES)
def test_every_view_has_every_measure_and_is_written_as_it_is_read(view: str, measure: str) -> None:
    if (view == "scores") != (measure == "column"):  # what is a distance already is measured by nothing else
        with pytest.raises(UsageError, match=f"{view} has no measure {measure}; there are "):
            parse_scorer(f"{view}:{measure}")
        return
    spec = parse_scorer(f"{view}:{measure}")
    assert str(spec) == f"{view}:{measure}"
    assert parse_scorer(str(spec)) == spec


def test_settings_come_back_and_defaults_are_left_out() -> None:
    spec = parse_scorer("ranked:knn,r=0.5,k=3")
    assert dict(spec.parameters) == {"r": 0.5, "k": 3}
    assert str(spec) == "ranked:knn,k=3,r=0.5"
    assert (spec.view_parameters, spec.measure_parameters) == ({"r": 0.5}, {"k": 3})
    assert str(parse_scorer("ranked:knn,r=0.99,k=1")) == "ranked:knn"


def test_scorers_with_the_same_view_and_settings_share_features() -> None:
    a, b, c = parse_scorers("ranked:knn,r=0.5+ranked:knn,r=0.5,k=2+ranked:knn")
    assert a.features == b.features != c.features


def test_several_are_joined_in_order() -> None:
    assert "+".join(map(str, parse_scorers(DEFAULT_SCORERS))) == DEFAULT_SCORERS


@pytest.mark.parametrize(
    "text, words",
    [
        ("embedding", r"scorer 'embedding': not VIEW:MEASURE; views: embedding, spectrum"),
        ("embeding:knn", r"view 'embeding' is not known; did you mean 'embedding'\?"),
        ("embedding:nkn", r"measure 'nkn' is not known; did you mean 'knn'\? There are knn"),
        ("embedding:knn,K=3", r"setting 'K' is not known; did you mean 'k'\?"),
        ("embedding:knn,r=0.5", r"setting 'r' is not known; did you mean 'k'\?"),
        ("embedding:knn,k=1.5", r"k is '1.5', expected a whole number from 1 to 1000"),
        ("embedding:knn,k=0", r"k is '0'"),
        ("embedding:knn,k", r"k is ''"),
        ("ranked:knn,r=nan", r"r is 'nan', expected a number from 0 to 2"),
        ("ranked:knn,r=2.1", r"r is '2.1'"),
        ("embedding:knn+embedding:knn,k=1", r"embedding:knn stands twice"),
        ("embedding:knn+", r"not VIEW:MEASURE"),
        ("", r"not VIEW:MEASURE"),
    ],
)
def test_a_wrong_word_is_named_with_the_nearest_right_one(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        parse_scorers(text)
    assert "\n" not in str(refused.value)
