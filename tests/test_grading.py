"""Answers and references as models and benchmarks write them."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import hostile
import pytest
import yaml

from s1lib.grading import compare, extract, grade, parser

PAIRS = yaml.safe_load((Path(__file__).parent / "grading_pairs.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def no_parser(monkeypatch):
    def called(found: str, answer: str) -> str:
        raise AssertionError(f"the parser was asked about {found!r} and {answer!r}")

    monkeypatch.setattr(parser.parser, "compare", called)


# Verdicts


@pytest.mark.parametrize("kind", PAIRS)
def test_every_pair_of_the_corpus_gets_its_right_verdict(kind: str):
    wrong = []
    for way, pairs in PAIRS[kind].items():
        for attempt, answer, verdict, *answer_type in pairs:
            said = rf"So $\boxed{{{attempt}}}$." if way == "boxed" else attempt
            if (got := grade(said, answer, *answer_type)) != verdict:
                wrong.append((attempt, answer, f"{got}, not {verdict}"))
    assert not wrong


def test_the_corpus_is_large_and_holds_both_verdicts():
    pairs = [pair for ways in PAIRS.values() for some in ways.values() for pair in some]
    assert len(pairs) >= 300
    for verdict in ("correct", "wrong"):
        assert sum(pair[2] == verdict for pair in pairs) >= 100


PLAIN = [r"\frac{7}{3}", r"\frac{\pi}{6}", r"2\sqrt{3}", "x^{2}-5x+6", r"\frac{a+1}{b}", "17",
         r"e^{2x}", r"\log_{2}(x+1)", r"\binom{n}{2}", "3-4i", r"\frac{\sqrt{5}-1}{2}", "0.125",
         "2^{n-1}", r"\frac{13}{4}"]  # fmt: skip
BRACKETED = [r"\left(1, \frac{2}{3}\right)", r"\{1, \frac{1}{2}, 3\}", r"[0, \sqrt{2})",
             r"\begin{pmatrix} 1 & x \\ 0 & \frac{1}{2} \end{pmatrix}"]  # fmt: skip

SAME = {
    "spaces": lambda text: text.replace("+", r" \, + ~ ").replace("}{", "} {"),
    "dfrac": lambda text: text.replace(r"\frac", r"\dfrac"),
    "left and right": lambda text: re.sub(r"\((.*)\)", r"\\left(\1\\right)", bare(text)),
    "no left, no right": lambda text: bare(text),
    "dollars": lambda text: f"${text}$",
    "brackets of display": lambda text: rf"\[ {text} \]",
    "a full stop": lambda text: f"{text}.",
    "stars": lambda text: f"**{text}**",
    "a name": lambda text: f"y = {text}",
    "displaystyle": lambda text: rf"\displaystyle {text}",
    "a group": lambda text: f"{{{text}}}",
}


def bare(text: str) -> str:
    return text.replace(r"\left", "").replace(r"\right", "")


@pytest.mark.parametrize("value", PLAIN + BRACKETED)
def test_a_rewriting_that_keeps_the_meaning_keeps_the_verdict(value: str):
    for name, rewrite in SAME.items():
        assert compare(rewrite(value), value) == "correct", (name, rewrite(value))
        assert compare(value, rewrite(value)) == "correct", (name, rewrite(value))


CHANGED = {
    "a sign": lambda text: f"-({text})",
    "one more": lambda text: f"{text}+1",
    "an exponent": lambda text: f"({text})^{{2}}",
    "a factor": lambda text: rf"3 \cdot ({text})",
}


@pytest.mark.parametrize("value", PLAIN)
def test_a_rewriting_that_changes_the_meaning_changes_the_verdict(value: str):
    for name, rewrite in CHANGED.items():
        assert compare(rewrite(value), value) == "wrong", (name, rewrite(value))


MOVED = [  # a brace, bracket or row moved
    ("%s^{%s}-%s", "%s^{%s-%s}"), (r"\frac{%s}{%s}+%s", r"\frac{%s}{%s+%s}"),
    (r"\frac{%s+%s}{%s}", r"%s+\frac{%s}{%s}"), ("%s(%s+%s)", r"%s \cdot %s+%s"),
    ("(%s+%s)^{%s}", "%s+%s^{%s}"), (r"\sqrt{%s}(%s+%s)", r"\sqrt{%s(%s+%s)}"),
    ("e^{%s}(%s+%s)", "e^{%s(%s+%s)}"), (r"\log_{%s}(%s)+%s", r"\log_{%s}(%s+%s)"),
    (r"\{%s, %s, %s\}", "(%s, %s, %s)"), ("(%s, %s), %s", "%s, (%s, %s)"),
    (r"[%s, %s) \cup \{%s\}", r"(%s, %s) \cup \{%s\}"), ("%s, %s, %s", "%s, %s%s"),
    (r"\begin{pmatrix} %s \\ %s \\ %s \end{pmatrix}",
     r"\begin{bmatrix} %s & %s & %s \end{bmatrix}"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), MOVED)
def test_a_brace_that_moved_makes_another_answer(one: str, other: str):
    rng = random.Random(one)
    for _ in range(3):
        values = tuple(sorted(rng.sample(range(5, 40), 3)))
        assert compare(one % values, other % values) == "wrong"
        assert compare(other % values, one % values) == "wrong"
    assert compare(one % ("a", "m", "n"), other % ("a", "m", "n")) != "correct"


def test_a_mixed_number_is_its_fraction_and_no_product_and_no_digits():
    rng = random.Random(0)
    for _ in range(200):
        bottom = rng.choice([2, 3, 4, 6, 7, 9, 11, 13, 28])
        whole, top = rng.randrange(1, 50), rng.randrange(1, bottom)
        mixed = rng.choice([r"%d\frac{%d}{%d}", r"%d \dfrac{%d}{%d}", "%d %d/%d"])
        mixed %= (whole, top, bottom)
        assert compare(mixed, rf"\frac{{{whole * bottom + top}}}{{{bottom}}}") == "correct"
        assert compare(mixed, rf"\frac{{{whole}{top}}}{{{bottom}}}") == "wrong"
        assert compare(mixed, rf"\frac{{{whole * top}}}{{{bottom}}}") == "wrong"


UNITS = [r"\text{ cm}^2", r"\text{ miles per hour}", r"\,\mathrm{kg}", r"\text{ apples}", r"^\circ",
         r"\%", " square units"]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_beside_a_value_changes_no_verdict(unit: str):
    for value in ("12", "0.5", r"\frac{7}{3}", r"2\sqrt{3}", r"1\frac{1}{2}"):
        assert compare(value + unit, value) == "correct"
        assert compare(value, value + unit) == "correct"
        assert compare(value + unit, f"{value}+1") == "wrong"


# Exact, and without a parser where that is provably right


@pytest.mark.parametrize(
    ("found", "answer", "kind"),
    [
        ("007", "7", "integer"), ("1,234", "1234", "text"), ("$204$", "204", "text"),
        ("1/2", "0.5", "text"), (r"\frac{3}{4}", "0.75", "text"), ("x^2", "x^2", "text"),
        ("-6/4", r"\frac{-3}{2}", "text"), ("Paris", "paris", "text"), ("B", "(B)", "choice"),
        (r"1\frac{1}{2}", "1.5", "text"), (r"\text{yes}", "Yes", "text"),
    ],
)  # fmt: skip
def test_what_is_plainly_equal_needs_no_parser(found: str, answer: str, kind: str, no_parser):
    assert compare(found, answer, kind) == "correct"


@pytest.mark.parametrize(
    ("found", "answer", "kind"),
    [
        ("8", "7", "integer"), ("0.3333", "1/3", "text"), ("London", "Paris", "text"),
        ("seven", "7", "integer"), ("A", "B", "text"), ("C", "B", "choice"), ("x", "y", "text"),
        ("Paris", "7", "text"), ("", "7", "integer"),
    ],
)  # fmt: skip
def test_what_is_plainly_different_needs_no_parser(found: str, answer: str, kind: str, no_parser):
    assert compare(found, answer, kind) == "wrong"


def test_a_reference_that_nobody_can_read_is_undecided():
    assert compare("5", r"\heartsuit_{x}^{!?}") == "undecided"
    assert compare(r"9^{9^{9^{9}}}+x", "x+1") == "undecided"
    assert compare("1+" * 500 + "1", "501") == "undecided"


# Extraction


@pytest.mark.parametrize(
    ("attempt", "answer"),
    [
        (r"So \boxed{12} or rather \boxed{13}.", "13"),
        (r"$x=\boxed{2}$ or $x=\boxed{3}$", "2, 3"),
        (r"\boxed 7 at first, then \boxed{8}", "8"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        ("<answer>5</answer>", "5"),
        ("Answer: 4\nNo.\nFinal Answer: 5.", "5"),
        ("**Answer:** $17$", "17"),
        ("Answer: 12\n\nLet me check that answer: it fits.", "12"),
        ("Answer: 1\n<|im_start|>answer\nFinal Answer: 2", "2"),
        ("So the answer is 42.", "42"),
        ("\\boxed{1}\n<answer>2</answer>\nAnswer: 3", "1"),
        ("<answer>2</answer>\nAnswer: 3", "2"),
        ("Answer: 3\nSo the answer is 4.", "3"),
    ],
)
def test_an_answer_is_read_from_the_highest_rung_that_has_one(attempt: str, answer: str):
    assert extract(attempt) == answer


@pytest.mark.parametrize(
    "attempt",
    [
        r"\boxed{\Delta E}" "\nAnswer: C",
        r"\boxed{\text{Option C}}",
        "I choose (C).",
        "Because of this:\n\n**C**",
    ],
)
def test_a_choice_falls_from_rung_to_rung_until_letters_can_be_read(attempt: str):
    assert extract(attempt, "choice") == "C"


@pytest.mark.parametrize("attempt", ["", "I do not know.", r"\boxed{", "Answer: ", "42"])
def test_an_attempt_without_an_answer_is_wrong(attempt: str):
    assert extract(attempt) is None
    assert grade(attempt, "42", "integer") == "wrong"


def test_without_a_reference_nothing_is_decided():
    assert grade("Answer: 4", "  ") == "undecided"


# The guarded process


def test_hostile_strings_neither_crash_nor_hang_the_grader(monkeypatch):
    monkeypatch.setattr(parser, "SECONDS", 0.5)
    for number, text in enumerate(hostile.strings(300)):
        answer, kind = (("42", "integer"), (r"x+\frac{1}{2}", "text"), ("C", "choice"))[number % 3]
        started = time.monotonic()
        assert grade(text, answer, kind) in ("wrong", "undecided")
        assert time.monotonic() - started < 30, text[:200]
    assert parser.parser.compare("1", "2") in ("wrong", "undecided")


PIECES = ["Answer:", "Answer: \n", r"\boxed{1}", r"\boxed{", "option A is ", "\n", "*", "$", "(",
          "{", r"\\", "answer is ", "</think>"]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_two_megabytes_of_one_thing_are_read_in_seconds(piece: str):
    text = piece * (2_000_000 // len(piece))
    started = time.monotonic()
    for kind in ("integer", "text", "choice"):
        extract(text, kind)
    assert time.monotonic() - started < 30


def test_a_comparison_that_takes_too_long_is_undecided_and_the_next_one_works(monkeypatch):
    assert compare(r"\frac{2\pi}{4}", r"\frac{\pi}{2}") == "correct"
    first = parser.parser.child
    monkeypatch.setattr(parser, "SECONDS", 0.5)
    started = time.monotonic()
    assert compare(r"\binom{10^9}{10^8}", "x+1") == "undecided"
    assert time.monotonic() - started < 60
    monkeypatch.setattr(parser, "SECONDS", 20.0)
    assert compare(r"\frac{2\pi}{4}", r"\frac{\pi}{2}") == "correct"
    assert first is not None and first.poll() is not None, "the stuck child was killed"


def test_text_is_never_run_as_code(tmp_path):
    trap = tmp_path / "trap"
    code = f"__import__('os').mkdir('{trap}')+1"
    assert compare(code, "x+1") in ("wrong", "undecided")
    assert not trap.exists()


def test_the_parser_sees_no_secrets(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    parser.parser.stop()
    assert compare(r"\sqrt{4}\pi", r"2\pi") == "correct"
    child = parser.parser.child
    assert child is not None
    with open(f"/proc/{child.pid}/environ", encoding="utf-8") as file:
        assert "canary" not in file.read()
