"""The funnel: each row that goes has one reason, and the counts add up."""

from __future__ import annotations

import pandas as pd
import pytest

from s1lib.filtering import STEPS, difficulty, funnel, malformed, missing, quality, with_verdicts

GOOD = {
    "question": "What is 2+2?",
    "source_type": "simplescaling/openaimath/Algebra",
    "thinking": "x=4 yes.",
    "attempt": "Answer: 4",
    "solution": "4",
    "teacher_verdict": "correct",
    "small_verdict": "wrong",
    "base_verdict": "wrong",
}


def pool(*changes: dict) -> pd.DataFrame:
    return pd.DataFrame([{"id": f"q{i}"} | GOOD | change for i, change in enumerate(changes)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"thinking": None}, "no trace"),
        ({"thinking": " \n"}, "no trace"),
        ({"attempt": ""}, "no attempt"),
        ({"solution": None}, "no reference solution"),
        ({"teacher_verdict": None}, "no grade: teacher"),
        ({"base_verdict": "undecided"}, "no grade: base"),
        ({"thinking": None, "solution": None}, "no trace"),
    ],
)
def test_a_missing_feature_has_its_own_reason(change: dict, reason: str | None):
    found = missing(pool({}, change))
    assert pd.isna(found[0])
    assert (None if pd.isna(found[1]) else found[1]) == reason


def test_a_missing_domain_counts_once_domains_are_there():
    assert missing(pool({"domain": None}, {"domain": "11"})).tolist()[0] == "no domain"


def test_grades_become_one_column_per_grader_and_missing_ones_are_seen():
    grades = pd.DataFrame(
        [("q0", "teacher", "correct"), ("q0", "world:small", "wrong"), ("q1", "teacher", "wrong")],
        columns=["id", "who", "verdict"],
    )
    table = with_verdicts(pd.DataFrame({"id": ["q1", "q0", "q2"]}), grades)
    assert table["id"].tolist() == ["q1", "q0", "q2"]
    assert table["teacher_verdict"].tolist()[:2] == ["wrong", "correct"]
    assert missing(table).tolist()[0] == "no grade: world:small"
    assert missing(table).tolist()[2] == "no grade: teacher"


@pytest.mark.parametrize(
    ("question", "reference", "default"),
    [
        ("plain", False, False),
        ("[asy] draw(x); [/asy]", True, True),
        ("see ![Image](a.png)", True, True),
        ("**p1.** Find x. **p2.** Find y.", True, True),
        ("p7. Find x", True, True),
        ("p1000. Find x", False, False),
        ("p0. Find x", False, False),
        ("look at step2. It is easy", True, False),
        ("the root is p1.5 here", True, False),
        (r"let \pi and \exp3. be", True, False),
        ("**1.** Find x", True, True),
        ("**1.**Find x", True, True),
        ("**Note:** there are 3 cases", True, False),
        ("**a)**\nthere are 3 cases", False, False),
        ("compute 2**n**3", True, False),
        ("compute 2 ** 3 ** 2", False, False),
        ("**all of it** in 2 words", False, False),
    ],
)
def test_the_string_patterns(question: str, reference: bool, default: bool):
    assert (malformed(question, "x", "reference") is not None) == reference
    assert (malformed(question, "x", "default") is not None) == default


def test_aime_may_have_figures_and_in_the_reference_anything_with_a_figure():
    aime = "qq8933/AIME_1983_2024"
    assert malformed("[asy] x", aime) is None
    assert malformed("[asy] x **1.** y", aime, "reference") is None
    assert malformed("[asy] x **1.** y", aime) is not None
    assert malformed("**1.** y", aime, "reference") is not None


def test_the_label_rule_is_the_references_999_searches():
    texts = [
        f"{before}p{i}{after}"
        for i in (0, 1, 9, 10, 99, 100, 999, 1000, "01", "1a")
        for before in ("", "ste", "x ")
        for after in (".", ",", ". y")
    ]
    for text in texts:
        slow = any(f"p{i}." in text for i in range(1, 1000))
        assert (malformed(text, "x", "reference") is not None) == slow, text


def test_every_row_is_kept_or_dropped_with_one_reason():
    rows = pool(
        {}, {"thinking": None}, {"question": "[asy] x", "solution": None}, {"question": "[asy] x"}
    )
    kept, dropped = quality(rows)
    assert kept["id"].tolist() == ["q0"]
    assert dropped.values.tolist() == [
        ["q1", "complete", "no trace"],
        ["q2", "complete", "no reference solution"],
        ["q3", "well formed", "Asymptote figure"],
    ]


def test_what_either_student_solves_is_dropped():
    rows = pool(
        {},
        {"small_verdict": "correct"},
        {"base_verdict": "correct"},
        {"small_verdict": "correct", "base_verdict": "correct"},
    )
    kept, dropped = difficulty(rows, ["small", "base"])
    assert kept["id"].tolist() == ["q0"]
    assert dropped["reason"].tolist() == [
        "solved by small",
        "solved by base",
        "solved by several students",
    ]


def test_one_student_alone_works_too():
    kept, dropped = difficulty(pool({}, {"small_verdict": "correct"}), ["small"])
    assert kept["id"].tolist() == ["q0"] and dropped["reason"].tolist() == ["solved by small"]


def test_the_funnel_counts_down_beside_the_published_numbers():
    rows = pool({}, {"thinking": None}, {"question": "[asy]"}, {"base_verdict": "correct"})
    good, first = quality(rows)
    _, second = difficulty(good, ["small", "base"])
    table = funnel(4, pd.concat([first, second]))
    assert table["n"].tolist() == [4, 3, 2, 1]
    assert table["published"].tolist() == [59_029, 54_116, 51_581, 24_496]
    assert table["step"].tolist() == list(STEPS)
