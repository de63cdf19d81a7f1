"""The pretraining corpus: mostly brief answers, some worked in full, hardly any that look twice.

A base model trained on it answers as an instruct model does, in a few lines and with its best
guess. It has seen all that thinking consists of, but rarely; so fine-tuning on 1,000 traces has to
elicit it, which is what the paper claims for its own base model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from s1lib.world.families import FAMILIES, Problem, make_problem
from s1lib.world.teacher import TEACHER, compare, gist, letter, look, so, solve

END_OF_TEXT = "<|endoftext|>"
LONGEST = 16
CHAT, WEIGHED = 0.4, 0.07
WAYS = {"brief": 0.88, "full": 0.08, "careful": 0.04}
"""How a question on a sheet is answered, whatever stands before it."""
CHOICE = 0.3


def documents(seed: int | str, ways: dict[str, float] = WAYS) -> Iterator[str]:
    """Endless documents, questions on sheets solved by `ways`; the same seed gives the same ones.

    Conversations of one brief answer; sheets of up to three questions, each solved in its own way,
    so that an example does not tell how the next question will be answered; answers weighed.
    """
    rng = random.Random(f"corpus/{seed}")
    while True:
        kind = rng.random()
        if kind < WEIGHED:
            yield f"{weighed(rng)}\n{END_OF_TEXT}"
        elif kind < WEIGHED + CHAT:
            question, problem, options = draw(rng)
            said = f"{brief(problem, options, rng)}<|im_end|>\n"
            yield (
                f"<|im_start|>user\n{question}<|im_end|>\n"
                f"<|im_start|>assistant\n{said}{END_OF_TEXT}"
            )
        else:
            solved = [solution(rng, ways) for _ in range(rng.choice((1, 1, 2, 3)))]
            yield "\n\n".join(solved) + f"\n{END_OF_TEXT}"


def draw(rng: random.Random) -> tuple[str, Problem, list[str] | None]:
    """A question of any family, with options now and then."""
    problem = make_problem(rng, rng.choice(list(FAMILIES)), 1, LONGEST)
    options = draw_options(problem, rng) if rng.random() < CHOICE else None
    return with_options(problem.question, options), problem, options


def solution(rng: random.Random, ways: dict[str, float]) -> str:
    """A question and its answer, brief, in full, or as a trace that looks again."""
    question, problem, options = draw(rng)
    written = {"brief": brief, "full": full, "careful": careful}
    way = written[rng.choices(list(ways), list(ways.values()))[0]]
    return f"{question}\n\n{way(problem, options, rng)}"


def brief(problem: Problem, options: list[str] | None, rng: random.Random) -> str:
    """The first and the last line of a way, and the answer."""
    lines, answer = look(problem, rng.random() < 0.5)
    said = gist(lines)
    if options:
        said = [*said, so(answer, options)]
    return "\n\n".join([*said, _end(problem, options, rng)])


def full(problem: Problem, options: list[str] | None, rng: random.Random) -> str:
    """One way, line by line."""
    lines, answer = look(problem, rng.random() < 0.5)
    return "\n\n".join([*lines, so(answer, options), _end(problem, options, rng)])


def weighed(rng: random.Random) -> str:
    """Answers beside those before them, without a question: how to compare."""
    answer = standing = str(rng.randrange(10 ** rng.choice((1, 2, 3, 3))))
    lines, sure = [], False
    for _ in range(rng.randint(2, 6)):
        near = abs(int(answer) + rng.choice((1, -1, 2, 10, -10)))
        new = rng.choices((answer, standing, near, rng.randrange(1000)), (0.4, 0.2, 0.25, 0.15))[0]
        said, standing, sure = compare(str(new), standing, sure)
        lines.append(f"{said} {so(standing, None)}")
    return "\n\n".join(lines)


def careful(problem: Problem, options: list[str] | None, rng: random.Random) -> str:
    """A trace as the teacher's that looks at least twice and ends right."""
    while True:
        text, answer = solve(problem, rng, replace(TEACHER, rest=0.0), options)
        if answer == letter(problem.answer, options):
            return f"{text}\n\n{_end(problem, options, rng)}"


def _end(problem: Problem, options: list[str] | None, rng: random.Random) -> str:
    return f"{rng.choice(('Answer:', 'Final Answer:'))} {letter(problem.answer, options)}"


def draw_options(problem: Problem, rng: random.Random) -> list[str]:
    """Four options: the answer and numbers near it."""
    answer = int(problem.answer)
    options = {answer}
    while len(options) < 4:
        options.add(abs(answer + rng.choice((1, 2, 3, 4, 5, 10, 11, 9, 20)) * rng.choice((1, -1))))
    order = [str(option) for option in sorted(options)]
    rng.shuffle(order)
    return order


def with_options(question: str, options: list[str] | None) -> str:
    """The question with its options, one on a line, as in the reference's GPQA prompts."""
    if not options:
        return question
    lines = [f"{letter}) {option}" for letter, option in zip("ABCD", options, strict=True)]
    return "\n".join([question, *lines])
