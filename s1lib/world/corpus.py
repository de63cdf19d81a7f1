"""The pretraining corpus: problems answered at once in chat form, or worked out in text.

A base model trained on it knows the arithmetic, the searches and the doubts, but when asked in chat
form it answers at once. So fine-tuning on 1,000 traces has to elicit thinking, not to teach it,
which is what the paper claims for its own base model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from s1lib.world.families import FAMILIES, Problem, make_problem
from s1lib.world.teacher import Habits, solve

END_OF_TEXT = "<|endoftext|>"
LONGEST = 32
WORKED_LINES = 20
DIRECT = 0.3
CHOICE = 0.3


def documents(seed: int) -> Iterator[str]:
    """Endless documents; the same seed gives the same ones."""
    rng = random.Random(f"corpus/{seed}")
    names = list(FAMILIES)
    while True:
        problem = make_problem(rng, rng.choice(names), 1, LONGEST)
        options = draw_options(problem, rng) if rng.random() < CHOICE else None
        yield (direct if rng.random() < DIRECT else worked)(problem, options, rng)


def direct(problem: Problem, options: list[str] | None, rng: random.Random) -> str:
    """A chat in which the assistant answers at once."""
    answer = "ABCD"[options.index(problem.answer)] if options else problem.answer
    word = rng.choice(("Answer:", "Final Answer:"))
    return (
        f"<|im_start|>user\n{with_options(problem.question, options)}<|im_end|>\n"
        f"<|im_start|>assistant\n{word} {answer}<|im_end|>\n{END_OF_TEXT}"
    )


def worked(problem: Problem, options: list[str] | None, rng: random.Random) -> str:
    """A worked example in plain text, by a careful solver who ends in the right answer."""
    careful = Habits(
        doubt=1.0,
        again=0.2,
        slip=0.1,
        alert=0.5,
        work=0.4 if len(problem.steps) <= WORKED_LINES else 0.0,
    )
    text, answer = solve(problem, rng, careful, options)
    word = rng.choice(("Answer:", "Final Answer:"))
    return f"{with_options(problem.question, options)}\n\n{text}\n\n{word} {answer}\n{END_OF_TEXT}"


def draw_options(problem: Problem, rng: random.Random) -> list[str]:
    """Four options: the answer, what a hurried reader finds if that differs, and near misses."""
    answer = int(problem.answer)
    hurried = next((s.number for s in problem.steps if s.hit), answer)
    options = {answer} if problem.family.counts else {answer, hurried}
    while len(options) < 4:
        options.add(max(0, answer + rng.randint(-9, 9)))
    order = [str(option) for option in sorted(options)]
    rng.shuffle(order)
    return order


def with_options(question: str, options: list[str] | None) -> str:
    """The question with its options, one on a line, as in the reference's GPQA prompts."""
    if not options:
        return question
    lines = [f"{letter}) {option}" for letter, option in zip("ABCD", options, strict=True)]
    return "\n".join([question, *lines])
