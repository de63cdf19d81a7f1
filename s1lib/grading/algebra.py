r"""Whether two answers are the same mathematics, decided exactly or not at all.

The comparison of math-verify is not used: it takes what agrees to 15 digits for equal, so that
1/2006! and 1/2004! were the same. Here rational numbers and factorials are compared as such, other
expressions are refuted by their figures or proved by sympy, and what is neither is not decided.

Run only in the guarded process of `s1lib.grading.parser`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import sympy
from sympy import MatrixBase, Rational
from sympy.core.logic import fuzzy_and, fuzzy_or

from s1lib.grading.reading import (
    CONDITIONS,
    DEGREE,
    PERCENT,
    Equation,
    Many,
    Measure,
    Words,
    as_set,
    read,
)

_FIGURES = 30  # digits that are computed; two values that differ in the first 22 are different
_EXPONENTS = 200_000  # larger exponents and factorials are not worked out


def same(found: str, answer: str) -> bool | None:
    """Whether two answers mean the same; None where that cannot be decided."""
    return equal(read(found), read(answer))


def equal(a: Any, b: Any) -> bool | None:
    """Whether two values that were read are the same; `b` is the reference."""
    for kind, compare in (
        (Equation, _equal_equations),
        (Measure, _equal_measures),
        (CONDITIONS, _equal_conditions),
        (MatrixBase, _equal_matrices),
        (Many, _equal_many),
        (Words, _equal_words),
    ):
        if isinstance(a, kind) or isinstance(b, kind):
            return compare(a, b)
    return _equal_expressions(a, b)


def _equal_words(a: Any, b: Any) -> bool | None:
    """The same text; what the grammar could not read of a reference is not decided."""
    if not isinstance(b, Words):
        return False
    if not isinstance(a, Words):
        return None
    ours, theirs = (re.sub(r"\\text|[{}.\\]", "", words.text) for words in (a, b))
    if ours == theirs:
        return True
    return False if ours.isalpha() or theirs.isalpha() else None


def _equal_equations(a: Any, b: Any) -> bool | None:
    """`x = 5` is 5, and two equations are the same if one is a multiple of the other."""
    if isinstance(a, Equation) and a.name == r"\approx":
        return fuzzy_or(equal(side, b) for side in (a.left, a.right))
    if isinstance(b, Equation) and b.name == r"\approx":
        return fuzzy_or(equal(a, side) for side in (b.left, b.right))
    if not isinstance(b, Equation):
        return equal(a.right, b)
    if not isinstance(a, Equation):
        return equal(a, b.right) if b.name else False
    if a.name and b.name:
        values = equal(_renamed(a, b), b.right)
        if a.name == b.name or "(" in a.name or "(" in b.name:
            return values
        if values is not False:
            return False  # x = 5 is not y = 5
    return _proportional(_difference(a), _difference(b), sign=False)


def _renamed(a: Equation, b: Equation) -> Any:
    """The right side of f(n) = n + 1 in the variable of f(x) = x + 1."""
    ours, theirs = (re.fullmatch(r".*\((\w)\)", equation.name) for equation in (a, b))
    if ours and theirs and isinstance(a.right, sympy.Expr):
        symbols = (sympy.Symbol(name[1], real=True) for name in (ours, theirs))
        return a.right.subs(*symbols)
    return a.right


def _difference(equation: Equation) -> Any:
    left = read(equation.name) if equation.name else equation.left
    both = isinstance(left, sympy.Expr) and isinstance(equation.right, sympy.Expr)
    return left - equation.right if both else None


def _equal_measures(a: Any, b: Any) -> bool | None:
    """A unit that only one side has may be left out; percent and degrees may also be meant."""
    if not isinstance(a, Measure) or not isinstance(b, Measure):
        return _equal_bare(a, b)
    if isinstance(a.value, Words) or isinstance(b.value, Words):  # digits to a base
        return a == b
    if a.factor is None or b.factor is None or a.factor == b.factor:
        return equal(a.value, b.value)
    if isinstance(a.factor, Words) or isinstance(b.factor, Words):  # am and pm
        return False
    scale = a.factor / b.factor
    return scale.is_number and equal(_product(Measure(a.value, scale)), b.value)


def _equal_bare(a: Any, b: Any) -> bool | None:
    measure = a if isinstance(a, Measure) else b
    if isinstance(measure.value, Words):
        other = b if measure is a else a
        return isinstance(other, sympy.Integer) and str(other) == measure.value.text
    meant = [measure.value]
    if measure.factor in (PERCENT, DEGREE):
        meant.append(_product(measure))
    return fuzzy_or(equal(value, b) if measure is a else equal(a, value) for value in meant)


def _product(measure: Measure) -> Any:
    if isinstance(measure.value, sympy.Expr):
        return measure.value * measure.factor
    return measure.value


def _equal_many(a: Any, b: Any) -> bool | None:
    """In order if one of them has an order, else in any."""
    if not isinstance(a, Many) or not isinstance(b, Many):
        many = a if isinstance(a, Many) else b
        if many.opens != r"\{" or len(many.parts) != 1:
            return False
        return equal(a.parts[0], b) if many is a else equal(a, b.parts[0])
    if len(a.parts) != len(b.parts):
        return False
    if not a.ordered and not b.ordered:
        return _equal_in_any_order(a, b)
    if r"\{" in (a.opens, b.opens):
        return False
    ends = {(many.opens, many.closes) for many in (a, b) if many.opens}
    if len(ends) > 1 and len(a.parts) == 2:  # the ends of an interval
        return False
    return fuzzy_and(equal(x, y) for x, y in zip(a.parts, b.parts, strict=True))


def _equal_in_any_order(a: Many, b: Many) -> bool | None:
    left, unsure = list(b.parts), False
    for part in a.parts:
        verdicts = [equal(part, other) for other in left]
        if True in verdicts:
            del left[verdicts.index(True)]
        elif None not in verdicts:
            return False
        else:
            unsure = True
    return None if unsure else True


def _equal_matrices(a: Any, b: Any) -> bool | None:
    """Element by element; a vector may also be written as a tuple."""
    if isinstance(a, MatrixBase) and isinstance(b, MatrixBase):
        if a.shape != b.shape:
            return False
        return fuzzy_and(_equal_expressions(x, y) for x, y in zip(a, b, strict=True))
    matrix, other = (a, b) if isinstance(a, MatrixBase) else (b, a)
    if not isinstance(other, Many) or other.opens != "(" or 1 not in matrix.shape:
        return False
    return equal(Many(list(a), "(", ")"), b) if matrix is a else equal(a, Many(list(b), "(", ")"))


def _equal_conditions(a: Any, b: Any) -> bool | None:
    """Inequalities and sets of numbers, both as sets."""
    if isinstance(a, sympy.Rel) and isinstance(b, sympy.Rel):
        alike = type(a) in (type(b), type(b.reversed))
        if alike and _proportional(_above(a), _above(b), sign=not isinstance(a, sympy.Ne)):
            return True
        if len(a.free_symbols | b.free_symbols) > 1:
            return False if any(_truth(a, at) != _truth(b, at) for at in _places(a, b)) else None
    ours, theirs = as_set(a), as_set(b)
    if ours is None or theirs is None:
        return False if isinstance(b, (sympy.Expr, Many)) or theirs is not None else None
    if ours == theirs:
        return True
    return sympy.SymmetricDifference(ours, theirs).doit().is_empty


def _above(relation: Any) -> Any:
    if isinstance(relation, (sympy.Ne, sympy.Eq)):
        return relation.lhs - relation.rhs
    return relation.gts - relation.lts


def _truth(relation: Any, at: dict[Any, Any]) -> bool:
    return bool(relation.subs(at) == True)  # noqa: E712 (sympy's own truth)


def _proportional(a: Any, b: Any, sign: bool) -> bool | None:
    """Whether a / b is a number, and positive if the sign matters."""
    if a is None or b is None:
        return None
    ratio = sympy.simplify(a / b)
    if not ratio.is_number or not ratio.is_finite or ratio.is_zero:
        return False
    return bool(ratio.is_positive) if sign else True


def _equal_expressions(a: Any, b: Any) -> bool | None:
    """Rational numbers as such; others refuted by figures, or proved by sympy, or undecided."""
    if a == b:
        return True
    if not isinstance(a, sympy.Expr) or not isinstance(b, sympy.Expr):
        return False
    if _explodes(a) or _explodes(b):
        return None
    a, b = a.doit(), b.doit()
    if a == b:
        return True
    if (a.is_Rational and b.is_Rational) or a.is_infinite or b.is_infinite:
        return False
    if any(_differ(a.subs(at), b.subs(at)) for at in _places(a, b)):
        return False
    gap = a - b
    if sympy.expand(gap) == 0 or sympy.simplify(gap) == 0:
        return True
    return gap.equals(0)


def _explodes(value: Any) -> bool:
    """Whether some power or factorial in it has more than a million digits or so."""
    for part in sympy.postorder_traversal(value):  # from the inside, so that each look is short
        if isinstance(part, (sympy.Pow, sympy.factorial)):
            many = part.exp if part.is_Pow else part.args[0]
            if many.is_number and not abs(many.evalf(3)) < _EXPONENTS:
                return True
    return False


def _places(a: Any, b: Any) -> Iterator[dict[Any, Any]]:
    """Values for the variables of both; some small, some large, of either sign."""
    names = sorted(a.free_symbols | b.free_symbols, key=str)
    for turn in range(6 if names else 1):
        sign = -1 if turn % 2 else 1
        yield {
            name: sign ** (k + turn // 2) * Rational(sympy.prime(3 + k + 2 * turn), 7 + turn)
            for k, name in enumerate(names)
        }


def _differ(a: Any, b: Any) -> bool:
    """Whether two numbers differ in figures that are known."""
    x, y = a.evalf(_FIGURES), b.evalf(_FIGURES)
    if not all(side.is_number and side.is_finite for side in (x, y)):
        return False
    return bool(abs(x - y) > (abs(x) + abs(y)) * Rational(1, 10 ** (_FIGURES - 8)))
