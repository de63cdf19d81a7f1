"""The scripted teacher: writes thinking traces that try, doubt, compare and start again.

It plays the part that Gemini plays in the paper. It takes a first, brief look at a question, with
all steps but the first and the last in its head, and states an answer. Then it may look again, the
sooner the more steps there are, now line by line: "Wait" and once more, "Alternatively" and the
other way. It writes the new answer beside the one that stands: an answer found twice in a row is
settled, and two that differ call for another look, but now and then it trusts the latest. In every
look it can misread a number of the question, on a bad day often, so that long questions go wrong
more often, and what goes wrong takes longer, since answers that differ are looked at again: wrong
traces are the longer ones.

Steps of a trace are separated by blank lines.
"""

from __future__ import annotations

import json
import random
from contextlib import suppress
from dataclasses import dataclass, replace

from s1lib.world.families import Params, Problem, rebuild
from s1lib.world.pen import Pen

PATIENCE = 40
"""After so many lines the teacher takes what it has."""
MISREAD_BY = (1, -1, 2, -2, 10, -10)


@dataclass(frozen=True)
class Habits:
    """How the solver works; probabilities, but for `rest`.

    `slow`: the first look goes step by step. `misread`: for each step of a look the chance that a
    number of the question is misread in it; `bad_day`: this trace misreads `often`. `haste`: a look
    overlooks a condition. `rest`: steps after which a first answer is looked at again in one case
    of two; after twice as many in four of five; zero means always. `sense`: a wrong one is looked
    at for being wrong; `sure`: it never is. `further`: one more look although it is settled.
    `give_up`: two differ, and the latest is trusted.
    """

    slow: float = 0.5
    bad_day: float = 0.5
    misread: float = 0.01
    often: float = 0.3
    haste: float = 0.15
    rest: float = 5.0
    sense: float = 0.8
    sure: float = 0.0
    further: float = 0.25
    give_up: float = 0.35


TEACHER = Habits()


def think(question: str, metadata: str, seed: int = 0, habits: Habits = TEACHER) -> tuple[str, str]:
    """The thinking trace and the attempt for a question of the world.

    `metadata` is the row's JSON text with `family`, `params` and, for multiple choice, `options`.
    The same question and seed give the same trace. Raises `ValueError` on other metadata.
    """
    facts = json.loads(metadata)
    problem = rebuild(facts["family"], facts["params"])
    rng = random.Random(f"{seed}/{question}")
    trace, answer = solve(problem, rng, habits, facts.get("options"))
    return trace, ("Final Answer: " if rng.random() < 0.5 else "Answer: ") + answer


def solve(
    problem: Problem, rng: random.Random, habits: Habits, options: list[str] | None = None
) -> tuple[str, str]:
    """A thinking trace and the answer that it ends in (a letter where there are `options`)."""
    slow = rng.random() < habits.slow
    if rng.random() < habits.bad_day:
        habits = replace(habits, misread=habits.often)
    steps: list[str] = []
    while True:
        lines, answer = look(problem, slow, rng, habits)
        if not steps:
            steps, standing, sure = gist(lines), answer, False
            again = rng.random() * (problem.steps**2 + habits.rest**2) < problem.steps**2
            if answer != problem.answer:
                again = (again or rng.random() < habits.sense) and rng.random() >= habits.sure
            steps.append(so(standing, options))
        else:
            said, standing, sure = compare(answer, standing, sure)
            again = rng.random() < habits.further if sure else rng.random() >= habits.give_up
            again &= len(steps) + len(lines) < PATIENCE
            steps += [*lines, said if again and not sure else f"{said} {so(standing, options)}"]
        if not again:
            break
        other, words = _doubt(rng)
        slow = slow != other
        steps[-1] += f"\n{words}"
    return "\n\n".join(steps), letter(standing, options)


def compare(new: str, standing: str, sure: bool) -> tuple[str, str, bool]:
    """A new answer beside the standing one, `sure` if that was found twice in a row.

    Returns what is said, the answer that stands now, and whether it has been found twice in a row.
    """
    same = new == standing
    twice, verdict = " twice" if sure else "", "the same" if same else "not the same"
    said = f"Now {new}, before {standing}{twice}: {verdict}."
    return said, standing if sure else new, sure or same


def look(
    problem: Problem, slow: bool, rng: random.Random | None = None, habits: Habits = TEACHER
) -> tuple[list[str], str]:
    """The lines of one way and the answer that it comes to; exact without a generator."""
    read, hasty = problem.params, False
    if rng:
        hasty = rng.random() < habits.haste
        if rng.random() >= (1 - habits.misread) ** problem.steps:
            read = misread(problem, rng)
    pen = Pen(hasty)
    way = problem.family.slow if slow else problem.family.fast
    answer = str(way(read, pen))
    return pen.lines, answer


def gist(lines: list[str]) -> list[str]:
    """The first and the last line: the steps between stay in the head."""
    return lines if len(lines) < 3 else [lines[0], lines[-1]]


def misread(problem: Problem, rng: random.Random) -> Params:
    """The parameters with one number changed, by one, two or ten, such that both ways still agree.

    The parameters as they are if no such number is found.
    """
    for _ in range(50):
        read = json.loads(json.dumps(problem.params))
        place, key = read, rng.choice(sorted(read))
        while isinstance(place[key], list):
            place = place[key]
            key = rng.randrange(len(place))
        if isinstance(place[key], int) and place[key] + (by := rng.choice(MISREAD_BY)) > 1:
            place[key] += by
            with suppress(ArithmeticError, IndexError, ValueError):
                slow, fast = Pen(), Pen()
                answer = problem.family.slow(read, slow)
                fits = answer >= 0 and len(slow.lines) <= problem.steps + 4
                if fits and problem.family.fast(read, fast) == answer:
                    return read
    return problem.params


def so(answer: str, options: list[str] | None) -> str:
    """The answer; with options, a look along them up to the one that says the same."""
    said = f"So the answer is {answer}."
    if not options:
        return said
    mine = letter(answer, options)
    upto = options[: "ABCD".index(mine) + 1] if answer in options else options
    looks = ", ".join(f"{a} {o}" for a, o in zip("ABCD", upto, strict=False))
    return f"{said} {looks}: option {mine}."


def letter(answer: str, options: list[str] | None) -> str:
    """The letter of the option that is nearest to the answer; without options, the answer."""
    if not options:
        return answer
    distance = [abs(int(option) - int(answer)) for option in options]
    return "ABCD"[distance.index(min(distance))]


def _doubt(rng: random.Random) -> tuple[bool, str]:
    """Whether the next look goes another way, and the words that say so."""
    word = rng.choices(("Wait", "Alternatively", "Hmm"), (0.5, 0.3, 0.2))[0]
    other = rng.random() < {"Wait": 0.6, "Alternatively": 1.0, "Hmm": 0.5}[word]
    return other, f"{word}, " + ("another way." if other else "once more.")
