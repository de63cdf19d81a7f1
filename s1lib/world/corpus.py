"""The pretraining corpus: mostly brief answers, some worked in full, none that look twice.

A base model trained on it answers as an instruct model does, in a few lines and with its best
guess. It has seen what thinking consists of, whole workings and answers compared, but no trace that
looks again; so fine-tuning on 1,000 traces has to elicit it, which is what the paper claims for its
own base model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from s1lib.world.families import FAMILIES, Problem, make_problem
from s1lib.world.teacher import compare, gist, letter, look, so

END_OF_TEXT = "<|endoftext|>"
LONGEST = 16
CHAT = 0.4
KINDS = {"brief": 0.8, "full": 0.05, "weighed": 0.15}
"""Of the documents in plain text."""
CHOICE = 0.3


def documents(seed: int | str) -> Iterator[str]:
    """Endless documents; the same seed gives the same ones."""
    rng = random.Random(f"corpus/{seed}")
    names = list(FAMILIES)
    while True:
        problem = make_problem(rng, rng.choice(names), 1, LONGEST)
        options = draw_options(problem, rng) if rng.random() < CHOICE else None
        question = with_options(problem.question, options)
        if rng.random() < CHAT:
            said = f"{brief(problem, options, rng)}<|im_end|>\n"
            yield (
                f"<|im_start|>user\n{question}<|im_end|>\n"
                f"<|im_start|>assistant\n{said}{END_OF_TEXT}"
            )
        else:
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            if kind == "weighed":
                yield f"{weighed(rng)}\n{END_OF_TEXT}"
                continue
            said = {"brief": brief, "full": full}[kind](problem, options, rng)
            yield f"{question}\n\n{said}\n{END_OF_TEXT}"


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


def right(problem: Problem, options: list[str] | None) -> str:
    return letter(problem.answer, options) if options else problem.answer


def _end(problem: Problem, options: list[str] | None, rng: random.Random) -> str:
    return f"{rng.choice(('Answer:', 'Final Answer:'))} {right(problem, options)}"


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
