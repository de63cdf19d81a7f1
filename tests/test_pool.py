"""The pool: samples drawn once, graded, and the same whatever the size of the pool."""

from __future__ import annotations

import pandas as pd
import pytest
from test_engine import decoder

from s1lib.artifacts import RunError
from s1lib.benchmarks import problems
from s1lib.decoding import Sampling, write_record
from s1lib.decoding.record import to_table
from s1lib.evaluation import examine
from s1lib.methods.pool import METHOD, draw_pool, grid, read_pool

__all__ = ["decoder"]

TESTS = pd.DataFrame(
    {
        "benchmark": ["mini-AIME", "mini-AIME", "mini-MATH"],
        "id": ["a", "b", "a"],
        "question": ["Find 1", "Find 2", "Find 1"],
        "answer": ["1", "2", "x"],
        "answer_type": ["integer", "integer", "text"],
    }
)


def test_the_first_samples_are_the_same_in_a_pool_of_any_size(decoder):
    small, large = (draw_pool(decoder, TESTS, Sampling(1.0, seed=3, samples=n)) for n in (2, 5))
    assert [one for one in large if one.sample < 2] == small
    assert len({one.ids for one in large}) > len({one.ids for one in small})


def test_samples_are_graded_and_belong_to_a_benchmark(decoder):
    pool = to_table(draw_pool(decoder, TESTS, Sampling(1.0, samples=2)))
    assert pool["benchmark"].tolist() == ["mini-AIME"] * 4 + ["mini-MATH"] * 2
    assert pool["id"].tolist() == ["a", "a", "b", "b", "a", "a"]
    assert set(pool["method"]) == {METHOD}
    assert set(pool["verdict"]) <= {"correct", "wrong", "undecided"}


def test_a_question_in_two_benchmarks_is_graded_by_each(decoder):
    kinds = []
    for one in examine(decoder, problems(TESTS, decoder.tokenizer)):
        kinds.append((one.benchmark, one.id, one.grader))
    assert kinds == [(n, i, "local") for n, i in zip(TESTS["benchmark"], TESTS["id"], strict=True)]


def test_a_suffix_follows_every_question(decoder):
    texts = []
    for one in examine(decoder, problems(TESTS, decoder.tokenizer, "\n\nNow 7")):
        texts.append(decoder.tokenizer.decode(one.prompt))
    assert all("\n\nNow 7<|im_end|>" in text for text in texts)


def test_of_the_record_only_the_samples_are_the_pool(decoder, tmp_path):
    drawn = draw_pool(decoder, TESTS, Sampling(1.0, samples=2))
    other = decoder.generate([list(drawn[0].prompt)])
    write_record(tmp_path / "records" / "07.parquet", [*other, *drawn])
    pool = read_pool(tmp_path)
    assert len(pool) == len(drawn)
    assert pool["thinking_tokens"].tolist() == [one.thinking_tokens for one in drawn]


def test_a_record_without_samples_says_what_to_run(decoder, tmp_path):
    write_record(tmp_path / "records" / "07.parquet", decoder.generate([[5, 6]]))
    with pytest.raises(RunError, match="run chapter 07 again"):
        read_pool(tmp_path)


def test_a_grid_has_a_row_per_problem_and_a_column_per_sample():
    pool = pd.DataFrame({"id": ["z", "z", "a", "a"], "sample": [1, 0, 0, 1], "n": [1, 2, 3, 4]})
    table = grid(pool, "n")
    assert table.index.tolist() == ["z", "a"]
    assert table.to_numpy().tolist() == [[2, 1], [3, 4]]


def test_a_grid_with_a_hole_is_refused():
    pool = pd.DataFrame({"id": ["a", "a", "b"], "sample": [0, 1, 0], "n": [1, 2, 3]})
    with pytest.raises(RunError, match="different numbers of samples"):
        grid(pool, "n")
