"""The scripted teacher: writes thinking traces that try, state, doubt, check and correct.

It plays the part that Gemini plays in the paper. It tries candidates quickly and, like a hurried
reader, mostly looks at the main condition only. When a candidate fits it states an answer. Then it
stops; or it says the answer once more; or it looks again, as quickly as before ("Hmm, x=5 ..."); or
it doubts ("Wait, check x=5 ..."), works the candidate out, looks at the whole condition, and goes
on if the candidate fails. Now and then it overlooks the right candidate, searches on, and ends in a
later one. So some of its answers are wrong, as Gemini's are (in the paper 53.6% of the final 1,000
are right), and of those the hurried ones are short and the overlooked ones long.

Steps of a trace are separated by blank lines.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from itertools import islice

from s1lib.world.families import Problem, Step, rebuild

DOUBTS = {"Wait": 0.7, "Hmm": 0.2, "Alternatively": 0.1}


@dataclass(frozen=True)
class Habits:
    """How the solver works; all numbers are probabilities.

    `doubt`: a stated answer is doubted. `recap`: it is said once more instead. `again`: a confirmed
    answer is checked once more. `slip`: a wrong candidate is taken for a right one on the way.
    `miss`: the right candidate is overlooked. `alert`: the whole condition is looked at from the
    start, as after a failed check. `work`: every candidate is worked out in full. After the doubts
    in `idle` a candidate is looked at again, but not checked.
    """

    doubt: float = 0.0
    again: float = 0.0
    slip: float = 0.0
    recap: float = 0.0
    miss: float = 0.0
    alert: float = 0.0
    work: float = 0.0
    idle: frozenset[str] = frozenset()


TEACHER = Habits(
    doubt=0.25,
    again=0.1,
    recap=0.3,
    miss=0.05,
    idle=frozenset({"Hmm", "Alternatively"}),
)
FARTHEST = 40  # steps within which a solver who overlooks a candidate must find another one


def think(question: str, metadata: str, seed: int = 0) -> tuple[str, str]:
    """The thinking trace and the attempt for a question of the world.

    `metadata` is the row's JSON text with `family`, `params` and, for multiple choice, `options`.
    The same question and seed give the same trace. Raises `ValueError` on other metadata.
    """
    facts = json.loads(metadata)
    problem = rebuild(facts["family"], facts["params"])
    rng = random.Random(f"{seed}/{question}")
    trace, answer = solve(problem, rng, TEACHER, facts.get("options"))
    final = "Final Answer: " if rng.random() < 0.5 else "Answer: "
    return trace, final + answer


def solve(
    problem: Problem, rng: random.Random, habits: Habits, options: list[str] | None = None
) -> tuple[str, str]:
    """A thinking trace and the answer that it ends in (a letter where there are `options`)."""
    worked = rng.random() < habits.work
    alert = rng.random() < habits.alert
    steps = problem.steps
    slip_at = -1
    threshold = steps[-1].side.startswith(("over", "below"))
    if rng.random() < habits.slip and len(steps) > 2 and not threshold:
        slip_at = rng.randrange(len(steps) - 1)
    if habits.miss and rng.random() < habits.miss:
        steps = _overlooking(problem, rng) or steps
    lines: list[str] = []
    count, last = 0, steps[-1]
    for index, step in enumerate(steps):
        last = step
        slipped = index == slip_at and not step.hit
        hit = step.hit or slipped
        count += step.hit
        if problem.family.counts:
            lines.append(_line(step, worked, step.hit) + (f",{count}." if step.hit else "."))
            continue
        side = f",{step.side} {_yes(step.side_ok)}" if hit and alert and step.side else ""
        lines.append((_slip(step, steps[-1]) if slipped else _line(step, worked, hit)) + side + ".")
        if not hit or (side and not step.side_ok):
            continue
        lines.append(_so(str(step.number), options))
        if not _second_look(lines, step, str(step.number), habits, rng, options) or step.right:
            break
        alert = True
    answer = str(count if problem.family.counts else last.number)
    if problem.family.counts:
        lines.append(_so(answer, options))
        _second_look(lines, last, answer, habits, rng, options)
    if "check" in lines[-1]:
        lines.append(_so(answer, options))
        if rng.random() < habits.again:
            lines[-1] += "\n" + _check(last, _doubt(rng))
            lines.append(_so(answer, options))
    return "\n\n".join(lines), _letter(answer, options) if options else answer


def _second_look(
    lines: list[str],
    step: Step,
    answer: str,
    habits: Habits,
    rng: random.Random,
    options: list[str] | None,
) -> bool:
    """What follows a stated answer, appended to `lines`. Returns whether it was checked."""
    chance = rng.random()
    if chance >= habits.doubt:
        if chance < habits.doubt + habits.recap:
            lines[-1] += f"\nSo {answer}."
        return False
    word = _doubt(rng)
    if word in habits.idle:
        lines[-1] += f"\n{word}, {_line(step, False, step.hit)}."
        lines.append(_so(answer, options))
        return False
    lines[-1] += "\n" + _check(step, word)
    return True


def _overlooking(problem: Problem, rng: random.Random) -> list[Step] | None:
    """The steps of a solver who takes a right candidate for a wrong one and searches on.

    None if no other candidate is right within `FARTHEST` steps (or if there is none to count).
    """
    rights = [place for place, step in enumerate(problem.steps) if step.right]
    if not rights:
        return None
    missed = rng.choice(rights)
    found = []
    for place, step in enumerate(islice(problem.family.search(problem.params), FARTHEST)):
        found.append(replace(step, hit=False) if place == missed else step)
        if place > missed and step.right and not problem.family.counts:
            return found
    return found if problem.family.counts else None


def _line(step: Step, worked: bool, hit: bool) -> str:
    return f"{step.name}:{step.work if worked else step.value} {_yes(hit)}"


def _slip(step: Step, right: Step) -> str:
    """A candidate whose last number is taken for the wanted one."""
    *before, _ = step.value.split(",")
    return f"{step.name}:{','.join([*before, right.value.split(',')[-1]])} yes"


def _doubt(rng: random.Random) -> str:
    return rng.choices(list(DOUBTS), list(DOUBTS.values()))[0]


def _check(step: Step, word: str) -> str:
    """A second, careful look at a candidate: the working, then every part of the condition."""
    side = f",{step.side} {_yes(step.side_ok)}" if step.hit and step.side else ""
    return f"{word}, check {step.name}:{step.work} {_yes(step.hit)}{side}."


def _so(answer: str, options: list[str] | None) -> str:
    """The answer; with options, a look along them up to the one that says the same."""
    if not options:
        return f"So {answer}."
    looks = [f"{a} {o} {_yes(o == answer)}" for a, o in zip("ABCD", options, strict=True)]
    if answer in options:
        looks = looks[: options.index(answer) + 1]
    else:
        looks.append(f"nearest {_letter(answer, options)}")
    return f"So {answer}:{','.join(looks)}."


def _letter(answer: str, options: list[str] | None) -> str:
    """The option's letter; a solver whose answer is not offered picks the nearest number."""
    assert options is not None
    if answer in options:
        return "ABCD"[options.index(answer)]
    distance = [abs(int(option) - int(answer)) for option in options]
    return "ABCD"[distance.index(min(distance))]


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"
