"""The official score of each year against numbers worked out by hand and AUCs of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from edge_asd.evaluation.bootstrap import interval, redraws
from edge_asd.evaluation.figures import Outcome, figures_of, official_interval
from edge_asd.evaluation.official import MIMII, combine, components

# Two normal and two anomalous clips of each domain. Source: all four pairs right. Target: its normals are at 5 and 6.
SCORES = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 5.5, 7.0])
ANOMALOUS = np.array([0, 0, 1, 1, 0, 0, 1, 1], bool)
DOMAINS = np.array(["source"] * 4 + ["target"] * 4)


def test_by_hand_2020() -> None:
    found = components(2020, SCORES, ANOMALOUS, DOMAINS)
    # 16 pairs; anomalies at 3 and 4 beat two normals each, 5.5 beats three, 7 beats four: 11 of 16.
    assert found["auc"] == pytest.approx(11 / 16)
    assert found["pauc"] == pytest.approx(roc_auc_score(ANOMALOUS, SCORES, max_fpr=0.1))
    assert combine(2020, [0.5, 0.9, 0.7, 0.7]) == pytest.approx(0.7)
    assert components(MIMII, SCORES, ANOMALOUS, DOMAINS) == found


def test_by_hand_2021() -> None:
    found = components(2021, SCORES, ANOMALOUS, DOMAINS)
    assert found["auc_source"] == 1.0
    assert found["auc_target"] == pytest.approx(3 / 4)  # 5.5 lies under 6
    assert found["pauc_source"] == 1.0
    target = DOMAINS == "target"
    assert found["pauc_target"] == pytest.approx(roc_auc_score(ANOMALOUS[target], SCORES[target], max_fpr=0.1))
    assert combine(2021, [0.5, 1.0]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("year", [2022, 2023, 2024, 2025, 2026])
def test_by_hand_since_2022(year: int) -> None:
    found = components(year, SCORES, ANOMALOUS, DOMAINS)
    assert list(found) == ["auc_source", "auc_target", "pauc"]
    assert found["auc_source"] == 1.0  # normals 1 and 2 against all four anomalies
    assert found["auc_target"] == pytest.approx(3 / 8)  # 5 and 6 against 3, 4 (none), 5.5 (one) and 7 (two)
    assert found["pauc"] == pytest.approx(roc_auc_score(ANOMALOUS, SCORES, max_fpr=0.1))
    assert combine(year, [1.0, 0.5, 0.5]) == pytest.approx(3 / 5)


def test_random_scores_equal_scikit_learn_domain_by_domain() -> None:
    rng = np.random.default_rng(4)
    scores, anomalous = rng.normal(size=200), rng.random(200) < 0.5
    domains = np.where(rng.random(200) < 0.2, "target", "source")
    found = components(2023, scores, anomalous, domains)
    for domain in ("source", "target"):
        chosen = (domains == domain) | anomalous
        assert found[f"auc_{domain}"] == pytest.approx(roc_auc_score(anomalous[chosen], scores[chosen]))


def test_what_is_missing_is_left_out_and_zero_does_not_divide() -> None:
    assert combine(2023, [None, 0.5, None, 1.0]) == pytest.approx(2 / 3)
    assert combine(2023, [None]) is None
    assert combine(2023, [0.0, 1.0]) == pytest.approx(0.0, abs=1e-12)
    only_source = components(2023, SCORES[:4], ANOMALOUS[:4], DOMAINS[:4])
    # Anomalies of the source are there, but no normal clip of the target.
    assert only_source["auc_target"] is None and only_source["auc_source"] == 1.0


def outcome(**changes) -> Outcome:
    n = len(SCORES)
    whole = {
        "scores": SCORES,
        "anomalous": ANOMALOUS,
        "domains": DOMAINS,
        "groups": [""] * n,
        "seconds": np.full(n, 10.0),
        "alarms": np.zeros(n, int),
        "delay_s": np.full(n, np.inf),
    }
    return Outcome(**{**whole, **changes})


def test_figures_of_a_case() -> None:
    delay_s = np.array([np.inf, np.inf, 2.0, np.inf, 1.0, np.inf, 3.0, 7.0])
    alarms = np.array([0, 0, 9, 9, 1, 2, 9, 9])
    figures, drawn = figures_of(outcome(delay_s=delay_s, alarms=alarms), 5.2, 2023, seed=1)
    assert figures.auc == pytest.approx(11 / 16)
    assert figures.far == pytest.approx(1 / 4)
    assert figures.false_alarms_per_day == pytest.approx(3 * 86400 / 40)
    # Exact Poisson limits of a count of 3: 0.619 and 8.767 (Garwood's tables).
    low, high = figures.false_alarms_per_day_ci
    assert (low * 40 / 86400, high * 40 / 86400) == pytest.approx((0.6187, 8.7673), abs=1e-3)
    assert figures.normal_hours == pytest.approx(40 / 3600)
    assert figures.found == pytest.approx(3 / 4)
    assert figures.time_to_detection_s == 3.0
    assert figures.domains["target"].auc == pytest.approx(3 / 8)
    assert figures.domains["target"].n_normal == 2 and figures.domains["target"].n_anomaly == 4
    assert figures.components == components(2023, SCORES, ANOMALOUS, DOMAINS)
    assert len(drawn) > 100


def test_half_missed_has_no_median_time() -> None:
    delay_s = np.array([np.inf, np.inf, 2.0, np.inf, 1.0, np.inf, np.inf, np.inf])
    figures, _ = figures_of(outcome(delay_s=delay_s), 5.2, None, seed=1)
    assert figures.found == pytest.approx(1 / 4)
    assert figures.time_to_detection_s is None


def test_figures_nobody_can_give_are_none() -> None:
    normal = ~ANOMALOUS
    cut = {name: getattr(outcome(), name)[normal] for name in ("scores", "anomalous", "domains", "seconds", "alarms",
                                                             "delay_s")}  # fmt: skip
    figures, _ = figures_of(outcome(**cut, groups=[""] * 4), 5.2, 2023, seed=1)
    assert figures.auc is figures.pauc is figures.auc_ci is figures.found is figures.time_to_detection_s is None
    assert figures.far == pytest.approx(1 / 4)
    empty = {name: values[:0] for name, values in cut.items()}
    figures, drawn = figures_of(outcome(**empty, groups=[]), 5.2, 2023, seed=1)
    assert figures.far is figures.false_alarms_per_day is None and drawn == []


def test_groups_are_drawn_whole_and_both_labels_always_there() -> None:
    groups, anomalous = ["a", "a", "b", "b", "", ""], np.array([0, 0, 0, 0, 1, 1], bool)
    for index in redraws(groups, anomalous, seed=3, n_draws=50):
        counts = np.bincount(index, minlength=6)
        assert counts[0] == counts[1] and counts[2] == counts[3]
        assert counts[:4].sum() == 4 and counts[4:].sum() == 2


def test_intervals_widen_with_groups_and_repeat_with_the_seed() -> None:
    rng = np.random.default_rng(0)
    session = np.repeat(rng.normal(size=20), 10)
    scores = session + 0.1 * rng.normal(size=200) + 1.0 * (np.arange(200) >= 100)
    anomalous = np.arange(200) >= 100
    blank = {"domains": np.full(200, ""), "seconds": np.ones(200), "alarms": np.zeros(200, int)}
    blank["delay_s"] = np.full(200, np.inf)
    groups = [f"s{i // 10}" for i in range(200)]
    by_group, _ = figures_of(Outcome(scores, anomalous, groups=groups, **blank), 0.0, None, seed=5)
    again, _ = figures_of(Outcome(scores, anomalous, groups=groups, **blank), 0.0, None, seed=5)
    by_clip, _ = figures_of(Outcome(scores, anomalous, groups=[""] * 200, **blank), 0.0, None, seed=5)
    assert by_group == again
    assert by_group.auc_se > 2 * by_clip.auc_se
    low, high = by_group.auc_ci
    assert low < by_group.auc < high


def test_interval_of_the_official_score() -> None:
    assert official_interval(2020, [[[0.4, 0.6]] * 3, [[0.8, 1.0]] * 3, []]) == pytest.approx((0.7, 0.7))
    assert official_interval(2020, [[]]) is None
    assert interval([]) is None
