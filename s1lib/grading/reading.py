r"""The outline of an answer: lists, sets, tuples, intervals, equations, units around expressions.

Brackets, commas, `x =`, units and percent are read here, and each expression in between by
`latex2sympy2_extended`, the grammar of math-verify. Only in the guarded process of `parser`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy
from sympy import Basic, I, MatrixBase, Rational, Symbol, pi
from sympy.logic.boolalg import BooleanAtom, BooleanFunction
from sympy.physics import units as si
from sympy.physics.units.quantities import PhysicalConstant, Quantity

from s1lib.grading.latex import Unreadable, closing, latex, split


@dataclass(frozen=True)
class Many:
    """Several values. `opens` and `closes` are the brackets: none for a list, braces for a set."""

    parts: Sequence[Any]
    opens: str = ""
    closes: str = ""

    @property
    def ordered(self) -> bool:
        return self.opens not in ("", r"\{")


@dataclass(frozen=True)
class Equation:
    """`left = right`; `name` where the left side only gives the right one a name."""

    left: Any
    right: Any
    name: str = ""


@dataclass(frozen=True)
class Measure:
    """A value and what stands beside it: percent, degrees, a unit of SI, `pm`, or None (apples)."""

    value: Any
    factor: Any


@dataclass(frozen=True)
class Words:
    """What is no mathematics, without its spaces."""

    text: str


PERCENT, DEGREE = Rational(1, 100), pi / 180

_OR = r" ?(?:\\text\{ ?,? ?or ?\}|(?<![A-Za-z])or(?![A-Za-z])|\\(?:lor|vee)(?![a-z]))+ ?"
_AND = r" ?(?:\\text\{ ?,? ?and ?\}|(?<![A-Za-z])and(?![A-Za-z])|\\(?:land|wedge)(?![a-z]))+ ?"
_COMMA = rf"(?:{_OR}|{_AND}| ?(?:[,;&]|\\text\{{ ?[,;] ?\}}) ?)+"
_LETTER = r"(?:[A-Za-z]|\\(?!(?:in|le|ge|pi|cup|cap)\b)[A-Za-z]{2,})'*"
_INDEX = r"(?:_\{[^{}]*\}|\^\{-1\})?"
_NAME = re.compile(
    rf"(?:{_LETTER}{_INDEX}(?: ?\([^()=]{{0,20}}\))?|\\text\{{[^{{}}]*\}}|\|?[A-Z]{{1,4}}\|?"
    r"|m? ?\\(?:overline|angle|triangle|vec|text|hat|bar)(?: ?\{[^{}]*\}| ?[A-Z]{1,3})"
    rf"|\( ?{_LETTER}{_INDEX}(?: ?, ?{_LETTER}{_INDEX}){{1,4}} ?\)|\\frac\{{d ?y\}}\{{d ?x\}})"
)
_SIDES = r" ?(?<![<>!])= ?"
_CURRENCY = re.compile(
    r"^(-?) ?(?:[£€¥₹]|\\pounds|\\euro|(?:USD|US|Rs\.?)|\\text\{ ?(?:USD|Rs\.?|US|€|£) ?\}) ?"
    r"(?=[\d.\\])"
)
_LABEL = re.compile(
    r"^\\text\{[^{}]*(?:\b(?:is|are|about|approximately|around|exactly|answer|the)|[:=]) ?\}(?=.)"
)
_TIME = re.compile(r"(\d{1,2})(?: ?: ?([0-5]\d))?(?: |\\text\{)*([AaPp])\.? ?[Mm]\.?\}?")
_CLOCK = re.compile(r"(\d{1,2}) ?: ?([0-5]\d)()")
_THOUSANDS = re.compile(
    r"(?:^|^[^=,]{1,20}= ?)-?\d{1,3}(?:,\d{3}){1,9}(?=[^\d,][^,]*$|$)"  # alone
    r"|(?<![\d,])\d{1,3}(?:,\d{3}){1,9}(?=, )|(?<=, )\d{1,3}(?:,\d{3}){1,9}(?![\d,])"
)
_BASE = re.compile(r"([0-9A-Fa-f]+) ?_\{(?:\\text\{)?(\w+)\}?\}")
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
          "eight": "8", "nine": "9", "ten": "10", "twelve": "12", "sixteen": "16"}  # fmt: skip
_ORDINAL = re.compile(r"(?<=\d) ?(?:\^\{ ?)?(?:\\text\{ ?)?(?:st|nd|rd|th) ?\}{0,2}(?![A-Za-z])")
_DEGREES = re.compile(
    r" ?(?:\\text\{ ?\^\{\\circ\} ?[CF]? ?\}"
    r"|\^\{\\circ\} ?(?:\\text\{ ?[CF] ?\}|[CF](?![A-Za-z]))?)"
)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_PERCENT = re.compile(
    r" ?(?:\\?%|\\text\{ ?(?:\\?%|percent|per cent|pct) ?\}|(?:percent|per cent|pct))$"
)
_UNIT = re.compile(
    r"(?: ?(?:/|\\cdot)? ?(?:\\text\{[^{}]+\}|(?<![A-Za-z\\])[A-Za-z]{2,}"
    r"|(?<=[ /])[A-Za-z](?![A-Za-z]))\.?(?:\^\{-?\d\})?)+$"
)
_SHORT = {"h": si.hour, "hr": si.hour, "hrs": si.hour, "min": si.minute, "mins": si.minute,
          "sec": si.second, "secs": si.second, "mph": si.mile / si.hour, "in": si.inch,
          "L": si.liter, "mL": si.milliliter}  # fmt: skip
_SI = [si.meter, si.kilogram, si.second, si.ampere, si.kelvin, si.mole]
_SET_BUILDER = re.compile(
    r"\\\{ ?([A-Za-z])(?: ?\\in ?\\mathbb\{[A-Z]\})? ?(?:\\mid|\||:) ?(.*)\\\}"
)
CONDITIONS = (sympy.Set, sympy.Rel, BooleanFunction, BooleanAtom)  # inequalities, sets of numbers


def read(text: str) -> Any:
    """The value that a text writes: Many, Equation, Measure, Words, or an object of sympy."""
    try:
        return _read(_CURRENCY.sub(r"\1", latex(text)))
    except Unreadable:
        return Words(re.sub(r"\s", "", text))


def as_set(value: Any) -> Any:
    """The numbers that a set, inequality, interval or list of these stands for, or None."""
    try:
        if isinstance(value, sympy.Set):
            return value.doit()
        if isinstance(value, CONDITIONS):
            return value.as_set()
        if isinstance(value, Many) and value.opens == r"\{":
            return sympy.FiniteSet(*value.parts)
        if isinstance(value, Many) and len(value.parts) == 2 and value.opens:
            return sympy.Interval(*value.parts, value.opens == "(", value.closes == ")")
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return None
    return None


def _read(text: str) -> Any:
    text = _LABEL.sub("", text.strip(" .,;")).strip()
    if time := _TIME.fullmatch(text) or _CLOCK.fullmatch(text):
        minutes = sympy.Integer(int(time[1]) * 60 + int(time[2] or 0))
        return Measure(minutes, Words(time[3].lower()) if time[3] else None)
    if condition := _SET_BUILDER.fullmatch(text):
        return _read(condition[2])
    text = _THOUSANDS.sub(_number, text)
    if len(parts := [part for part in split(text, _COMMA) if part.strip()]) > 1:
        return _many(parts, text)
    sides = split(text, _SIDES)
    if len(sides) == 1:
        sides = split(text, r" ?\\in(?![a-z]) ?")
    if len(sides) > 1:
        name = _name(sides[0])
        return Equation(None if name else _read(sides[0]), _read(sides[-1]), name)
    if len(sides := split(text, r" ?\\approx ?")) > 1:
        return Equation(_read(sides[0]), _read(sides[-1]), r"\approx")
    if brackets := _brackets(text):
        opens, inside, closes = brackets
        parts = [part for part in split(inside, "[,;]") if part.strip()]
        if opens == "(" and len(parts) > 1 and text.count(r"\pm") == 1:
            signs = (("+", "-"), ("-", "+"))
            return Many([_read(text.replace(r"\pm", a).replace(r"\mp", b)) for a, b in signs])
        if opens == "{" and len(parts) > 1:
            opens, closes = r"\{", r"\}"
        if opens == r"\{" or len(parts) > 1:
            return Many(_flat([_read(part) for part in parts]), opens, closes)
        return _read(inside)
    return _measure(text)


def _number(thousands: re.Match[str]) -> str:
    """A number without its commas, unless its groups rise, as in the list `100,200,300`."""
    groups = re.findall(r"\d+", thousands[0])
    if len(groups) > 2 and groups == sorted(groups) and len(groups[0]) == 3:
        return thousands[0]
    return thousands[0].replace(",", "")


def _many(parts: list[str], text: str) -> Any:
    """A list of values, or of conditions that hold together or in turn."""
    values = _flat([_read(part) for part in parts])
    if all(isinstance(value, CONDITIONS) for value in values):
        sets = [as_set(value) for value in values]
        if None not in sets and (re.search(_OR, text) or re.search(_AND, text)):
            return (sympy.Union if re.search(_OR, text) else sympy.Intersection)(*sets)
    return values[0] if len(values) == 1 else Many(values)


def _flat(values: list[Any]) -> list[Any]:
    r"""Without lists in lists: `1 \pm 2, 5` has three values."""
    flat: list[Any] = []
    for value in values:
        flat += value.parts if isinstance(value, Many) and not value.opens else [value]
    return flat


def _name(text: str) -> str:
    text = text.strip()
    return re.sub(r"[\s{}]|\\text", "", text) if _NAME.fullmatch(text) else ""


def _brackets(text: str) -> tuple[str, str, str] | None:
    """The brackets around the whole text, and what is in them."""
    opens = re.match(r"[(\[{]|\\\{|\\langle", text)
    if not opens:
        return None
    end = closing(text, 0)
    if not (closes := re.fullmatch(r"[)\]}]|\\\}|\\rangle", text[end:])):
        return None
    inside = text[opens.end() : end]
    alike = {r"\langle": "(", r"\rangle": ")"}
    return alike.get(opens[0], opens[0]), inside, alike.get(closes[0], closes[0])


def _measure(text: str) -> Any:
    """An expression and what stands beside it."""
    text = _ORDINAL.sub("", text)
    if based := _BASE.fullmatch(text):
        base = _BASES.get(based[2].lower(), based[2])
        if base.isdigit() and not based[1].isalpha():
            return Measure(Words(based[1].upper().lstrip("0")), Words(base))
    if percent := _PERCENT.search(text):
        return Measure(_expression(text[: percent.start()]), PERCENT)
    if _DEGREES.search(text):
        if _TRIGONOMETRY.search(text):
            return _expression(_DEGREES.sub(r"\\cdot\\frac{\\pi}{180}", text))
        return Measure(_expression(_DEGREES.sub("", text)), DEGREE)
    if (unit := _UNIT.search(text)) and _is_unit(text[: unit.start()], unit[0]):
        return Measure(_expression(text[: unit.start()]), _unit(unit[0]))
    return _expression(text)


def _is_unit(before: str, words: str) -> bool:
    """Whether words beside a value are no variables: in another font, a known unit, or long."""
    known = _unit(words) is not None
    if r"\text" in words:
        return bool(before.strip()) and (known or bool(re.search("[A-Za-z]{2}", words[5:])))
    if not re.search(r"(?:[\d)}]|\\pi)$", before.rstrip()):
        return False
    return known or bool(re.match(r" [A-Za-z]{3}", words))


def _unit(words: str) -> Any:
    """A unit that sympy knows, in SI; None for apples."""
    total, power, over = sympy.Integer(1), 1, 1
    spoken = re.sub(r"\\text|\\cdot|[{}.]", " ", words.replace("}^{", "^").replace("^{", "^"))
    for word in spoken.replace("/", " per ").split():
        name, _, exponent = word.partition("^")
        if name == "per":
            over = -1
        elif name in ("square", "sq", "cubic"):
            power = 3 if name == "cubic" else 2
        else:
            unit = _SHORT.get(name) or getattr(si, name, getattr(si, name.lower(), None))
            known = name in _SHORT or isinstance(unit, Quantity)
            if unit is None or not known or isinstance(unit, PhysicalConstant):
                return None
            total *= unit ** (over * int(exponent or power))
            power = 1
    return si.convert_to(total, _SI)


class _Grammar(_Latex2Sympy):
    """math-verify's grammar, with decimals as fractions, and products that are products."""

    def parse_number(self, text: str) -> Any:
        return Rational(text.replace(",", ""))

    def convert_postfix_list(self, arr: Any, i: int = 0) -> Any:
        """Only a whole number beside a proper fraction of numbers is a mixed number."""
        first = self.convert_postfix(arr[i])
        if i + 1 == len(arr):
            return first
        if not isinstance(first, (sympy.Expr, MatrixBase)):
            return super().convert_postfix_list(arr, i)
        rest = self.convert_postfix_list(arr, i + 1)
        beside = arr[i].getText() + arr[i + 1].getText()
        mixed = re.fullmatch(r"\d+\\frac\{(\d+)\}\{(\d+)\}", beside)
        if mixed and int(mixed[1]) < int(mixed[2]) and i + 2 == len(arr):
            return first + rest
        if getattr(first, "is_Matrix", False) or getattr(rest, "is_Matrix", False):
            return self.mat_mul_flat(first, rest)
        return self.mul_flat(first, rest)


