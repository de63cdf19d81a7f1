r"""Answers as models write them, rewritten into the LaTeX that the parser's grammar reads.

Every rewriting keeps the meaning: `½` and `\dfrac12` become `\frac{1}{2}`, `2√3` becomes
`2\sqrt{3}`, `\left(` becomes `(`. What belongs together is found by its brackets, never by
dropping them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ", "0123456789+-()ni")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙ", "0123456789+-()n")
_FRACTIONS = {
    "½": "12", "⅓": "13", "⅔": "23", "¼": "14", "¾": "34", "⅕": "15", "⅖": "25", "⅗": "35",
    "⅘": "45", "⅙": "16", "⅚": "56", "⅛": "18", "⅜": "38", "⅝": "58", "⅞": "78",
}  # fmt: skip
_NAMED = {
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
    "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta",
    "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu",
    "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ϕ": "phi",
    "χ": "chi", "ψ": "psi", "ω": "omega", "≤": "le", "≥": "ge", "⩽": "le", "⩾": "ge", "≠": "neq",
    "≈": "approx", "±": "pm", "∓": "mp", "∞": "infty", "∪": "cup", "∩": "cap", "∈": "in",
    "∅": "emptyset", "×": "times", "·": "cdot", "⋅": "cdot", "⟨": "langle", "⟩": "rangle",
    "∖": "setminus", "…": "ldots",
}  # fmt: skip
_SIGNS = {
    "−": "-", "–": "-", "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "°": r"^\circ ", "º": r"^\circ ",
    "′": "'", "’": "'", "∛": "√[3]", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}",
    "ℂ": r"\mathbb{C}",
    **{sign: rf"\frac{{{parts[0]}}}{{{parts[1]}}}" for sign, parts in _FRACTIONS.items()},
    **{sign: f"\\{name} " for sign, name in _NAMED.items()},
}  # fmt: skip
_TABLE = str.maketrans(_SIGNS)
_FUNCTIONS = (
    "sqrt|pi|infty|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|log|ln|exp|theta"
)
_SPACES = r"\\[,;:!> ]|~|\\q?quad(?![a-z])|\\[hv]space\*?\{[^{}]*\}"
_DROPPED = (
    r"\\(?:left|right|middle)\s?\.|\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])"
    r"|\\(?:displaystyle|textstyle|limits|nolimits|rm|bf)(?![A-Za-z])|\\phantom\{[^{}]*\}"
)
_INSIDE = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
_FONT = re.compile(rf"\\(?:text|math)(?:rm|sf|bf|it|tt|normal|up)?\s?{_INSIDE}|\\mbox\s?{_INSIDE}")
_RULES: list[tuple[str, str]] = [
    (_DROPPED, " "),
    (r"\\[dtc]frac(?![a-z])", r"\\frac"),
    (r"\\[dt]binom(?![a-z])", r"\\binom"),
    (r"\\d?dots(?![a-z])|\\cdots", r"\\ldots "),
    (r"\\(?:geqslant|geqq)(?![a-z])|>=|\\geq(?![a-z])", r"\\ge "),
    (r"\\(?:leqslant|leqq)(?![a-z])|<=|\\leq(?![a-z])", r"\\le "),
    (r"\\ne(?![a-z])|!=", r"\\neq "),
    (r"\\(?:varnothing|O)(?![a-z])|\\\{\s*\\\}", r"\\emptyset "),
    (r"\\(?:lbrace)(?![a-z])", r"\\{"),
    (r"\\(?:rbrace)(?![a-z])", r"\\}"),
    (r"\\lbrack(?![a-z])", "["),
    (r"\\rbrack(?![a-z])", "]"),
    (r"\\[lr]vert(?![a-z])|\\vert(?![a-z])", "|"),
    (r"\\lg(?![a-z])", r"\\log_{10}"),
    (r"\\(?:tg|operatorname\{tg\})(?![a-z])", r"\\tan"),
    (r"\\(?:ctg|operatorname\{ctg\})(?![a-z])", r"\\cot"),
    (r"\\operatorname\*?\{(arcsin|arccos|arctan|sin|cos|tan|log|ln|gcd|lcm|max|min)\}", r"\\\1 "),
    (r"\\(?:smallsetminus|backslash)(?![a-z])", r"\\setminus "),
    (r"\\mathbb\s?([A-Z])", r"\\mathbb{\1}"),
    (r"\\boldsymbol\s?\{", r"\\mathbf{"),
    (r"\\imath(?![a-z])|\\mathrm\{i\}", "i"),
    (r"\*\*", "^"),
    (r"(?<![\w\\.])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![\w.])", r"\1\\cdot10^{\2}"),
    (r"\s?\\text\{\s?degrees?\s?\}|(?<=[\d}])\s?degrees?(?![a-z])|\\degree(?![a-z])", r"^{\\circ}"),
    (r"(?<![\\A-Za-z{])(?:infinity|inf)(?![A-Za-z])", r"\\infty "),
    (r"(?<=\d)(?:\{,\}|\\!,|,\\!\s?)(?=\d{3})", ""),
    (r"\{,\}|\\!,|,\\!", ","),
    (r"(?<=\d)\{:\}", ":"),
    (_SPACES, " "),
    (rf"(?<![\\A-Za-z{{])({_FUNCTIONS})(?![A-Za-z])", r"\\\1 "),
    (rf"(?<=\d)({_FUNCTIONS})(?![A-Za-z])", r"\\\1 "),
    (r"√", r"\\sqrt "),
]
_COMPILED = [(re.compile(pattern), to) for pattern, to in _RULES]
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar|dot)\s?\{?(\d+)\}?")
_ROW = re.compile(r"\\\\(?:\[[^\]]{0,9}\])?")  # the end of a row, and the gap that it leaves
_ARGUMENTS = re.compile(r"\\(frac|binom|sqrt)(?![A-Za-z])|[\^_]")
_EXPONENT = re.compile(r"-?\d+(?:\.\d+)?|-[A-Za-z]")
_TOKEN = re.compile(r"\\(?:begin|end)\{[^{}]*\}|\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPENS = re.compile(r"[(\[{]|\\\{|\\langle|\\lfloor|\\lceil|\\begin\{.*")
_CLOSES = re.compile(r"[)\]}]|\\\}|\\rangle|\\rfloor|\\rceil|\\end\{.*")


class Unreadable(ValueError):
    """The text is not what the parser could read."""


def latex(text: str) -> str:
    """The text in the parser's LaTeX. Raises `Unreadable` where brackets do not match."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ]+", lambda m: f"^{{{m[0].translate(_RAISED)}}}", text)
    text = re.sub(r"[₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙ]+", lambda m: f"_{{{m[0].translate(_LOWERED)}}}", text)
    text = text.translate(_TABLE).replace(r"\$", "").replace("$", "").replace("\n", " ")
    text = _ROW.sub("\x1e", text) if r"\begin" in text else text.replace("\\\\", "\\")
    for pattern, to in _COMPILED:
        text = pattern.sub(to, text)
    text = _REPEATING.sub(_repeated, text.replace("\x1e", r"\\ "))
    text = _FONT.sub(_plain, text)
    text = " ".join(_braced(text).split())
    if re.search(r"\d \.?\d", text):  # two numbers side by side are neither a sum nor a product
        raise Unreadable(text)
    return text


