"""The local grader: extract an answer, compare it exactly, and only then ask a parser.

The reference (`eval/lm-evaluation-harness/lm_eval/tasks/aime/utils.py`) compares digit strings
and sends the rest to a paid model that is shown the right answer; for multiple choice, whatever
is not understood counts as "A". Here the ladder is: letters; integers; fractions and decimals;
equal strings; and for what is left math-verify, in a child process. No letter is ever assumed.

Covered: the child has no secrets in its environment, limits on memory, processor time and file
size, sees LaTeX only, and is killed after a few seconds, which makes the verdict `undecided`.
Not covered: it may read files and open sockets like any process of this user.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import resource
import select
import subprocess
import sys
import threading
from fractions import Fraction
from typing import Literal

Verdict = Literal["correct", "wrong", "undecided"]

GRADER = "local"
SECONDS = 5.0  # for one comparison by the parser
_LONGEST = 300  # characters; longer answers are compared as strings only
_MEMORY = 4 << 30  # bytes of address space; the parser alone maps about one gigabyte
_ANSWER = re.compile(r"answer\**\s*:\**[ \t]*\n?[ \t]*([^\n]*)", re.IGNORECASE)
_LETTER = re.compile(r"\(?([A-Z])(?:[).:,\s]|$)")
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}")
_NUMBER = re.compile(r"[+-]?(\d{1,60}(\.\d{0,60})?|\.\d{1,60})(/[+-]?\d{1,60})?")
_MATHS = re.compile(r"[\d\\^{}=<>+*/()\[\]]")


def grade(attempt: str, answer: str, answer_type: str = "text") -> Verdict:
    """Whether `attempt` (a text that states an answer) agrees with the reference `answer`.

    `answer_type` is `integer`, `text` or `choice`. An attempt without an answer is wrong; an
    empty reference, or a comparison that took too long, is undecided.
    """
    if not answer.strip():
        return "undecided"
    found = extract(attempt, answer_type)
    if found is None:
        return "wrong"
    return compare(found, answer, answer_type)


def extract(attempt: str, answer_type: str = "text") -> str | None:
    """The last boxed expression, else what follows the last `Answer:`, on its line or the next.

    For a choice, the letter in it. None if there is none (reference: facts of section 6.5, where
    a later `\\boxed{}` could lose to an earlier `\\boxed `, and `Answer:` reached to the end of
    the text from its first occurrence).
    """
    said = re.split(r"<\|im_start\|>answer|</think>", attempt)[-1]
    boxed, stated = _boxed(said), _ANSWER.findall(said)
    found = boxed if boxed is not None else stated[-1] if stated else None
    if found is None:
        return None
    found = tidy(found)
    if answer_type == "choice":
        letter = _LETTER.match(found)
        return letter[1] if letter else None
    return found or None


def compare(found: str, answer: str, answer_type: str = "text") -> Verdict:
    """Compare two bare answers: exactly where that is possible, with the parser elsewhere."""
    found, answer = tidy(found), tidy(answer)
    if answer_type == "choice":
        return "correct" if found.upper() == answer.strip("()").upper() else "wrong"
    if found == answer:
        return "correct"
    ours, theirs = number(found), number(answer)
    if ours is not None and theirs is not None:
        return "correct" if ours == theirs else "wrong"
    if _plain(found) == _plain(answer):
        return "correct"
    if answer_type == "integer" and not _MATHS.search(found):
        return "wrong"
    if not (_MATHS.search(found) and _MATHS.search(answer)):
        return "wrong"
    if max(len(found), len(answer)) > _LONGEST:
        return "undecided"
    return _parser.compare(found, answer)


def tidy(text: str) -> str:
    """Strip what surrounds an answer: dollar signs, stars, `x =`, a full stop, text commands."""
    text = re.sub(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]*)\}", r"\1", text.strip())
    text = re.sub(r"\\[,;! ]|\\left|\\right", "", text)
    text = text.strip().strip("*$").strip().removesuffix(".").strip("$ ")
    return re.sub(r"^[A-Za-z]\s*=\s*(?=\S)", "", text)


def number(text: str) -> Fraction | None:
    """An integer, decimal or fraction, exactly; None for anything else."""
    text = _FRACTION.sub(r"\1/\2", text).replace(" ", "")
    text = re.sub(r"(?<=\d),(?=\d{3}(\D|$))", "", text)
    if not _NUMBER.fullmatch(text):
        return None
    top, _, bottom = text.partition("/")
    if bottom and not int(bottom):
        return None
    return Fraction(top) / Fraction(bottom or 1)


def _plain(text: str) -> str:
    return re.sub(r"[\s{}]", "", text).casefold()


def _boxed(text: str) -> str | None:
    """Content of the last box with braces; a box without them counts only if there is none."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        bare = re.findall(r"\\boxed\s+([^\s$]+)", text)
        return bare[-1] if bare else None
    start, depth = text.index("{", start) + 1, 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start:place]
    return None


class _Parser:
    """math-verify in one child process, started at need and again after it had to be killed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def compare(self, found: str, answer: str) -> Verdict:
        with self._lock:
            child = self._running()
            try:
                assert child.stdin and child.stdout
                child.stdin.write(json.dumps([found, answer]) + "\n")
                child.stdin.flush()
                if select.select([child.stdout], [], [], SECONDS)[0]:
                    reply = child.stdout.readline().strip()
                    if reply in ("correct", "wrong"):
                        return reply  # type: ignore[return-value]
            except OSError:
                pass
            self.stop()
            return "undecided"

    def _running(self) -> subprocess.Popen[str]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={"PATH": os.environ.get("PATH", "")},
                start_new_session=True,
            )
            assert self._child.stdout
            self._child.stdout.readline()  # it has imported the parser
        return self._child

    def stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()
            self._child = None


_parser = _Parser()
atexit.register(_parser.stop)


def _serve() -> None:
    """The child: reads pairs of answers as JSON lines, writes verdicts."""
    limits = {resource.RLIMIT_AS: _MEMORY, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    for kind, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):  # not every system knows every limit
            resource.setrlimit(kind, (limit, limit))
    import math_verify as mv

    latex = [mv.LatexExtractionConfig()]
    print("ready", flush=True)
    for line in sys.stdin:
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        limit = used + int(SECONDS) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        found, answer = (
            mv.parse(f"${text}$", extraction_config=latex, parsing_timeout=None)
            for text in json.loads(line)
        )
        same = bool(found and answer) and mv.verify(answer, found, timeout_seconds=None)
        print("correct" if same else "wrong", flush=True)


if __name__ == "__main__":
    _serve()
