r"""Where an attempt states its answer: a ladder, from a box down to a sentence.

The reference (`eval/lm-evaluation-harness/lm_eval/tasks/aime/utils.py`) knows the last box and
what follows `Answer:`, and for multiple choice counts whatever it does not understand as "A".
Here each rung is tried in turn, its last statement first, and the first that can be read is the
answer; for a choice, "can be read" means that it names letters. No letter is ever assumed.

All repeats in the patterns have a bound, so that reading takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

_FAR = 2_000  # characters after `Answer:` within which a statement has to end
_STATEMENTS = 20  # of a rung that are looked at, from the last one back
_DELIMITERS = re.compile(r"<\|im_start\|>answer|</think>")

_BRACES = re.compile(r"\\(?:boxed|fbox|framebox)\s{0,3}\{|\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\\boxed\s{1,3}([^\s${}]{1,200})")
_AND = r"(?:[,;&]|(?<![a-z])(?:and|or)(?![a-z])|\\text\{\s?(?:and|or)\s?\}|\\q?quad)"
_BETWEEN_BOXES = re.compile(  # such as `$ or $x = `
    rf"[\s$]{{0,9}}(?:{_AND}(?:[\s$]|\\[,;: ]){{0,9}}){{1,3}}"
    r"(?:[A-Za-z][\w{}()']{0,9}\s?=[\s$]{0,3})?"
)
_TAG = re.compile(r"<answer>(.{1,2000}?)</answer>", re.DOTALL | re.IGNORECASE)
_LINE = re.compile(
    r"^[ \t>#*_`•-]{0,9}(?:(?:so|thus|hence|therefore),? )?(?:the )?"
    r"(?:(?:final|correct|best|short|my) ){0,2}(?:answer|choice|option)(?: choice| letter)?"
    r"(?:\(s\)|s(?=:))?(?:\s?\([^()\n]{0,40}\))?[*_` \t]{0,6}(?:[:：]|$)",
    re.IGNORECASE | re.MULTILINE,
)
_OPTIONS = re.compile(r"(?:choice|option)s", re.IGNORECASE)
_SENTENCE = re.compile(
    r"\b(?:answers?|choice|option)\b[^.:：\n=]{0,80}?(?:\s(?:is|are|be)\b|[:：=])"
    r"(?:\s(?:therefore|thus|then|hence|simply|just|given by|equal to)\b){0,2},?[ \t]?[:：]?",
    re.IGNORECASE,
)
_LETTER_LINE = re.compile(
    r"^[ \t>*_$]{0,6}"
    r"(?:(?i:option|choice)\s[*$]{0,3}[(\[]?[A-Za-j]|[(\[]?[A-Z]|[(\[][a-j](?=[)\]]))"
    r"[)\]]?[.*_$ \t]{0,6}$",
    re.MULTILINE,
)


def extract(attempt: str, answer_type: str = "text") -> str | None:
    """The answer of an attempt as it was written; None if there is none.

    `answer_type` is `integer`, `text` or `choice`; a choice is read as its letters, sorted. Only
    what follows the last answer delimiter or `</think>` counts.
    """
    said = _DELIMITERS.split(attempt)[-1]
    unlikely = None
    for rung in _RUNGS_OF_CHOICES if answer_type == "choice" else _RUNGS:
        for stated in islice(rung(said), _STATEMENTS):
            found = letters(stated) if answer_type == "choice" else bare(stated)
            if answer_type == "integer" and found:
                found = _only_number(found)
            if found and (answer_type != "integer" or _DIGIT.search(found)):
                return found
            unlikely = unlikely or found
    return unlikely or None


# Rungs: each yields what was stated, the last first


def _boxes(said: str) -> Iterator[str]:
    """Contents of boxes that are closed. Neighbours joined by a comma, `and`, `or` are one list."""
    if not any(box in said for box in ("\\boxed", "\\fbox", "\\framebox")):
        return
    open_braces: list[tuple[int, int] | None] = []  # (start, content) of boxes, None for others
    spans: list[tuple[int, int, int]] = []  # start, content, end
    for brace in _BRACES.finditer(said):
        if brace[0] == "}":
            box = open_braces.pop() if open_braces else None
            if box and said[box[1] : brace.start()].strip():
                spans.append((*box, brace.start()))
        elif brace[0] == "{" or len(brace[0]) > 2:
            open_braces.append(None if brace[0] == "{" else (brace.start(), brace.end()))
    spans.sort()
    while spans:
        start, content, end = spans.pop()
        values = [said[content:end].strip()]
        while spans and spans[-1][2] < start <= spans[-1][2] + 50:
            if not _BETWEEN_BOXES.fullmatch(said, spans[-1][2] + 1, start):
                break
            start, content, end = spans.pop()
            values.append(said[content:end].strip())
        yield ", ".join(dict.fromkeys(reversed(values)))
    yield from reversed(_BARE_BOX.findall(said))


def _tags(said: str) -> Iterator[str]:
    if "</answer>" in said:
        yield from reversed(_TAG.findall(said))


def _lines(said: str) -> Iterator[str]:
    for place in reversed(list(_LINE.finditer(said))):
        if not _OPTIONS.search(place[0]):
            yield _statement(said, place.end())


def _sentences(said: str) -> Iterator[str]:
    for place in reversed(list(_SENTENCE.finditer(said))):
        yield _statement(said, place.end())


def _picks(said: str) -> Iterator[str]:
    """`I choose (B)`, `Option B is correct`."""
    for place in reversed(list(_PICK.finditer(said))):
        yield place[1] or place[2]


def _letter_lines(said: str) -> Iterator[str]:
    yield from reversed(_LETTER_LINE.findall(said))


_RUNGS: tuple[Callable[[str], Iterator[str]], ...] = (_boxes, _tags, _lines, _sentences)
_RUNGS_OF_CHOICES = (*_RUNGS, _picks, _letter_lines)


def _statement(said: str, start: int) -> str:
    """What stands after `Answer:`: its line, or the next that is not empty; formulas whole."""
    rest = _ITEM.sub("", said[start : start + _FAR]).lstrip(" \t\r\n*_>#`:")
    for opens, closes in (("$$", "$$"), (r"\[", r"\]")):
        inside, found, _ = rest.removeprefix(opens).partition(closes)
        if rest.startswith(opens) and found:
            return inside
    line = rest.partition("\n")[0]
    while len(line) < len(rest) and (
        line.replace(r"\$", "").count("$") % 2 or line.count(r"\begin{") > line.count(r"\end{")
    ):
        more = rest[len(line) + 1 :].partition("\n")[0]
        if not more.strip():
            break
        line = f"{line}\n{more}"
    return line


# What a statement says

_ITEM = re.compile(r"^[\s*]{0,9}\n[ \t]{0,3}[-*•][ \t]{1,3}")
_DIGIT = re.compile(r"\d")
_SPAN = r"(?:(?<!\\)\$[^$\n]{1,300}(?<!\\)\$|\\\([^\n]{1,300}?\\\))"
_SPANS = re.compile(rf"{_SPAN}(?:\s?(?:,|;|and|or|,\s?and|,\s?or)\s?{_SPAN}){{0,20}}")
_LEAD = re.compile(
    r"(?:the|there|so|it|its|this|these|thus|hence|therefore|we|my|our|both|answer|final|an?)\b"
    r".{0,200}\b(?:is|are|be|equals?|equal to|get|have|gives?|obtain|therefore)\b:?\s",
    re.IGNORECASE | re.DOTALL,
)
_ABOUT = re.compile(
    r"(?:[a-z]\s)?(?:about|approximately|around|roughly|exactly|only|equals?|equal to|is)\s",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"[,;]\s(?:which|where|so|with|as)\b|\sis (?:the|our|my|an?)\b"
    r"|[,;]?\s\(?(?:because|since|due to|i\.e|rounded|approx\w*)\b"
)
_NEXT_SENTENCE = re.compile(r"(?:(?<=[\d$)}\]*])|(?<=[a-z]{3}))\.\s{1,3}(?=[A-Z*])")
_NUMBER = re.compile(r"(?<![\w.,/])-?\d+(?:,\d{3})*(?![\w/]|[.,]\d)")
_SENTENCE_OF_WORDS = re.compile(r"[\w\s,.'’()-]*[A-Za-z]{2}[\w\s,.'’()-]*")
_WORD = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{2,}")


def bare(stated: str) -> str:
    """A statement without the words, reasons and markup around its answer."""
    text = strip(stated)
    if len(text) > _FAR or "\\text" in text:
        return text
    words = set(_WORD.findall(_SPANS.sub(" ", text))) - {"and", "or"}
    if not words:
        return text
    if formula := _SPANS.match(text):
        return strip(formula[0])
    text = _NEXT_SENTENCE.split(text, maxsplit=1)[0]
    if reason := _REASON.search(text, 1):
        text = text[: reason.start()]
    if lead := _LEAD.match(text):
        text = text[lead.end() :]
    if formula := _SPANS.search(text):
        return strip(formula[0])
    about = _ABOUT.match(text)
    return strip(text[about.end() :] if about else text)


def _only_number(text: str) -> str:
    """The number in a sentence that has one only, such as `it takes 5 hours`."""
    numbers = (
        _NUMBER.findall(text) if len(text) < _FAR and _SENTENCE_OF_WORDS.fullmatch(text) else []
    )
    return numbers[0] if len(numbers) == 1 else text


def strip(text: str) -> str:
    r"""Without what surrounds an answer: spaces, stars, `$`, `\(..\)`, a full stop."""
    before = None
    while text != before:
        before = text
        text = text.strip(' \t\r\n*`"“”').rstrip(".,;: \\")
        for opens, closes in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
            if text.startswith(opens) and text.endswith(closes) and len(text) > len(opens):
                inside = text[len(opens) : -len(closes)]
                if opens not in inside and not inside.endswith("\\"):
                    text = inside
    return text


# Letters of a choice

_WRAPPER = re.compile(r"\\(?:text|math|bold|operatorname)\w*\s?|\\(?:left|right|[bB]igg?[lr]?)\b")
_MARKUP = re.compile(r"\\[()\[\],;:! ]|[{}$~]|__")
_ONE = r"[(\[]?\s?([A-Z])(?:\s?[)\]])?(?![\w'’^_/=+-])(?!\s?=)"
_LIST = rf"{_ONE}(?:\s?(?:,|;|&|and|or|,\s?and|,\s?or)\s?{_ONE}){{0,9}}"
_ALONE = re.compile(r"[(\[]?\s?([A-J]{2,8}|[A-Z]|[a-j])\s?[)\].:]{0,2}")
_SMALL = re.compile(r"\(([a-j])\)|([a-j])[).](?=\s|$)")
_SMALL_OPTION = re.compile(r"(?i:option|choice)\s\(?([a-j])\)?(?=[.,;:]|$)")
_NAMED = re.compile(
    r"(?i:(?:(?:the|a|an|my|final|correct|best|right)\s){0,4}(?:answer|option|choice|letter)s?"
    rf"\s?(?:is|are|:)?\s?(?:(?:the )?(?:option|choice|letter)s?\s)?:?\s?)({_LIST})"
)
_LEADING = re.compile(rf"({_LIST})")
_SAID = re.compile(
    r"\b(?:is|are|be|gives?|yields?|choose|pick|select|option|choice|answer|letter|leads? to)"
    rf"\s?:?\s({_LIST})"
)
_PICK = re.compile(
    r"\b(?i:choose|pick|select|go with)\s(?i:option |choice |answer )?[*$]{0,3}"
    rf"({_LIST}|\([a-j]\))"
    rf"|(?i:option|choice|answer)\s[*$]{{0,3}}({_LIST})[*$]{{0,3}}\s(?:is|are)\s(?:the\s)?"
    r"(?:correct|right|best|answer|true)"
)
_MARKED = re.compile(r"\(([A-Z])\)")
_NOT = re.compile(r"\b(?:not|none|neither|unclear)\b|n['’]t\b", re.IGNORECASE)
_TAIL = re.compile(r"$|\s?[.,;:()–—-]|\s[\d\"A-Za-z]")
_AFTER_ARTICLE = re.compile(
    r"\s(?!(?:because|since|is|are|and|or|only|for|due|with|by|as)\b)[A-Za-z]"
)


def letters(stated: str) -> str | None:
    """The letters that a statement chooses, sorted, such as `C` or `ABD`; None if it names none.

    The article `A` and the pronoun `I` are no letters, nor are the symbols of a formula.
    """
    text = _MARKUP.sub(" ", _WRAPPER.sub("", stated[:_FAR].replace("*", "").replace("`", "")))
    text = " ".join(text.split()).strip("\"' ")
    if alone := _ALONE.fullmatch(text):
        return _sorted(alone[1].upper()) if len(set(alone[1])) == len(alone[1]) else None
    if small := _SMALL.match(text) or _SMALL_OPTION.search(text):
        return next(filter(None, small.groups())).upper()
    places = [_NAMED.match(text), _LEADING.match(text)]
    if not _NOT.search(text):
        places += reversed(list(_SAID.finditer(text)))
    for place in places:
        if place and _is_choice(place[1], text[place.end(1) :]):
            return _sorted(re.findall(r"[A-Z]", place[1]))
    marked = set(_MARKED.findall(text))
    return marked.pop() if len(marked) == 1 and not _NOT.search(text) else None


def _is_choice(chosen: str, after: str) -> bool:
    if chosen[-1] in ")]":
        return True
    if not _TAIL.match(after):
        return False
    return chosen not in ("A", "I") or not _AFTER_ARTICLE.match(after)


def _sorted(chosen: str | list[str]) -> str:
    return "".join(sorted(set(chosen)))
