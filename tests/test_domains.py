"""The taxonomy, the classifier prompt and its reply, and the local classifier."""

from __future__ import annotations

import pytest

from s1lib.artifacts import RunError
from s1lib.domains import AREAS, local_classifier, parse, prompt


def test_there_are_61_areas_without_00_and_01():
    assert len(AREAS) == 61
    assert all(len(code) == 2 and code.isdigit() for code in AREAS)
    assert "00" not in AREAS and "01" not in AREAS
    assert AREAS["11"] == "Number theory"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("It is about primes.\n11", "11"),
        ("It is about primes.\n\n**11**\n", "11"),
        ("11", "11"),
        ("It is about primes, so 11", None),
        ("The area is\n50", None),
        ("The area is\n111", None),
        ("", None),
        ("\n", None),
    ],
)
def test_only_a_known_code_alone_on_the_last_line_counts(reply: str, code: str | None):
    assert parse(reply) == code


def test_the_prompt_keeps_what_never_changes_in_front():
    (system, first), (again, second) = prompt("What is 2+2?"), prompt("What is a group?")
    assert system == again and "\n11 Number theory\n" in system
    assert first != second and first.endswith("What is 2+2?")


QUESTIONS = [f"What is the probability that {n} dice show {n}?" for n in range(20)] + [
    f"How many primes are below {n}?" for n in range(20)
]
CODES = ["60"] * 20 + ["11"] * 20


def test_the_local_classifier_looks_at_words_and_not_at_numbers():
    model = local_classifier(QUESTIONS, CODES)
    asked = ["Is the probability of 999 dice small?", "Which primes divide 77?"]
    assert model.predict(asked).tolist() == ["60", "11"]


def test_training_labels_must_be_areas():
    with pytest.raises(RunError, match="'99' is no domain"):
        local_classifier(["a b", "c d"], ["11", "99"])
    with pytest.raises(RunError, match="two domains"):
        local_classifier(["a b", "c d"], ["11", "11"])
