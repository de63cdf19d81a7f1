"""What the curation of a profile does differently from the reference's, as `recipe` says it of
training. Sources: data/*.py and data/filter.ipynb of the reference; where the paper says nothing,
its code counts.
"""

from __future__ import annotations

import pandas as pd

from s1lib.profile import PROVIDERS, Profile
from s1lib.roles import ASKS

_TEACHER = "gemini-2.0-flash-thinking-exp"
_JUDGE = "claude-3-5-sonnet-20241022"
_STUDENTS = ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-32B-Instruct")


def deviations(book: Profile) -> pd.DataFrame:
    """One row for each step that is another here: columns chapter, what, reference, here."""
    limits, asked = book.models.limits, f"asked {ASKS} times, then"
    by_model = book.roles.grader in PROVIDERS
    filed = {"local": "TF-IDF and a regression", "student": "the 61 titles, asked once"}
    told = filed.get(book.roles.classifier, f"the 61 titles; {asked} no domain")
    steps = [
        ("01", "questions shorter than the n-gram", "never compared",
         "compared as a whole" if book.questions.whole else "never compared"),
        ("01", "words per n-gram", "8", str(book.questions.ngram)),
        ("01", "order of GPQA's options", "one generator for all", "the question's own hash"),
        ("02", "teacher", _TEACHER, book.models.teacher),
        ("02", "tokens of a trace and its answer", "no limit", f"{limits.teacher:,} at most"),
        ("02", "students", ", ".join(_STUDENTS), ", ".join(dict.fromkeys(book.models.students))),
        ("02", "tokens of an attempt", "32,768 at most", f"{limits.student:,} at most"),
        ("02", "length of a trace in tokens of", "Qwen2.5",
         "Qwen2.5" if book.models.base.startswith("Qwen/Qwen2.5-") else book.models.base),
        ("03", "traces cut, refused or too long", "graded and kept", "leave before the grades"),
        ("03", "grader", _JUDGE, book.models.grader),
        ("03", "grading prompt", "data/utils/grading.txt",
         "our own words" if by_model else "none: answers are compared"),
        ("03", "tokens of a grade", "8,192 at most",
         f"{limits.grader:,} at most" if by_model else "none"),
        ("03", "a grade that cannot be read", "asked again for ever",
         f"{asked} undecided" if by_model else "undecided"),
        ("03", "string patterns", "reference", book.selection.patterns),
        ("04", "classifier", _JUDGE, book.models.classifier),
        ("04", "what it is told of the areas", "titles and descriptions, 21,800 characters", told),
        ("04", "direct picks", "stay in their areas", "leave them"),
        ("04", "draws", "no seed, in the order of a set", f"seed {book.seed}, in any order"),
        ("04", "phases", "reference", book.selection.mode),
    ]  # fmt: skip
    table = pd.DataFrame(steps, columns=["chapter", "what", "reference", "here"])
    return table[table["reference"] != table["here"]].reset_index(drop=True)
