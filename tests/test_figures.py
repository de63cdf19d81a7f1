"""Figures and tables follow from facts alone, and a figure can be drawn again from its data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from s1lib import figures, tables
from s1lib.artifacts import RunError, read_json, write_facts
from s1lib.metrics import wilson
from s1lib.published import published

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "10_figures.ipynb"
BENCHMARKS = ("mini-AIME", "mini-MATH", "mini-GPQA")


def estimate(correct: int, n: int = 300) -> dict:
    value = {"value": round(100 * correct / n, 2), "n": n, "ci95": wilson(correct, n)}
    return {**value, "dtype": "float32", "device": "cpu"}


def curve(best: int) -> list[dict]:
    budgets = [
        {"budget": b, "waits": 0, "thinking_tokens": min(b, 170.0), **estimate(best * i // 6)}
        for i, b in enumerate((16, 32, 64, 128, 256, 512), start=1)
    ]
    waits = [
        {
            "budget": None,
            "waits": w,
            "thinking_tokens": 180.0 + 30 * w,
            **estimate(best + 3 * min(w, 2)),
        }
        for w in (0, 1, 2, 4, 6)
    ]
    return budgets + waits


def difference(what: str, benchmark: str, value: float, half: float = 2.0) -> dict:
    return {"what": what, "benchmark": benchmark, "value": value, "n": 300,
            "ci95": [value - half, value + half]}  # fmt: skip


def chapter_facts() -> dict[str, dict]:
    """Facts of chapters 01 to 06 in the shape that these chapters write."""
    sources = [row["source"] for row in published("table_7")]
    strings = [("none", 0), ("no string", 2), ("Alternatively", 2), ("Hmm", 2), ("Wait", 2)]
    models = ("base", "s1 without budget forcing", "s1")
    steps = ("collected", "complete", "well formed", "hard", "selected")
    kept = (6500, 6400, 6300, 3000, 1000)
    counted = zip(steps, kept, published("funnel"), strict=True)
    return {
        "01": {
            "table_7": [{"source": s, "n": 400, "published_n": 9, "why": "scaled"} for s in sources]
        },
        "02": {"lengths": {"bins": [0, 50, 100, 400], "counts": [3, 5, 1], "mean": 70.0, "n": 9}},
        "03": {
            "funnel": [
                {"step": s, "n": n, "published": p["paper"], "notebook": p["notebook"]}
                for s, n, p in counted
            ]
        },
        "04": {
            "table_6": [
                {"domain": "11", "title": "Number theory", "n": 700, "k_tokens": 90.5},
                {"domain": "05", "title": "Combinatorics", "n": 300, "k_tokens": 40.1},
            ]
        },
        "05": {"loss": [{"step": i, "loss": 2 / i} for i in range(1, 40)], "steps": 39},
        "06": {
            "figure_1": {name: curve(180 + 20 * i) for i, name in enumerate(BENCHMARKS)},
            "table_1": [
                {"model": model, "benchmark": name, **estimate(60 + 70 * i)}
                for i, model in enumerate(models)
                for name in BENCHMARKS
            ],
            "table_4": [
                {"string": string, "waits": waits, "benchmark": name, **estimate(180 + 3 * i)}
                for i, (string, waits) in enumerate(strings)
                for name in BENCHMARKS
            ],
            "differences": [
                difference(what, name, value)
                for what, value in (
                    ("s1 minus base", 40.0),
                    ("largest minus smallest budget", 50.0),
                    ("Wait x2 minus none", 3.0),
                    ("Wait x2 minus no string", 3.0),
                )
                for name in BENCHMARKS
            ],
            "control": {"value": 100.0, "n": 30},
        },
    }


@pytest.fixture
def facts() -> dict[str, dict]:
    return chapter_facts()


@pytest.fixture(autouse=True)
def shared_style():
    figures.style()


MEASURED = [name for name, exhibit in figures.EXHIBITS.items() if exhibit.chapter <= "06"]


@pytest.mark.parametrize("name", MEASURED)
def test_every_exhibit_of_the_first_six_chapters_is_made(name, facts, tmp_path):
    made = figures.make(name, facts, tmp_path)
    assert made is not None
    data = pd.read_csv(tmp_path / "figures" / f"{name}.csv")
    assert len(data) > 0
    drawing = tmp_path / "figures" / f"{name}.svg"
    assert drawing.is_file() == (figures.EXHIBITS[name].draw is not None)


DRAWN = [name for name in MEASURED if figures.EXHIBITS[name].draw]


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_can_be_drawn_again_from_its_csv_to_the_byte(name, facts, tmp_path):
    figures.make(name, facts, tmp_path)
    folder = tmp_path / "figures"
    table = pd.read_csv(folder / f"{name}.csv")
    again = figures.save(figures.EXHIBITS[name].draw(table), tmp_path / "again.svg")
    assert again.read_bytes() == (folder / f"{name}.svg").read_bytes()


@pytest.mark.parametrize("name", MEASURED)
def test_an_exhibit_without_facts_is_skipped_with_its_chapter_named(name, tmp_path, capsys):
    made = figures.make(name, {}, tmp_path)
    if name == "figure_1":
        assert made is not None  # the published panels stand alone
    else:
        assert made is None
        chapter = figures.EXHIBITS[name].chapter
        assert f"not run yet, chapter {chapter}" in capsys.readouterr().out
        assert not (tmp_path / "figures").exists()


def test_the_index_names_what_was_drawn_and_what_was_not_run(facts, tmp_path):
    index = figures.index(facts, tmp_path).set_index("exhibit")["file"]
    assert index["Figure 1"] == "figures/figure_1.svg"
    assert index["Table 4"] == "figures/table_4.csv"
    assert index["Figure 6"] == "not run"


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
    points = [
        {"waits": 2, "budget": 64, "value": 1},
        {"waits": 2, "budget": None, "value": 2},
        {"waits": 0, "budget": 512, "value": 3},
        {"waits": 0, "budget": 128, "value": 4},
    ]
    assert [point["value"] for point in tables.without_cap(points)] == [3, 2]


def test_later_chapters_are_drawn_as_soon_as_their_facts_are_there(facts, tmp_path):
    points = [{"method": m, "tokens": t, **estimate(t)} for m in ("a", "b") for t in (50, 100)]
    facts["07"] = {
        "figure_6": points[:2],
        "table_3": [
            {
                "method": "budget forcing",
                "control": {"value": 100.0, "n": 6},
                "scaling": {"value": 9.0, "ci95": [7.0, 11.0], "n": 300},
                "performance": estimate(200),
            }
        ],
    }
    facts["08"] = {"figure_4b": points, "figure_7": points}
    facts["09"] = {
        "sample_efficiency": [
            {"benchmark": "mini-MATH", "examples": n, **estimate(n // 10)} for n in (100, 1000)
        ],
        "table_2": [{"set": "1K-random", "AIME24": estimate(100)}],
        "table_8": [{"length": 128, "cut": 60, "AIME24": 40.0}],
    }
    for name in ("figure_6", "figure_4b", "figure_7", "figure_2_right", "table_2", "table_8"):
        assert figures.make(name, facts, tmp_path) is not None
    measured = tables.table_3(facts).set_index("method").loc["budget forcing"]
    assert measured["Scaling, measured"] == "9.0 [7.0, 11.0]"


def test_an_unknown_exhibit_is_refused_by_name(tmp_path):
    with pytest.raises(RunError, match="figure_99"):
        figures.make("figure_99", {}, tmp_path)


def test_chapter_10_runs_from_facts_alone(facts, tmp_path):
    """No model, no record, no network: a folder with six small files becomes the whole chapter."""
    run = tmp_path / "run"
    for chapter, content in facts.items():
        write_facts(run, chapter, content)
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
    assert len(pictures) == len(DRAWN)
    verdicts = {row["id"]: row["verdict"] for row in read_json(run / "claims.json")}
    assert len(verdicts) == 12
    assert verdicts["C1"] == "replicated"
    assert verdicts["C7"] == "not testable here"
    facts_10 = read_json(run / "facts" / "10.json")
    assert facts_10["verdicts"] == verdicts
    assert facts_10["table_3_per_doubling"]["budget forcing"] == 14.82
