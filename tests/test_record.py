"""The record: what one generation is, to Parquet and back, and graded."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from test_engine import decoder, prompts

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem, problems
from s1lib.decoding import (
    Forcing,
    Generation,
    Sampling,
    cells,
    load_decoder,
    read_record,
    write_record,
)
from s1lib.decoding.hooks import Hooks
from s1lib.decoding.record import answered, first_answers, from_table, grade_record, to_table
from s1lib.fidelity import development
from s1lib.profile import load_profile

__all__ = ["decoder", "prompts"]

ONE = Generation(
    id="a", prompt=(9, 8), opening=(1,), thinking=(5, 6, 5), closing=(2, 3, 4), answer=(7,),
    forced=(0, 2, 4, 5, 6), ignored=(1,), thinking_end="budget", answer_end="eos", sampled=5,
    text="Final Answer: 7", benchmark="mini-MATH", budget=3, waits=1, wait="Wait",
)  # fmt: skip

TESTS = pd.DataFrame({"benchmark": ["mini-AIME", "mini-GPQA"], "question": ["", ""]})
SEVEN = Problem("a", (9, 8), "mini-MATH", answer="7", answer_type="integer")


def test_roles_join_to_the_whole_and_the_mask_says_what_was_forced():
    assert ONE.ids == (1, 5, 6, 5, 2, 3, 4, 7)
    assert ONE.mask == [True, False, True, False, True, True, True, False]
    assert ONE.thinking_tokens == 3


def test_a_record_survives_parquet(tmp_path, decoder, prompts):
    done = [
        ONE,
        replace(ONE, reward=0.25),
        *decoder.generate(prompts[:3]),
        *decoder.sweep(prompts[:3], cells([4, 8], [1])),
    ]
    path = write_record(tmp_path / "records" / "06.parquet", done)
    assert read_record(path) == done


def test_equal_records_are_equal_bytes(tmp_path):
    first, second = (write_record(tmp_path / name, [ONE, ONE]) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_table_has_counts_and_a_budget_that_may_be_missing():
    table = to_table([ONE, Generation(id="b", prompt=(1,), answer=())])
    assert table["thinking_tokens"].tolist() == [3, 0]
    assert table["forced_tokens"].tolist() == [5, 0]
    assert table["budget"].isna().tolist() == [False, True]


def test_a_missing_column_is_named():
    with pytest.raises(RunError, match="no column seed, verdict"):
        from_table(to_table([ONE]).drop(columns=["seed", "verdict"]))


def plain(tokenizer, text):
    ids = tuple(tokenizer.encode(text))
    end = {"answer_end": "eos", "benchmark": "mini-MATH"}
    return Generation("a", (9, 8), ids, sampled=len(ids), text=text, **end)


@pytest.mark.parametrize(
    "text",
    [
        "3 + 4 = 7.\n\nAnswer: 7\n\nHow many are 4 and 5?\n\nFinal Answer: 9",
        "Final Answer: 7\nAnswer: 9\nAnswer: 9\n",
    ],
)
def test_a_sample_in_plain_text_ends_with_its_first_answer(text, tiny_tokenizer):
    one = plain(tiny_tokenizer, text)
    (cut,) = first_answers([one], tiny_tokenizer)
    assert cut.answer_end == "stopped" and cut.sampled == len(cut.answer) < len(one.answer)
    assert cut.answer == one.answer[: len(cut.answer)]
    assert grade_record([cut], [SEVEN])[0].raw == "7"
    assert grade_record([one], [SEVEN])[0].verdict == "wrong"


@pytest.mark.parametrize(
    "text",
    ["What is an Answer:\n\n8? Final Answer: 7", "3 + 4 = 7.\n\nAnswer: 7", "3 + 4"],
)
def test_a_sample_that_says_no_more_than_its_answer_stays_as_it_is(text, tiny_tokenizer):
    one = plain(tiny_tokenizer, text)
    assert first_answers([one], tiny_tokenizer) == [one]


def test_to_stop_after_an_answer_gives_what_is_left_if_one_cuts_there():
    """Chapter 08's votes of the base model, in which stopping saves time."""
    with load_decoder("world:base", load_profile("laptop")) as base:
        exam = problems(development(4, TESTS), base.tokenizer, chat=False)
        many = Sampling(1.0, samples=4)
        whole = base.generate(exam, None, many)
        paid = base.paid
        base.hooks = Hooks(stop=answered(base.tokenizer))
        short = base.generate(exam, None, many)
        cut, also_cut = (first_answers(one, base.tokenizer) for one in (whole, short))
        assert cut == also_cut != whole
        assert base.paid < paid


def test_grading_fills_answer_verdict_and_grader():
    other = replace(ONE, text="I give up")
    right, wrong = grade_record([ONE, other], [SEVEN])
    assert (right.raw, right.verdict, right.grader) == ("7", "correct", "local")
    assert (wrong.raw, wrong.verdict) == ("", "wrong")


def test_an_unknown_problem_is_named():
    with pytest.raises(RunError, match="no answer for problem a"):
        grade_record([ONE], [replace(SEVEN, benchmark="mini-AIME")])


def test_the_configuration_hash_tells_settings_apart(decoder, prompts):
    same = [decoder.generate(prompts[:1], Forcing(budget=4))[0].config for _ in range(2)]
    other = decoder.generate(prompts[:1], Forcing(budget=5))[0].config
    assert same[0] == same[1] != other and len(other) == 16
