"""Figures and tables follow from facts alone, and a figure can be drawn again from its data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from made_up import BENCHMARKS, all_facts, chapter_06, forced, point

from s1lib import figures, tables
from s1lib.artifacts import RunError, read_json
from s1lib.exhibits import EXHIBITS, index, make
from s1lib.results import Point, sequential, write_facts

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "10_figures.ipynb"


@pytest.fixture
def facts() -> dict[str, dict]:
    return all_facts()


@pytest.fixture(autouse=True)
def shared_style():
    figures.style()


DRAWN = [name for name, exhibit in EXHIBITS.items() if exhibit.draw]
PUBLISHED = {"figure_1", "table_3"}  # the published half stands alone


@pytest.mark.parametrize("name", EXHIBITS)
def test_every_exhibit_is_made(name, facts, tmp_path):
    made = make(name, facts, tmp_path)
    assert made is not None
    data = pd.read_csv(tmp_path / "figures" / f"{name}.csv")
    assert len(data) > 0
    drawing = tmp_path / "figures" / f"{name}.svg"
    assert drawing.is_file() == (EXHIBITS[name].draw is not None)


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_can_be_drawn_again_from_its_csv_to_the_byte(name, facts, tmp_path):
    make(name, facts, tmp_path)
    folder = tmp_path / "figures"
    table = pd.read_csv(folder / f"{name}.csv")
    again = figures.save(EXHIBITS[name].draw(table), tmp_path / "again.svg")
    assert again.read_bytes() == (folder / f"{name}.svg").read_bytes()


@pytest.mark.parametrize("name", EXHIBITS)
def test_an_exhibit_without_facts_is_skipped_with_its_chapter_named(name, tmp_path, capsys):
    made = make(name, {}, tmp_path)
    if name in PUBLISHED:
        assert made is not None
    else:
        assert made is None
        assert f"not run yet, chapter {EXHIBITS[name].chapter}" in capsys.readouterr().out
        assert not (tmp_path / "figures").exists()


def test_the_index_names_what_was_drawn_and_what_was_not_run(facts):
    del facts["07"]
    listed = index(facts).set_index("exhibit")["file"]
    assert listed["Figure 1"] == "figures/figure_1.svg"
    assert listed["Table 4"] == "figures/table_4.csv"
    assert listed["Figure 6"] == "not run"


def test_figure_1_holds_published_and_measured_points_with_intervals(facts):
    table = tables.scaling(facts)
    assert (table["origin"] == "published").sum() == 17
    assert (table["origin"] == "measured").sum() == 33
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_table_3_sets_recomputed_beside_printed():
    table = tables.table_3({}).set_index("method")
    row = table.loc["budget forcing"]
    assert (row["Scaling, printed"], row["Scaling, per doubling"]) == (15, 14.82)
    rejection = table.loc["rejection sampling"]
    assert (rejection["Scaling, printed"], rejection["Scaling, per doubling"]) == (-35, -28.60)
    assert (table["Control, printed"] == table["Control, recomputed"]).all()
    assert (table["Performance, printed"] == table["Performance, recomputed"]).all()


def test_measured_rows_stand_in_the_column_of_the_benchmark_they_mirror(facts):
    table = tables.table_1(facts).set_index("model")
    assert table.loc["base", "AIME24"] == "20.0 [15.9, 24.9]"
    assert table.loc["Qwen2.5-32B-Instruct", "AIME24"] == "26.7"


def test_of_several_runs_with_the_same_waits_the_one_with_most_room_counts():
    settings = ({"waits": 2, "budget": 64}, {"waits": 2}, {"budget": 512}, {"budget": 128})
    ours = [Point(**point("x", forced(**fields), i)) for i, fields in enumerate(settings)]
    assert [one.setting.budget for one in tables.without_cap(ours)] == [512, None]


def test_a_measured_method_stands_beside_the_printed_one(facts):
    table = tables.table_3(facts).set_index(["method", "benchmark"])
    measured = table.loc["budget forcing", "AIME24"]
    assert measured["Scaling, measured"] == "15.0 [12.0, 18.0]"
    assert measured["Scaling, printed"] == 15


def test_a_number_that_was_measured_twice_is_not_overwritten_in_silence(facts):
    twice = next(one for one in facts["06"]["points"] if one["setting"]["method"] == "plain")
    facts["06"]["points"].append({**twice, "value": 99.0})
    with pytest.raises(RunError, match="base was measured twice on mini-AIME"):
        tables.table_1(facts)


def test_strings_other_than_the_profiles_are_no_part_of_the_sequential_curve(facts):
    facts["06"] = chapter_06(["mini-AIME"])
    assert {one.setting.string for one in sequential(facts)} == {"", "Wait"}
    assert len(sequential(facts)) == 11
    strings = tables.table_4(facts).query("origin == 'measured'")["string"]
    assert set(strings) == {"none", "no string", "Wait", "Hmm", "Alternatively"}


def test_votes_of_the_base_model_are_in_figure_4b_and_those_of_s1_in_figure_7(facts):
    votes, search = tables.votes(facts), tables.parallel(facts)
    assert set(votes["method"]) == {"budget forcing", "majority vote of the base model"}
    ours = search[search["origin"] == "measured"]
    assert set(ours["method"]) == {"sequential", "majority vote, up to 8", "REBASE, 8"}
    assert list(dict.fromkeys(ours["benchmark"])) == list(BENCHMARKS)


def test_an_unknown_exhibit_is_refused_by_name(tmp_path):
    with pytest.raises(RunError, match="figure_99"):
        make("figure_99", {}, tmp_path)


def test_chapter_10_runs_from_facts_alone(facts, tmp_path):
    """No model, no record, no network: a folder with six small files becomes the whole chapter."""
    run = tmp_path / "run"
    for chapter in ("01", "02", "03", "04", "05", "06"):
        write_facts(run, chapter, facts[chapter])
    done = tmp_path / "10_figures.ipynb"
    command = [sys.executable, "-m", "papermill", str(NOTEBOOK), str(done), "-p", "run", str(run)]
    options = ["-k", "python3", "--no-progress-bar", "--cwd", str(NOTEBOOK.parents[1])]
    result = subprocess.run([*command, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    shown = nbformat.read(done, as_version=4)
    pictures = [
        output
        for cell in shown.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/svg+xml" in output.get("data", {})
    ]
    assert len(pictures) == sum(EXHIBITS[name].chapter <= "06" for name in DRAWN)
    verdicts = {row["id"]: row["verdict"] for row in read_json(run / "claims.json")}
    assert len(verdicts) == 12
    assert verdicts["C1"] == "replicated"
    assert verdicts["C7"] == "not testable here"
    facts_10 = read_json(run / "facts" / "10.json")
    assert facts_10["verdicts"] == verdicts
    assert facts_10["table_3_per_doubling"]["budget forcing"] == 14.82