_CONFIG = ConversionConfig(lowercase_symbols=False)


def _expression(text: str) -> Any:
    r"""An object of sympy, a list where it has `\pm`, or words."""
    text = re.sub(r"\\text\{ ?([A-Za-z]) ?\}", r" \1 ", text).strip()
    try:
        value = _Grammar(is_real=True, config=_CONFIG).parse(text)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the grammar and sympy raise whatever comes
        return Words(re.sub(r"\s", "", text))
    if isinstance(value, sympy.FiniteSet) and r"\pm" in text:
        return Many([_exact(part) for part in value.args])
    if not isinstance(value, (Basic, MatrixBase)):
        return Words(re.sub(r"\s", "", text))
    return _exact(value)


def _exact(value: Any) -> Any:
    """The imaginary unit for `i`, and real odd roots of negative numbers."""
    if value.is_Matrix:
        return sympy.Matrix(value.doit()).applyfunc(_exact)
    return value.subs(Symbol("i", real=True), I).replace(_is_odd_root, _real_root)


def _is_odd_root(part: Any) -> bool:
    if not (part.is_Pow and part.exp.is_Rational and part.base.is_Rational):
        return False
    return bool(part.base < 0 and part.exp.q > 1 and part.exp.q % 2)


def _real_root(part: Any) -> Any:
    return (-1) ** part.exp.p * (-part.base) ** part.exp
