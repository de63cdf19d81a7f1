"""One habit of the teacher undone at a time, and what the claims rest on measured again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from s1lib import worlds
from s1lib.artifacts import RunError, write_json
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


def test_the_table_has_a_row_for_each_measured_world_and_marks_what_excludes_zero(
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
    assert row == {"world": "the world as it is", "s1, Wait x2 minus s1": "4+ -3− 0" + "0"}


def test_an_unknown_world_is_told_the_known_ones(tmp_path: Path) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    worlds.add_arguments(parser)
    with pytest.raises(RunError, match="use as-it-is"):
        worlds.main(parser.parse_args(["flat", "--folder", str(tmp_path)]))
