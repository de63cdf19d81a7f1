"""Models on benchmarks: the same generations side by side as alone, in a grid of seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from s1lib.decoding.forcing import Forcing
from s1lib.decoding.record import to_table
from s1lib.evaluation import answer, answer_all, by_seed
from s1lib.profile import Profile, load_profile

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


def test_a_grid_has_a_row_per_training_seed_and_a_column_per_problem(book, tiny_model_path):
    done = answer_all(book, dict.fromkeys(("s1-1", "s1"), str(tiny_model_path)), TESTS, CAP)
    table = to_table(done)
    tokens = by_seed(table, ["s1", "s1-1"], "mini-AIME", "thinking_tokens")
    assert tokens.shape == (2, 3) and (tokens[0] == tokens[1]).all()
    first = table[(table["model"] == "s1") & (table["benchmark"] == "mini-AIME")]
    assert tokens[0].tolist() == first.sort_values("id")["thinking_tokens"].tolist()
    table["verdict"] = np.where(table["id"] == "mini-AIME2", "correct", "wrong")
    assert by_seed(table, ["s1"], "mini-AIME").tolist() == [[0.0, 1.0, 0.0]]


def test_a_model_that_is_not_there_is_one_sentence(book, tmp_path):
    from s1lib.artifacts import RunError

    with pytest.raises(RunError, match="has no model"):
        answer_all(book, {"s1": str(tmp_path / "s1")}, TESTS, CAP, at_once=2)
