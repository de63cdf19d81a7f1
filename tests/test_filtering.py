"""The funnel: each row that goes has one reason, and the counts add up."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from s1lib.chat import training_text
from s1lib.filtering import (
    STEPS,
    dealt,
    difficulty,
    funnel,
    malformed,
    missing,
    overlong,
    quality,
    untraced,
    with_verdicts,
)

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
        ({"attempt": ""}, "no attempt"),
        ({"solution": None}, "no reference solution"),
        ({"teacher_verdict": None}, "no grade: teacher"),
        ({"base_verdict": "undecided"}, "no grade: base"),
        ({"attempt": None, "solution": None}, "no attempt"),
    ],
)
def test_a_missing_feature_has_its_own_reason(change: dict, reason: str | None):
    found = missing(pool({}, change))
    assert pd.isna(found[0])
    assert (None if pd.isna(found[1]) else found[1]) == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"thinking": None}, "no trace"),
        ({"thinking": " \n"}, "no trace"),
        ({"thinking": None, "status": None}, "no trace"),
        ({"status": "cut"}, "trace: cut"),
        ({"status": "refused", "thinking": ""}, "trace: refused"),
        ({"status": "no thinking", "thinking": ""}, "trace: no thinking"),
        ({"overlong": True}, "longer than training takes"),
        ({"overlong": True, "status": "cut"}, "trace: cut"),
    ],
)
def test_a_trace_to_learn_from_has_an_end_and_fits_into_training(change: dict, reason: str | None):
    rows = pool({"status": "ok", "overlong": False}, {"status": "ok", "overlong": False} | change)
    found = untraced(rows)
    assert pd.isna(found[0])
    assert (None if pd.isna(found[1]) else found[1]) == reason
    kept, dropped = quality(rows)
    assert kept["id"].tolist() == (["q0"] if reason else ["q0", "q1"])
    assert dropped["stage"].tolist() == (["traced"] if reason else [])


def test_a_cut_trace_does_not_pass_though_it_has_a_grade_and_a_solution():
    """The longest are drawn first, and nothing is longer than what ran into its limit."""
    kept, dropped = quality(
        pool({"status": "cut", "thinking": "x=1 no. " * 1000}, {"status": "ok"})
    )
    assert kept["id"].tolist() == ["q1"] and dropped["reason"].tolist() == ["trace: cut"]


def test_overlong_counts_the_tokens_of_the_whole_training_text(tiny_tokenizer):
    rows = pool({"thinking": "x=4 yes. " * 9}, {"thinking": "é𝑥" * 40}, {"thinking": None})
    texts = [
        training_text(tiny_tokenizer, row["question"], row["thinking"] or "", row["attempt"])
        for row in rows.astype(object).where(rows.notna(), None).to_dict("records")
    ]
    for limit in (1, *(len(tiny_tokenizer.encode(text)) + k for text in texts for k in (-1, 0))):
        slow = [
            len(tiny_tokenizer.encode(text, add_special_tokens=False)) > limit for text in texts
        ]
        assert overlong(rows, tiny_tokenizer, limit).tolist() == slow


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
        ["q1", "traced", "no trace"],
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
    assert table["n"].tolist() == [4, 3, 3, 2, 1]
    assert table["published"].tolist() == [59_029, None, 54_116, 51_581, 24_496]
    json.dumps(table.to_dict("records"), allow_nan=False)  # facts
    assert table["step"].tolist() == list(STEPS)


def test_a_guesser_gains_nothing_over_answers_dealt_at_random_and_a_solver_does():
    rng = np.random.default_rng(0)
    right = rng.choice(["0", "1", "2", "3"], 2000, p=[0.6, 0.2, 0.1, 0.1])
    group = rng.choice(["a", "b"], 2000)
    guessed = rng.choice(["0", "1"], 2000)
    low, high = np.percentile(dealt(guessed, right, group), [0.1, 99.9])
    assert low <= (guessed == right).sum() <= high
    knows = np.where(rng.random(2000) < 0.2, right, guessed)
    assert (knows == right).sum() > dealt(knows, right, group).max()


def test_answers_are_dealt_within_their_group_only():
    said, right = ["A", "B", "7", "8"], ["B", "A", "8", "7"]
    counts = dealt(said, right, ["choice", "choice", "integer", "integer"], deals=200)
    assert set(counts) == {0, 2, 4}
    assert set(dealt(said, right, ["x"] * 4, deals=500)) == {0, 1, 2, 4}
    assert (
        dealt(said, right, ["x"] * 4, seed=1).tolist() == dealt(said, right, ["x"] * 4, 1).tolist()
    )
