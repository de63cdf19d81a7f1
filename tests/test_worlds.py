"""One habit of the teacher undone at a time, and what the claims rest on measured again."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from s1lib import worlds
from s1lib.artifacts import RunError, write_json
from s1lib.profile import load_profile
from s1lib.world.corpus import WAYS, documents
from s1lib.world.sources import rows
from s1lib.world.teacher import TEACHER, think

QUESTIONS = rows("AIME", 200, 3)
AGAIN = ("\nWait,", "\nHmm,", "\nAlternatively,")


def traces(world: str) -> list[tuple[str, bool]]:
    habits = replace(TEACHER, **worlds.WORLDS[world].habits)
    thought = [(think(q["question"], q["metadata"], 0, habits), q["answer"]) for q in QUESTIONS]
    return [(trace, said.split(": ")[-1] == answer) for (trace, said), answer in thought]


def looks_again(world: str) -> float:
    return sum(any(word in text for word in AGAIN) for text, _ in traces(world)) / len(QUESTIONS)


def test_worlds_differ_in_how_often_the_teacher_looks_again() -> None:
    order = ("never-again", "seldom-again", "as-it-is", "always-again")
    shares = [looks_again(world) for world in order]
    assert shares == sorted(set(shares)) and (shares[0], shares[-1]) == (0, 1)


def test_a_teacher_that_never_doubts_an_error_makes_wrong_traces_the_short_ones() -> None:
    def mean(world: str, right: bool) -> float:
        lengths = [len(text) for text, ok in traces(world) if ok is right]
        return sum(lengths) / len(lengths)

    assert mean("wrong-is-short", False) < mean("wrong-is-short", True)
    assert mean("as-it-is", False) > mean("as-it-is", True)


def test_the_table_has_a_row_for_each_measured_world_and_what_excludes_zero_is_bold(
    tmp_path: Path,
) -> None:
    assert "No world" in worlds.markdown(tmp_path)
    s1 = {"model": "s1", "method": "budget forcing"}
    one = {"after": {**s1, "waits": 2, "string": "Wait"}, "before": s1, "benchmark": "mini-AIME"}
    found = [
        {**one, "value": value, "ci95": interval}
        for value, interval in ((4.0, [1.0, 7.0]), (-3.2, [-5.0, -1.0]), (0.4, [-2.0, 3.0]))
    ]
    write_json(tmp_path / "as-it-is.json", {"differences": found})
    (row,) = worlds.table(tmp_path).to_dict("records")
    assert row == {
        "world": "the world as it is",
        "C4: two Waits minus none": "**+4** **−3** 0",
    }


def test_every_comparison_has_a_column_of_its_own() -> None:
    pairs = worlds.comparisons(load_profile("laptop"), 2)
    assert len({worlds.column(*pair) for pair in pairs}) == len(pairs)


def test_an_unknown_world_is_told_the_known_ones(tmp_path: Path) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    worlds.add_arguments(parser)
    with pytest.raises(RunError, match="use as-it-is"):
        worlds.main(parser.parse_args(["flat", "--folder", str(tmp_path)]))


def test_a_careful_corpus_looks_twice_in_every_sheet() -> None:
    def share(ways: dict[str, float]) -> float:
        sheets = [one for one in islice(documents(0, ways), 300) if "\n\n" in one]
        asked = [one for one in sheets if not one.startswith(("<|im_start|>", "Now "))]
        return sum(any(word in one for word in AGAIN) for one in asked) / len(asked)

    assert share(worlds.WORLDS["careful-corpus"].ways) == 1
    assert share(WAYS) < 0.3


def test_a_smaller_window_is_the_only_thing_that_such_a_world_changes(tmp_path: Path) -> None:
    book = load_profile("laptop")
    world = worlds.WORLDS["half-a-window"]
    changed = worlds.entered(book, world, tmp_path)
    assert 2 * changed.evaluation.window == book.evaluation.window
    limits = changed.evaluation.model_copy(update={"window": book.evaluation.window})
    assert changed.model_copy(update={"evaluation": limits}) == book


def test_the_ledgers_of_both_worlds_stand_side_by_side(tmp_path: Path) -> None:
    one = {"id": "C1", "claim": "It lifts", "verdict": "replicated", "measured": 2.04}
    write_json(tmp_path / "first.json", [{**one, "ci95": [1.0, 3.0]}])
    now = {**one, "verdict": "not replicated", "measured": None, "ci95": None}
    row = worlds.ledgers([now], tmp_path).splitlines()[-1]
    assert row == "| C1 | It lifts | replicated: 2.0 [1.0, 3.0] | not replicated |"
    assert worlds.ledgers([now], tmp_path / "none").endswith("| – | not replicated |\n")
