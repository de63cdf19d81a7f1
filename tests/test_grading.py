"""Answers and references as models and benchmarks write them."""

from __future__ import annotations

import time

import pytest

from s1lib import grading
from s1lib.grading import compare, extract, grade


@pytest.mark.parametrize(
    ("attempt", "answer"),
    [
        (r"So \boxed{12} or rather \boxed{13}.", "13"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed 7 at first, then \boxed{8}", "8"),
        (r"thus $\boxed 7$ holds", "7"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        ("Answer: 4\nNo.\nFinal Answer: 5.", "5"),
        ("**Answer:** $17$", "17"),
        ("Answer:\n  9", "9"),
        ("answer : x = 3", "3"),
        ("Answer: 1\n<|im_start|>answer\nFinal Answer: 2", "2"),
        ("<think>Answer: 1</think>Answer: 6 ", "6"),
    ],
)
def test_the_last_answer_is_extracted(attempt: str, answer: str):
    assert extract(attempt) == answer


@pytest.mark.parametrize("attempt", ["", "I do not know.", r"\boxed{", "Answer: ", "42"])
def test_an_attempt_without_an_answer_is_wrong(attempt: str):
    assert extract(attempt) is None
    assert grade(attempt, "42", "integer") == "wrong"


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        ("007", "7"), ("1,234", "1234"), ("$204$", "204"), ("1/2", "0.5"), ("+3", "3"),
        (r"\frac{3}{4}", "0.75"), ("-6/4", r"\frac{-3}{2}"), ("Paris", "paris"),
        ("12.0", "12"), (r"\text{yes}", "yes"), ("m = 5", "5"),
    ],
)  # fmt: skip
def test_equal_normal_forms_are_correct_without_a_parser(found: str, answer: str, monkeypatch):
    monkeypatch.setattr(grading, "SECONDS", 0.0)
    assert compare(found, answer) == "correct"


@pytest.mark.parametrize(
    ("found", "answer", "kind"),
    [
        ("8", "7", "integer"), ("0.3333", "1/3", "text"), ("London", "Paris", "text"),
        ("seven", "7", "integer"), ("1/0", "1", "text"), ("10**9", "10", "text"),
    ],
)  # fmt: skip
def test_different_answers_are_wrong(found: str, answer: str, kind: str):
    assert compare(found, answer, kind) == "wrong"


@pytest.mark.parametrize(
    ("attempt", "verdict"),
    [
        ("Answer: B", "correct"), ("Answer: (B)", "correct"), ("Answer: B) 12", "correct"),
        (r"\boxed{\text{B}}", "correct"), ("Answer: A", "wrong"), ("Answer: 12", "wrong"),
        ("", "wrong"), ("Answer: Because", "wrong"), ("Answer: unclear", "wrong"),
    ],
)  # fmt: skip
def test_a_choice_is_a_letter_that_was_given_and_never_a_default(attempt: str, verdict: str):
    assert grade(attempt, "B", "choice") == verdict
    assert verdict == "correct" or grade(attempt, "A", "choice") == (
        "correct" if attempt == "Answer: A" else "wrong"
    )


def test_without_a_reference_nothing_is_decided():
    assert grade("Answer: 4", "  ") == "undecided"


def test_what_needs_mathematics_goes_to_the_parser():
    assert compare(r"2\sqrt{3}", r"\sqrt{12}") == "correct"
    assert compare(r"2\sqrt{3}", r"\sqrt{13}") == "wrong"
    assert compare(r"(x+1)^2", r"x^2+2x+1") == "correct"


def test_a_comparison_that_takes_too_long_is_undecided_and_the_next_one_works(monkeypatch):
    assert compare(r"\frac{2\pi}{4}", r"\frac{\pi}{2}") == "correct"
    first = grading._parser._child
    monkeypatch.setattr(grading, "SECONDS", 0.5)
    started = time.monotonic()
    assert compare(r"9^{9^{9^{9}}}+x", r"x+1") == "undecided"
    assert time.monotonic() - started < 60
    monkeypatch.setattr(grading, "SECONDS", 20.0)
    assert compare(r"\frac{2\pi}{4}", r"\frac{\pi}{2}") == "correct"
    assert first is not None and first.poll() is not None, "the stuck child was killed"


def test_text_is_never_run_as_code(tmp_path):
    trap = tmp_path / "trap"
    code = f"__import__('os').mkdir('{trap}')+1"
    assert compare(code, "x+1") in ("wrong", "undecided")
    assert not trap.exists()


def test_the_parser_sees_no_secrets(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    grading._parser.stop()
    assert compare(r"\sqrt{4}\pi", r"2\pi") == "correct"
    child = grading._parser._child
    assert child is not None
    with open(f"/proc/{child.pid}/environ", encoding="utf-8") as file:
        assert "canary" not in file.read()
