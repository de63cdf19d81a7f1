"""Strings that no grader wants to see: code, towers of powers, brackets, control characters."""

from __future__ import annotations

import random
from collections.abc import Iterator

_CODE = [
    "__import__('os').system('touch /tmp/trap')", "open('/etc/passwd').read()", "().__class__",
    "lambda: 0", "exit()", "{{7*7}}", "${jndi:ldap://x}", "'; DROP TABLE grades; --", "[0]*10**9",
    r"\input{/etc/passwd}", r"\write18{ls}", r"\def\x{\x}\x", "%s%n", "\\u0000",
]  # fmt: skip
_PIECES = [
    r"\frac", r"\sqrt", r"\boxed{", "{", "}", "(", ")", "[", "]", r"\{", r"\}", "^", "_", "&", "$",
    "$$", r"\\", "\\", r"\begin{pmatrix}", r"\end{pmatrix}", r"\left(", r"\right.", r"\text{", "!",
    r"\sum_{i=1}^{n}", r"\int", r"\pm", ",", ";", "=", r"\le", r"\cup", r"\infty", "|", "%", "9",
    r"\pi", "1/0", "Answer:", "\n", " ", "**", "<answer>", "</answer>", "</think>", r"\in", "'",
    '"', "x", "\x00", "\x1e", "\x7f", "\u202e", "\ud83d", "\U0001f600", "½", "√", "e9", ".", "-",
    "mod", "or",
]  # fmt: skip


def strings(count: int, seed: int = 0) -> Iterator[str]:
    """`count` hostile attempts, the same for the same seed.

    One in 200 has up to two megabytes, and one in 50 makes a parser work until it is stopped.
    """
    rng = random.Random(seed)
    for number in range(count):
        kind = _huge if number % 200 == 199 else rng.choices(*_KINDS)[0]
        text = kind(rng)
        yield rng.choice(
            [f"\\boxed{{{text}}}", f"Answer: {text}", text, f"$$\\boxed{{{text}}}$$ or"]
        )


def _code(rng: random.Random) -> str:
    return rng.choice(_CODE) + rng.choice(["", "+1", "^2", "\n"])


def _tower(rng: random.Random) -> str:
    depth = rng.randint(2, 6)
    power = "9^{" * depth + "9" + "}" * depth
    forms = [power, f"{power}+x", rf"({10 ** rng.randint(3, 8)})!", rf"\frac{{1}}{{{power}}}",
             r"\sum_{k=1}^{10^9} \frac{1}{k}", r"\binom{10^9}{10^8}", "9!!!!!",
             r"\int_0^1 \sin(x^{x}) dx", "10^{10^{10}} \\bmod 7", "1e999999999"]  # fmt: skip
    return rng.choice(forms)


def _nested(rng: random.Random) -> str:
    opens, closes = rng.choice(
        ["{}", "()", "[]", (r"\sqrt{", "}"), (r"\frac{1}{", "}"), ("x^{", "}")]
    )
    depth = rng.randint(1, 400)
    return opens * depth + "x" + closes * (depth + rng.choice([-1, 0, 0, 1]))


def _soup(rng: random.Random) -> str:
    return "".join(rng.choices(_PIECES, k=rng.randint(1, 60)))


def _noise(rng: random.Random) -> str:
    return "".join(chr(rng.randrange(0x2100)) for _ in range(rng.randint(1, 200)))


def _huge(rng: random.Random) -> str:
    piece = rng.choice(
        [*_PIECES, r"\boxed{1}", "Answer: ", "Answer:\n", "ab ", r"\frac{", "(((", ", "]
    )
    return piece * (rng.randint(1, 2_000_000) // len(piece))


_KINDS = ([_code, _noise, _soup, _nested, _tower], [10, 10, 20, 5, 5])
