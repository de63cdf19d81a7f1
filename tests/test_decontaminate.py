"""Decontamination removes exactly what shares an 8-gram, and says why."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pandas as pd
import pytest

from s1lib.questions import decontaminate as module
from s1lib.questions.decontaminate import (
    contaminated,
    decontaminate,
    hashes,
    ngrams,
    normalize,
    shared_ngram,
)

EIGHT = "one two three four five six seven eight"


def frame(questions: list[str], source: str | list[str] = "a") -> pd.DataFrame:
    ids = [f"q{i}" for i in range(len(questions))]
    return pd.DataFrame({"id": ids, "question": questions, "source": source})


def held(questions: list[str]) -> pd.DataFrame:
    ids = [f"t{i}" for i in range(len(questions))]
    return pd.DataFrame({"benchmark": "AIME", "id": ids, "question": questions})


def test_case_and_whitespace_do_not_matter_but_punctuation_does():
    assert normalize("  One\tTWO \n three ") == "one two three"
    assert shared_ngram(EIGHT, EIGHT.upper().replace(" ", "\n\n")) == EIGHT
    assert shared_ngram(EIGHT, EIGHT.replace("four", "four,")) is None


def test_one_shared_eight_gram_is_enough_and_seven_words_are_not():
    assert contaminated([f"well {EIGHT} and on"], [f"so {EIGHT}"]) == [(0, 0, EIGHT)]
    assert contaminated(["one two three four five six seven"], [EIGHT]) == []
    assert contaminated([EIGHT.rsplit(" ", 1)[0]], [EIGHT.rsplit(" ", 1)[0]]) == []


def test_short_questions_are_compared_as_a_whole_when_asked():
    assert contaminated(["What is 1+1?", ""], ["what  is 1+1?", ""], whole=True) == [
        (0, 0, "what is 1+1?")
    ]
    assert contaminated(["What is 1+1?"], ["and what is 1+1?"], whole=True) == []


def test_ngrams_never_run_over_the_end_of_a_question():
    halves = [EIGHT[:20].strip(), EIGHT[20:].strip()]
    assert contaminated(halves, [EIGHT]) == []


def test_the_report_names_the_ngram_and_both_questions():
    pool, tests = frame(["fine and short", f"Look: {EIGHT}!  nine"]), held(["other", f"{EIGHT}! x"])
    kept, removals = decontaminate(pool, tests)
    assert kept["id"].tolist() == ["q0"]
    assert removals.iloc[0].to_dict() == {
        "id": "q1",
        "question": f"Look: {EIGHT}!  nine",
        "source": "a",
        "against": "AIME",
        "match_id": "t1",
        "match_question": f"{EIGHT}! x",
        "ngram": f"{EIGHT}!",
    }


def test_near_duplicates_go_across_sources_but_not_within_one():
    pool = frame([f"{EIGHT} x", f"{EIGHT} y", f"{EIGHT} z"], ["a", "a", "b"])
    kept, removals = decontaminate(pool, held(["nothing"]))
    assert kept["id"].tolist() == ["q0", "q1"]
    assert removals[["id", "against", "match_id"]].values.tolist() == [["q2", "a", "q0"]]
    assert len(decontaminate(pool, held(["nothing"]), near_dedup=False)[0]) == 3


def test_a_spared_source_loses_nothing_and_takes_nothing_from_others():
    pool = frame([f"{EIGHT} x", f"{EIGHT} y", "z z"], ["AIME", "b", "b"])
    kept, _ = decontaminate(pool, held(["nothing"]), spared=("AIME",))
    assert kept["id"].tolist() == ["q0", "q1", "q2"]
    kept, removals = decontaminate(pool, held([EIGHT]), spared=("AIME",))
    assert kept["id"].tolist() == ["q0", "q2"]
    assert removals["source"].tolist() == ["b"]


def test_a_removed_question_removes_no_other():
    second = "a b c d e f g h"
    pool = frame([f"{EIGHT} {second}", f"{second} i"], ["a", "b"])
    kept, removals = decontaminate(pool, held([EIGHT]))
    assert kept["id"].tolist() == ["q1"]
    assert removals["id"].tolist() == ["q0"]


def reference(pool: pd.DataFrame, tests: list[str], n: int) -> list[str]:
    """The rule in its plainest form: sets of strings, source after source."""
    seen = {gram for text in tests for gram in strings(text, n)}
    kept: list[str] = []
    for _, part in pool.groupby("source", sort=False):
        stays = part[[not strings(q, n) & seen for q in part["question"]]]
        kept += stays["id"].tolist()
        seen |= {gram for q in stays["question"] for gram in strings(q, n)}
    return kept


def strings(text: str, n: int) -> set[str]:
    words = re.sub(r"\s+", " ", text.lower().strip()).split(" ")
    return {" ".join(words[i : i + n]) for i in range(len(words) - n + 1)}


@pytest.mark.parametrize("seed", range(12))
def test_random_texts_are_judged_as_by_plain_sets(seed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CHUNK", 200)
    rng = random.Random(seed)
    words = ["a", "B", "b", "é", "𝑥", "x,", "1", "\u00a0", "\n"]
    texts = [" ".join(rng.choices(words, k=rng.randint(0, 9))) for _ in range(260)]
    n = rng.choice([3, 4, 5])
    pool, tests = frame(texts[:200], sorted(rng.choices("pqrs", k=200))), texts[200:]
    assert decontaminate(pool, held(tests), n)[0]["id"].tolist() == reference(pool, tests, n)


def test_different_ngrams_have_different_hashes():
    rng = random.Random(1)
    texts = [" ".join(rng.choices(["aa", "ab", "ba", "bb", "a", "b"], k=30)) for _ in range(300)]
    by_hash: dict[int, set[str]] = {}
    for rows, values in hashes(texts, 4):
        grams = [gram for row in dict.fromkeys(rows.tolist()) for gram in ngrams(texts[row], 4)]
        for gram, value in zip(grams, values.tolist(), strict=True):
            by_hash.setdefault(value, set()).add(gram)
    assert all(len(grams) == 1 for grams in by_hash.values())


def test_lone_surrogates_and_empty_inputs_do_no_harm():
    assert contaminated(["\ud800 " + EIGHT], [EIGHT]) == [(0, 0, EIGHT)]
    assert contaminated([], [EIGHT]) == [] and contaminated([EIGHT], []) == []
    kept, removals = decontaminate(frame([]), held([]))
    assert kept.empty and removals.empty


def test_rows_of_hashes_ascend_over_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CHUNK", 50)
    texts = ["short", EIGHT, "", f"{EIGHT} nine"] * 6
    rows = [row for part, _ in hashes(texts, 8, whole=True) for row in part.tolist()]
    assert all(a <= b for a, b in pairwise(rows)) and len(rows) == 6 * (1 + 1 + 2)
