"""Benchmarks stand beside the paper's or alone, and a problem is one object."""

from __future__ import annotations

import pandas as pd

from s1lib.benchmarks import BENCHMARKS, columns, family, names, partner, problems
from s1lib.chat import prompt_ids
from s1lib.published import published

TESTS = pd.DataFrame(
    {
        "benchmark": ["mini-AIME", "mini-AIME", "aime25"],
        "id": ["a", "b", "a"],
        "question": ["Find 1", "Find 2", "Find 1"],
        "answer": ["1", "2", "1"],
        "answer_type": ["integer", "integer", "text"],
        "metadata": ['{"family": "coins"}', '{"level": 3}', ""],
    }
)


def test_names_are_unique_and_partners_are_benchmarks_of_the_paper():
    assert len({item.name for item in BENCHMARKS}) == len(BENCHMARKS)
    assert {item.partner for item in BENCHMARKS if item.partner} <= set(published("benchmarks"))


def test_what_is_only_held_out_needs_no_answers():
    """LiveCodeBench has none: chapter 01 of the paper would have stopped at its first row."""
    held = {item.name: dict(item.columns) for item in BENCHMARKS if not item.scored}
    assert held["livecodebench-v4"] == {"question_content": str}
    assert "answer" in BENCHMARKS[3].columns


def test_a_benchmark_stands_for_another_by_its_entry_and_not_by_how_it_is_spelt():
    assert partner("mini-GPQA") == partner("gpqa_diamond") == "GPQA"
    assert partner("aime25") == "AIME25"  # its numbers are in the paper, too
    assert partner("olympiad") is partner("aime26") is partner("aime22-24") is None


def test_two_benchmarks_never_share_a_column():
    """A table had one column for all names with "aime" in them, and kept the last of its rows."""
    assert columns(["mini-AIME", "aime24", "aime25", "mini-AIME"]) == {
        "mini-AIME": "AIME24",
        "aime24": "aime24",
        "aime25": "AIME25",
    }


def test_rows_become_problems_with_the_prompt_of_the_model(tiny_tokenizer):
    found = problems(TESTS, tiny_tokenizer, "\n\nThink.")
    assert [(one.benchmark, one.id) for one in found] == [
        ("mini-AIME", "a"),
        ("mini-AIME", "b"),
        ("aime25", "a"),
    ]
    assert list(found[1].prompt) == prompt_ids(tiny_tokenizer, "Find 2\n\nThink.")
    assert (found[1].question, found[1].answer, found[1].answer_type) == ("Find 2", "2", "integer")
    assert [one.family for one in found] == ["coins", "", ""]
    assert names(found) == ["mini-AIME", "aime25"]


def test_a_family_is_known_where_the_world_wrote_it_down():
    assert family('{"family": "orbit", "params": {}}') == "orbit"
    assert family("") == family("[]") == family("{}") == ""
