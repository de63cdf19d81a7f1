"""The local grader: read an answer, compare it exactly, and only then ask a parser.

`extract` finds what an attempt states, `verdict` decides what can be decided without mathematics
(letters, whole and decimal numbers, fractions, words), and everything else goes to `algebra`, with
its text whole, in a guarded process (`parser`). What nobody can decide is `undecided`.
"""

from s1lib.grading.extract import extract
from s1lib.grading.verdict import GRADER, Verdict, compare, grade

__all__ = ["GRADER", "Verdict", "compare", "extract", "grade"]
