"""Models on benchmarks: the same generations side by side as alone, lined up problem by problem."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from s1lib.artifacts import RunError
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.record import to_table
from s1lib.evaluation import answer, answer_all, runs
from s1lib.profile import Profile, load_profile
from s1lib.results import Setting

TESTS = pd.DataFrame(
    [
        (name, f"{name}{n}", f"7x leaves {n}, find x.", str(n), "integer")
        for name in ("mini-MATH", "mini-AIME")
        for n in (3, 1, 2)
    ],
    columns=["benchmark", "id", "question", "answer", "answer_type"],
)
CAP = Forcing(budget=12)


@pytest.fixture(scope="module")
def book() -> Profile:
    return load_profile("smoke", evaluation__window=128)


def test_answers_are_graded_and_come_in_the_order_of_the_problems(book, tiny_model_path):
    done = answer(book, str(tiny_model_path), TESTS, CAP, "tiny")
    assert [one.id for one in done] == TESTS["id"].tolist()
    assert {one.verdict for one in done} <= {"correct", "wrong", "undecided"}
    assert {one.model for one in done} == {"tiny"}
    assert max(one.thinking_tokens for one in done) <= 12


def test_models_examined_side_by_side_say_what_they_say_alone(book, tiny_model_path):
    models = {"s1": str(tiny_model_path), "s1-1": str(tiny_model_path)}
    alone = answer_all(book, models, TESTS, CAP)
    together = answer_all(book, models, TESTS, CAP, at_once=2)
    assert [one.model for one in together] == ["s1"] * 6 + ["s1-1"] * 6
    assert together == alone


def test_a_record_becomes_runs_in_the_order_of_the_benchmark(book, tiny_model_path):
    done = answer(book, str(tiny_model_path), TESTS, CAP, "models/s1")
    table = to_table(done)
    table["verdict"] = np.where(table["id"] == "mini-AIME2", "correct", "wrong")
    math, aime = runs(table.sample(frac=1, random_state=0), TESTS, {"models/s1": "mine"})
    assert (math.benchmark, aime.benchmark) == ("mini-MATH", "mini-AIME")
    assert aime.setting == Setting(model="mine", method="budget forcing", budget=12)
    assert aime.right.tolist() == [0.0, 0.0, 1.0]  # ids 3, 1, 2
    assert math.thinking_tokens.tolist() == table["thinking_tokens"].tolist()[:3]
    assert runs(table, TESTS)[0].setting.model == "s1"
    assert runs(table, TESTS, method="plain") == []


def test_trainings_of_one_name_are_the_first_axis_of_a_run(book, tiny_model_path):
    done = answer_all(book, dict.fromkeys(("s1-1", "s1"), str(tiny_model_path)), TESTS, CAP)
    found = runs(to_table(done), TESTS, {"s1": "s1K", "s1-1": "s1K"}, {"s1K": 1000})
    assert [one.right.shape for one in found] == [(2, 3), (2, 3)]
    assert {one.setting.examples for one in found} == {1000}


def test_a_setting_that_lacks_a_problem_or_has_it_twice_is_refused(book, tiny_model_path):
    table = to_table(answer(book, str(tiny_model_path), TESTS, CAP, "s1"))
    for wrong in (table.iloc[1:], pd.concat([table, table.iloc[:1]])):
        with pytest.raises(RunError, match="for 3 problems of mini-MATH"):
            runs(wrong, TESTS)


def test_means_of_further_columns_go_along(book, tiny_model_path):
    table = to_table(answer(book, str(tiny_model_path), TESTS, CAP, "s1")).assign(steps=range(6))
    math, aime = runs(table, TESTS, means=("steps",))
    assert (math.means, aime.means) == ({"steps": 1.0}, {"steps": 4.0})


def test_a_model_that_is_not_there_is_one_sentence(book, tmp_path):
    with pytest.raises(RunError, match="has no model"):
        answer_all(book, {"s1": str(tmp_path / "s1")}, TESTS, CAP, at_once=2)
