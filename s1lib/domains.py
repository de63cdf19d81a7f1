"""The 61 areas of mathematics and science a question can belong to, and how to tell which.

The areas are the two-digit classes of the Mathematics Subject Classification 2020 without 00
(general) and 01 (history), as in the paper (section 2.2). Two classifiers share this taxonomy: a
language model, whose prompt and reply are defined here and whose calls are made in
`s1lib.roles`, and a local one, trained on questions whose area is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from s1lib.artifacts import RunError

AREAS: dict[str, str] = json.loads(
    (resources.files("s1lib") / "msc.json").read_text(encoding="utf-8")
)

SYSTEM = """\
You file questions by subject. Read the question, decide which skill its solution needs most, and
choose the one area of the list whose title fits that skill best. A question of physics,
chemistry or biology belongs to the science area, not to the mathematics it happens to use. Give
your reason in one or two sentences. Then end with a line that holds nothing but the two-digit
code of the area."""


def prompt(question: str) -> tuple[str, str]:
    """System text and user text that ask a language model for the area of a question.

    All that does not change between questions, the list of areas too, is in the system text, so
    that a provider's prompt cache can keep it.
    """
    areas = "\n".join(f"{code} {name}" for code, name in AREAS.items())
    return f"{SYSTEM}\n\n# Areas\n\n{areas}", f"# Question\n\n{question}"


def parse(reply: str) -> str | None:
    """The code on the last line of a reply, or None if there is none or no area has it."""
    lines = reply.strip().splitlines()
    found = re.fullmatch(r"\W*(\d\d)\W*", lines[-1]) if lines else None
    return found[1] if found and found[1] in AREAS else None


def local_classifier(questions: Sequence[str], codes: Sequence[str], seed: int = 0) -> Any:
    """A pipeline of scikit-learn, trained on labelled questions, that predicts their codes.

    TF-IDF of words and word pairs, then multinomial logistic regression. Numbers are replaced by
    one token before counting, so that it learns what a question is about and not which numbers it
    has. Raises `RunError` for an unknown code or one class.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if unknown := set(codes) - AREAS.keys():
        raise RunError(f"{min(unknown)!r} is no domain: use one of the codes in s1lib/msc.json")
    if len(set(codes)) < 2:
        raise RunError("the local classifier needs labelled questions of two domains or more")
    model = make_pipeline(
        TfidfVectorizer(preprocessor=_plain, ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=20.0, max_iter=300, random_state=seed),
    )
    return model.fit(questions, codes)


def _plain(text: str) -> str:
    return re.sub(r"\d+", "0", text.lower())