def _plain(font: re.Match[str]) -> str:
    """A number or formula in another font is itself; letters and words keep one font."""
    inside = (font[1] if font[1] is not None else font[2]).strip()
    if "_" in inside:
        return inside
    if "^" in inside:
        return re.sub(r"(?<![\\A-Za-z])[A-Za-z]+", r"\\text{\g<0>}", inside)
    return f"\\text{{{inside}}}" if re.search(r"[A-Za-z]", inside) else f" {inside} "


def _repeated(decimal: re.Match[str]) -> str:
    """A repeating decimal as a fraction."""
    whole, once, again = decimal[1] or "0", decimal[2], decimal[3]
    top = int(whole + once + again) - int(whole + once)
    return rf"\frac{{{top}}}{{{'9' * len(again) + '0' * len(once)}}}"


def _braced(text: str) -> str:
    """Braces around every argument of a fraction, root, power or index."""
    done, place = [], 0
    while found := _ARGUMENTS.search(text, place):
        done.append(text[place : found.start()])
        piece, place = _command(text, found)
        done.append(piece)
    return "".join(done) + text[place:]


def _command(text: str, found: re.Match[str]) -> tuple[str, int]:
    place, piece = found.end(), found[0]
    if found[1] == "sqrt":
        place = _skip(text, place)
        if text[place : place + 1] == "[":
            end = closing(text, place)
            piece, place = f"{piece}[{_braced(text[place + 1 : end])}]", end + 1
    for _ in range(2 if found[1] in ("frac", "binom") else 1):
        inside, place = _argument(text, place, short=found[1] is not None)
        piece += f"{{{inside}}}"
    return piece, place


def _argument(text: str, place: int, short: bool) -> tuple[str, int]:
    """One argument from `place` on: a group, or a token; an exponent takes a whole number."""
    place = _skip(text, place)
    if text[place : place + 1] in ("{", "("):
        end = closing(text, place)
        inside = _braced(text[place + 1 : end])
        return (inside if text[place] == "{" else f"({inside})"), end + 1
    if not short and (number := _EXPONENT.match(text, place)):
        return number[0], number.end()
    if found := _ARGUMENTS.match(text, place):
        return _command(text, found)
    if token := _TOKEN.match(text, place):
        return token[0], token.end()
    raise Unreadable(text)


def _skip(text: str, place: int) -> int:
    while text[place : place + 1] == " ":
        place += 1
    return place


def depths(text: str) -> Iterator[tuple[int, int]]:
    """The place of each token, and how many brackets it is in; a bracket stands outside itself."""
    depth, place = 0, 0
    while token := _TOKEN.match(text, place):
        if _CLOSES.fullmatch(token[0]):
            depth -= 1
        if depth < 0:
            break
        yield place, depth
        if _OPENS.fullmatch(token[0]):
            depth += 1
        place = token.end()
    if depth:
        raise Unreadable(text)


def closing(text: str, start: int) -> int:
    """The place of the bracket that closes the one at `start`."""
    for place, depth in depths(text[start:]):
        if place and not depth:
            return start + place
    raise Unreadable(text)


def split(text: str, between: str) -> list[str]:
    """Parts of a text between matches of a pattern that stand outside all brackets."""
    pattern, parts, start = re.compile(between), [], 0
    for place, depth in depths(text):
        if not depth and place >= start and (mark := pattern.match(text, place)):
            parts.append(text[start:place])
            start = mark.end()
    return [*parts, text[start:]]
