"""Verdicts: exact where that is provably right, and the parser's for all else.

The reference (`eval/lm-evaluation-harness/lm_eval/tasks/aime/utils.py`) compares digit strings
and sends the rest to a paid model that is shown the right answer.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal

from s1lib.grading.extract import extract, letters, strip
from s1lib.grading.parser import parser

Verdict = Literal["correct", "wrong", "undecided"]

GRADER = "local"
_LONGEST = 600  # characters; longer answers are correct if identical, else undecided

_GAP = r"(?:,\\!\s?|\\!,|\{,\}|,|\\,|[ \u00a0\u2009\u202f])"
_WHOLE = rf"(?:\d{{1,3}}(?:{_GAP}\d{{3}}){{1,30}}|\d{{1,400}})"
_PART = r"\s?(?:\{\s?(-?\d{1,99})\s?\}|(\d))"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)\s?(?:(?P<whole>{_WHOLE})(?P<decimals>\.\d{{0,400}})?|(?P<point>\.\d{{1,400}}))"
)
_RATIO = re.compile(
    rf"(?P<sign>[+-]?)\s?(?:(?P<whole>\d{{1,99}})(?:\\[,; ]|\s){{0,3}})?\\[dtc]?frac{_PART}{_PART}"
)
_SLASH = re.compile(
    r"(?P<sign>[+-]?)\s?(?:(?P<whole>\d{1,99})(?:\\[,; ]|\s){1,3})?(\d{1,99})\s?/\s?(\d{1,99})"
)
_WORDS = re.compile(r"[A-Za-z][A-Za-z'’., -]*")
_WORD = re.compile(r"[A-Za-z]{3}")
_TEXT = re.compile(r"\\(?:text|math|mbox)\w{0,9}\s?\{([^{}\\$^_]*)\}")
_BETWEEN = re.compile(r",? (?:and|or) |, ?")
_MATHS = re.compile(r"[\d\\^{}=<>+*/()\[\]]|[^\x00-\x7f]")
_BRACKETED = re.compile(r"\(?[A-J]\)?(?:\s?(?:,|and)\s?\(?[A-J]\)?){0,8}")


def grade(attempt: str, answer: str, answer_type: str = "text") -> Verdict:
    """Whether `attempt` (a text that states an answer) agrees with the reference `answer`.

    `answer_type` is `integer`, `text` or `choice`; letters in brackets are a choice in any case.
    An attempt without an answer is wrong; an empty reference, or a comparison that cannot be
    decided or took too long, is undecided.
    """
    if not answer.strip():
        return "undecided"
    found = extract(attempt, answer_type)
    if answer_type == "text" and _chosen(answer):
        found = extract(attempt, "choice") or found
    return compare(found, answer, answer_type) if found else "wrong"


def compare(found: str, answer: str, answer_type: str = "text") -> Verdict:
    """Compare two bare answers: exactly where that is possible, with the parser elsewhere."""
    found, answer = strip(found), strip(answer)
    if answer_type == "choice":
        return _verdict((letters(found) or found.upper()) == (letters(answer) or answer.upper()))
    if found == answer:
        return "correct"
    ours, theirs = number(found), number(answer)
    if ours is not None and theirs is not None:
        return _verdict(ours == theirs)
    if (chosen := _chosen(answer)) and (named := letters(found)):
        return _verdict(named == chosen)
    said, meant = _words(found), _words(answer)
    if said and meant:
        return _verdict(_same_words(said, meant))
    if (said and theirs is not None) or (answer_type == "integer" and not _MATHS.search(found)):
        return "wrong"
    if max(len(found), len(answer)) > _LONGEST:
        return "undecided" if _MATHS.search(found) else "wrong"
    return parser.compare(found, answer)


def number(text: str) -> Fraction | None:
    r"""A whole number, decimal, fraction or mixed number, exactly; None for anything else.

    `10{,}080`, `10,080` and `10\,080` are one number. Three or more groups of three digits that
    rise, none with a leading zero, are taken for a list, as in `100,200,300`.
    """
    text = text.replace("−", "-")
    if found := _NUMBER.fullmatch(text):
        if _is_list(found["whole"] or ""):
            return None
        digits = re.sub(r"\D", "", found["whole"] or "0")
        value = Fraction(f"{digits}{found['decimals'] or found['point'] or ''}")
        return -value if found["sign"] == "-" else value
    if found := _RATIO.fullmatch(text) or _SLASH.fullmatch(text):
        top, bottom = (int(part) for part in found.groups()[2:] if part)
        if not bottom or (found["whole"] and not 0 < top < bottom):
            return None
        value = int(found["whole"] or 0) + Fraction(top, bottom)
        return -value if found["sign"] == "-" else value
    return None


def _is_list(whole: str) -> bool:
    groups = whole.split(",")
    rising = len(groups) > 2 and groups == sorted(groups)
    return rising and all(len(group) == 3 and group.isdigit() for group in groups)


def _verdict(same: bool) -> Verdict:
    return "correct" if same else "wrong"


def _chosen(answer: str) -> str | None:
    """The letters of a reference that is a choice: `(C)`, `\\text{C}`, `B, E` or `ABD`."""
    bare = _TEXT.sub(r"\1", answer).strip()
    if len(bare) > 1 and bare.isalpha() and bare.isupper():
        return bare if list(bare) == sorted(set(bare)) and bare[-1] <= "J" else None
    if _BRACKETED.fullmatch(bare) and (len(bare) > 1 or bare != answer):
        return letters(bare)
    return None


def _words(text: str) -> str | None:
    """The words of an answer that is made of words only, or of letters beside each other."""
    bare = _TEXT.sub(r"\1", text)
    formula = bare == text and not text.isalpha() and not _WORD.search(text)  # such as p - q
    return " ".join(bare.split()).rstrip(".") if _WORDS.fullmatch(bare) and not formula else None


def _same_words(said: str, meant: str) -> bool:
    """The same words whatever their case and order; the same letters, if they may be variables."""
    if len(meant) > 2 or meant.lower() == "no":
        ours, theirs = (sorted(_BETWEEN.split(words.casefold())) for words in (said, meant))
        return ours == theirs
    return sorted(said) == sorted(meant)
