"""The table of benchmarks, and the command that measures them."""

import subprocess
import sys
from pathlib import Path

from benchmarks import Row, merge

from s1lib.artifacts import read_json
from s1lib.speed import markdown, measured

ROOT = Path(__file__).parents[1]


def row(name, ours):
    return Row(name, "them", ours, 50.0, "tokens/s", 8, "float32", "cpu").as_record("decode")


def test_a_row_says_how_many_times_faster_and_how_to_measure_it_again():
    record = row("forcing", 100.0)
    assert record["ratio"] == 2.0
    assert record["command"] == "python tests/benchmarks decode"
    assert {"ours", "theirs", "unit", "n", "device", "dtype", "date"} <= record.keys()


def test_a_new_row_replaces_the_old_one_of_the_same_comparison_and_leaves_the_others(tmp_path):
    file = tmp_path / "benchmarks.json"
    for one in (row("a", 100.0), row("b", 10.0), row("a", 200.0)):
        merge(one, file)
    assert [(r["name"], r["ours"]) for r in read_json(file)] == [("a", 200.0), ("b", 10.0)]


def test_the_table_of_rates_keeps_the_order_that_is_asked_for():
    rows = [row("a", 12345.678), row("b", 1.5), row("c", 1.0)]
    lines = markdown(rows, ["b", "a"]).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| `b`", "| `a`"]
    assert "1.5 tokens/s | them | 50 | 0.03 | n = 8, float32, cpu |" in lines[0]
    assert "12,346 tokens/s" in lines[1]
    assert len(markdown(rows).splitlines()) == 5


def test_what_a_pair_of_numbers_cannot_say_stands_beside_them():
    one = Row("a", "them", 1.0, 2.0, "nats", 8, "float32", "cpu", {"ours": [1.0]})
    assert one.as_record("parity")["detail"] == {"ours": [1.0]}
    assert "detail" not in row("a", 1.0)


def test_the_command_knows_its_benchmarks():
    command = [sys.executable, "tests/benchmarks", "nonsense"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr == "no benchmark nonsense: there are curation, decode, parity, sft\n"


def test_where_nothing_was_measured_there_is_nothing_to_show(tmp_path):
    assert measured(tmp_path / "benchmarks.json") == []
