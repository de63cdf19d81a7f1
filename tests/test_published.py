"""The paper's numbers: complete, consistent with each other, and reachable by name."""

import pytest

from s1lib.artifacts import RunError
from s1lib.published import accuracy, published


def test_table_7_adds_up_to_the_collected_questions():
    assert sum(row["n"] for row in published("table_7")) == 59_029
    assert len(published("table_7")) == 16


def test_the_domains_of_figure_2_are_51_and_hold_the_whole_selection():
    domains = published("figure_2_domains")
    assert len(domains) == 51
    assert sum(row["n"] for row in domains) == 1_000


def test_every_accuracy_of_figure_1_is_a_whole_number_of_problems():
    for points in published("figure_1").values():
        for point in points:
            correct = point["value"] * point["n"] / 100
            assert correct == pytest.approx(round(correct), abs=0.01)


def test_no_budgeted_run_of_figure_1_thinks_longer_than_its_budget():
    points = [point for curve in published("figure_1").values() for point in curve]
    assert all(p["thinking_tokens"] <= p["budget"] for p in points if p["budget"])


@pytest.mark.parametrize("name", ["table_12", "table_13"])
def test_tables_12_and_13_have_the_runs_of_table_3(name):
    for printed in published(name):
        (short,) = (r["short"] for r in published("table_3") if r["method"] == printed["method"])
        runs = {str(run["asked"]): run for run in published("table_3_runs")[short]}
        run = runs[printed["asked"]]
        assert run["thinking_tokens"] == printed["thinking tokens"]
        assert run["value"] == pytest.approx(printed["AIME24"], abs=0.05)


def test_the_funnel_narrows_at_every_step():
    for counts in ("paper", "notebook"):
        steps = [row[counts] for row in published("funnel")]
        assert steps == sorted(steps, reverse=True)


def test_a_row_of_a_table_is_found_by_its_columns():
    assert accuracy("table_4", "AIME24", string="Wait") == 53.3
    assert accuracy("table_1", "GPQA", model="Qwen2.5-32B-Instruct") == 49.0
    with pytest.raises(RunError, match="2 rows of table_1"):
        accuracy("table_1", "MATH500", examples="17K")


def test_changing_what_was_returned_leaves_the_numbers_alone():
    published("table_4")[0]["AIME24"] = 0.0
    assert published("table_4")[0]["AIME24"] == 50.0


def test_an_unknown_figure_is_refused_by_name():
    with pytest.raises(RunError, match="figure_12"):
        published("figure_12")
