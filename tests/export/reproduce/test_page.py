import pytest

from edge_asd.errors import DataError
from export.reproduce.page import BEGIN, END, Outcome, figures_part, filled
from export.reproduce.published import published_systems


def evaluation(year, n_clips, sections=21):
    parts = {"auc_source": 0.8, "auc_target": 0.7, "pauc": 0.6}
    return {
        "datasets": [{"year": year, "name": f"DCASE {year}"}],
        "cases": [
            {"machine": f"m{i // 3}", "components": parts, "n_normal": n_clips // 2, "n_anomaly": n_clips // 2}
            for i in range(sections)
        ],
        "failed": [],
    }


def vit():
    return published_systems()[0]


def test_both_tables_stand_side_by_side():
    part = figures_part([Outcome(vit(), "vit-knn", evaluation(2022, 200), about="Trained.")], "the set")
    assert "Measured on: the set" in part
    assert "| ToyCar | 87.09 | 71.18 | 54.10 |" in part
    assert "| m0 | - | - | - | - | 80.00 | 70.00 | 60.00 | 69.04 |" in part
    assert "| vit-knn, system 1 | 64.99 (DCASE 2022 dev) | 69.04 | `vit-knn` | yes |" in part
    assert "cannot be compared" not in part


@pytest.mark.parametrize("other", [evaluation(2023, 200), evaluation(2022, 8), evaluation(2022, 200, sections=3)])
def test_other_data_than_the_reports_is_said_plainly(other):
    part = figures_part([Outcome(vit(), "vit-knn", other)], "the set")
    assert "not comparable" in part and "the two halves of the table cannot be compared" in part


def test_a_system_that_failed_says_why_and_shows_the_published_table():
    part = figures_part([Outcome(vit(), "vit-knn", None, reason="training failed (exit code 65)")], "the set")
    assert "Ours: none, training failed (exit code 65)." in part
    assert "| valve | 63.74 | 56.16 | 53.33 |" in part


def test_what_stands_around_the_figures_stays(tmp_path):
    page = tmp_path / "SEEDS.md"
    page.write_text(f"# Head\n{BEGIN}\nold\n{END}\nfoot\n")
    assert filled(page, "new") == f"# Head\n{BEGIN}\nnew\n{END}\nfoot\n"
    page.write_text("no marks")
    with pytest.raises(DataError, match="has no lines"):
        filled(page, "new")
    assert filled(tmp_path / "none.md", "new").count("new") == 1
