"""Every raw row either becomes a question or is counted with a reason."""

from __future__ import annotations

import hashlib
import json

import pytest

from s1lib.artifacts import RunError
from s1lib.questions.schema import COLUMNS, question_id, validate


def row(question, **cells):
    cells = {"solution": "so 4", "answer": "4", "metadata": {"b": 1, "a": "é"}} | cells
    return {
        "question": question,
        "cot_type": "math",
        "source_type": "x/y",
        "source": "MATH",
        **cells,
    }


def reasons(*questions):
    table, rejected = validate([row(question) for question in questions])
    return table["question"].tolist(), rejected["reason"].tolist()


def test_the_id_is_the_reference_hash():
    assert question_id("What is é?") == hashlib.sha256("What is é?".encode()).hexdigest()[:16]


def test_a_good_row_has_all_columns_and_json_metadata():
    table, rejected = validate([row("What is 2+2?")])
    assert tuple(table.columns) == COLUMNS and rejected.empty
    assert json.loads(table["metadata"][0]) == {"a": "é", "b": 1}


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (None, "no question"),
        (float("nan"), "no question"),
        ("  \n", "no question"),
        ("Why?", "question of one word"),
        ("x " * 100_000, "question longer than 100,000 bytes"),
        (b"caf\xe9 au lait", "not valid UTF-8"),
        ("half a pair \ud83d", "not valid UTF-8"),
    ],
)
def test_what_is_no_question_is_counted_with_its_reason(question, reason):
    assert reasons("What is 2+2?", question) == (["What is 2+2?"], [reason])


def test_of_duplicates_the_first_stays():
    assert reasons("What is 2?", "What is 3?", "What is 2?") == (
        ["What is 2?", "What is 3?"],
        ["duplicate question"],
    )


def test_bytes_that_are_utf8_become_text():
    assert reasons("Où est 2?".encode())[0] == ["Où est 2?"]


@pytest.mark.parametrize("nothing", [None, "", "  ", float("nan"), b"\xff"])
def test_a_row_without_an_answer_stays_and_says_so(nothing):
    table, rejected = validate([row("What is 2+2?", solution=nothing, answer=nothing)])
    assert rejected.empty
    assert table["solution"].isna().all() and table["answer"].isna().all()


def test_metadata_that_json_does_not_know_becomes_text():
    table, _ = validate([row("What is 2+2?", metadata={"set": {1}, "bad": "\ud800"})])
    assert json.loads(table["metadata"][0])["set"] == "{1}"


def test_a_row_that_lacks_a_column_names_its_source():
    broken = row("What is 2+2?")
    del broken["source_type"]
    with pytest.raises(RunError, match="row 0 of MATH has no source_type"):
        validate([broken])


def test_an_unknown_kind_is_an_error():
    with pytest.raises(RunError, match="cot_type 'poetry'"):
        validate([row("What is 2+2?", cot_type="poetry")])


def test_no_rows_make_an_empty_table_with_columns():
    table, rejected = validate([])
    assert tuple(table.columns) == COLUMNS and len(rejected) == 0
