"""The laptop world: exact questions, a teacher who is not always right, a fair corpus."""

from __future__ import annotations

import json
import random
from itertools import count, islice

import pytest

from s1lib.artifacts import RunError
from s1lib.chat import load_tokenizer
from s1lib.world import corpus
from s1lib.world.families import FAMILIES, make_problem, rebuild
from s1lib.world.pretrain import HEADER, train_tokenizer
from s1lib.world.sources import BENCHMARKS, SOURCES, benchmark, rows
from s1lib.world.teacher import Habits, solve, think


def side(p: dict, x: int) -> bool:
    """The side condition, written again from the question's words."""
    words = p["side"].split()
    if not words:
        return True
    if words[0] == "above":
        return x > int(words[1])
    return x % 2 == (words[0] == "odd")


def least(condition) -> int:
    return next(x for x in count(1) if condition(x))


def iterated(start: int, step, k: int) -> int:
    for _ in range(k):
        start = step(start)
    return start


def fibonacci(p: dict, k: int) -> int:
    u, v = p["u"], p["v"]
    for _ in range(k):
        u, v = v, (u + v) % p["m"]
    return v


# The answer of every family, from its question's meaning and not from its search.
ORACLES = {
    "congruence": lambda p: least(lambda x: p["a"] * x % p["m"] == p["r"] and side(p, x)),
    "comets": lambda p: next(
        t for t in count(p["a"], p["p"]) if t % p["q"] == p["b"] and side(p, t)
    ),
    "order": lambda p: least(lambda k: pow(p["a"], k, p["m"]) == 1 and side(p, k)),
    "orbit": lambda p: least(
        lambda k: (
            iterated(p["s"], lambda v: (p["a"] * v + p["b"]) % p["m"], k) == p["t"] and side(p, k)
        )
    ),
    "recurrence": lambda p: least(lambda k: fibonacci(p, k) == p["t"] and side(p, k)),
    "coins": lambda p: least(
        lambda x: p["a"] * x <= p["c"] and (p["c"] - p["a"] * x) % p["b"] == 0 and side(p, x)
    ),
    "probe": lambda p: least(lambda k: (p["h"] + k * p["d"]) % p["m"] == p["t"] and side(p, k)),
    "divisor": lambda p: next(x for x in count(2) if p["n"] % x == 0 and side(p, x)),
    "check-digit": lambda p: least(
        lambda x: (p["w"] * x + p["a"]) % p["m"] == p["r"] and side(p, x)
    ),
    "colony": lambda p: least(lambda k: p["s"] + k * p["d"] > p["T"]),
    "savings": lambda p: least(lambda k: p["s"] + k * p["d"] > p["T"]),
    "cooling": lambda p: least(lambda k: p["s"] - k * p["d"] < p["T"]),
    "braking": lambda p: least(lambda k: p["s"] - k * p["d"] < p["T"]),
    "series": lambda p: least(lambda n: p["s"] + n * (n + 1) // 2 > p["T"]),
    "rectangle": lambda p: max(p["x"], p["y"]) if p["larger"] else min(p["x"], p["y"]),
    "roots": lambda p: max(p["x"], p["y"]) if p["larger"] else min(p["x"], p["y"]),
    "system": lambda p: least(lambda x: p["a"] * x + p["b"] * (p["s"] - x) == p["c"]),
    "tickets": lambda p: least(lambda x: p["a"] * x + p["b"] * (p["s"] - x) == p["c"]),
    "meeting": lambda p: least(lambda t: p["p"] + p["u"] * t == p["q"] + p["v"] * t),
    "dice": lambda p: sum(
        i + j == p["s"] for i in range(1, p["n"] + 1) for j in range(1, p["m"] + 1)
    ),
    "ways": lambda p: sum(
        (p["c"] - p["a"] * x) % p["b"] == 0 for x in range(1, p["c"] // p["a"] + 1)
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_of_a_problem_is_what_its_question_means(name: str) -> None:
    rng = random.Random(7)
    for _ in range(150):
        problem = make_problem(rng, name, 1, 32)
        assert problem.answer == str(ORACLES[name](problem.params)), problem.question


@pytest.mark.parametrize("name", FAMILIES)
def test_the_working_of_a_step_ends_in_its_value(name: str) -> None:
    rng = random.Random(8)
    for step in make_problem(rng, name, 5, 32).steps:
        assert step.work.split("=")[-1] == step.value.split(",")[-1]


def test_families_cover_at_least_ten_domains() -> None:
    assert len({family.msc for family in FAMILIES.values()}) >= 10


def test_a_problem_is_rebuilt_from_its_metadata() -> None:
    row = rows("AIME", 1, 0)[0]
    facts = json.loads(row["metadata"])
    assert rebuild(facts["family"], facts["params"]).answer == row["answer"]


def test_lengths_are_heavy_tailed() -> None:
    rng = random.Random(9)
    steps = sorted(len(make_problem(rng, "congruence", 1, 32).steps) for _ in range(400))
    assert steps[380] >= 16 * steps[20]


def test_a_careful_solver_is_always_right_and_a_hurried_one_is_not() -> None:
    rng = random.Random(10)
    problems = [make_problem(rng, name, 2, 32) for name in FAMILIES for _ in range(30)]
    careful, hurried = Habits(doubt=1.0, slip=0.2), Habits(doubt=0.0, slip=0.0)
    assert all(solve(p, rng, careful)[1] == p.answer for p in problems)
    share = sum(solve(p, rng, hurried)[1] == p.answer for p in problems) / len(problems)
    assert 0.5 < share < 0.95


def test_a_failed_check_makes_the_solver_go_on() -> None:
    rng = random.Random(11)
    traces = [
        solve(make_problem(rng, "savings", 3, 20), rng, Habits(doubt=1.0))[0] for _ in range(50)
    ]
    failed = [trace for trace in traces if "check" in trace and " no.\n\nk=" in trace]
    assert failed and all(trace.split("\n\n")[-1].startswith("So ") for trace in failed)


def test_a_solver_who_overlooks_the_right_candidate_searches_on_and_ends_in_a_later_one() -> None:
    rng = random.Random(12)
    problems = [make_problem(rng, "check-digit", 3, 10) for _ in range(50)]
    for problem in problems:
        seen, _ = solve(problem, rng, Habits(alert=1.0))
        trace, answer = solve(problem, rng, Habits(alert=1.0, miss=1.0))
        if answer != problem.answer:
            assert int(answer) > int(problem.answer) and len(trace) > len(seen)
            assert f"x={problem.answer}:" in trace
    wrong = [solve(p, rng, Habits(alert=1.0, miss=1.0))[1] != p.answer for p in problems]
    assert sum(wrong) > 25


def test_an_overlooked_candidate_is_missing_in_a_count() -> None:
    rng = random.Random(13)
    for problem in (make_problem(rng, "ways", 5, 20) for _ in range(20)):
        _, answer = solve(problem, rng, Habits(miss=1.0))
        assert int(answer) == max(0, int(problem.answer) - 1)


def test_saying_an_answer_again_or_an_idle_second_look_changes_no_answer() -> None:
    rng = random.Random(14)
    problem = make_problem(rng, "savings", 4, 9)
    plain = solve(problem, random.Random(0), Habits())
    again = solve(problem, random.Random(0), Habits(recap=1.0))
    words = frozenset({"Wait", "Hmm", "Alternatively"})
    idle = solve(problem, random.Random(0), Habits(doubt=1.0, idle=words))
    assert plain[1] == again[1] == idle[1]
    assert again[0] == f"{plain[0]}\nSo {plain[1]}."
    assert "check" not in idle[0] and idle[0].startswith(plain[0])


def test_the_teacher_is_deterministic_and_ends_in_an_answer() -> None:
    for row in rows("GPQA", 20, 1):
        trace, attempt = think(row["question"], row["metadata"], seed=3)
        assert (trace, attempt) == think(row["question"], row["metadata"], seed=3)
        assert attempt.split("Answer: ")[1] in "ABCD"


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_gives_different_questions_and_repeats_them_for_the_same_seed(source: str) -> None:
    first = rows(source, 20, 5)
    assert len({row["question"] for row in first}) == 20
    assert first == rows(source, 20, 5)
    assert first != rows(source, 20, 6)


def test_an_unknown_source_or_too_large_a_pool_is_one_sentence() -> None:
    with pytest.raises(RunError, match="unknown source 'nope'"):
        rows("nope", 3, 0)
    with pytest.raises(RunError, match="ask for a smaller pool"):
        rows_of_a_tiny_source()


def rows_of_a_tiny_source():
    from s1lib.world.sources import Source

    SOURCES["tiny"] = Source(("dice",), (1, 1))
    try:
        return rows("tiny", 500, 0)
    finally:
        del SOURCES["tiny"]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_longer_benchmark_begins_with_a_shorter_one(name: str) -> None:
    assert benchmark(name, 40, 2)[:10] == benchmark(name, 10, 2)


def test_choices_hold_the_answer_once() -> None:
    for row in benchmark("mini-GPQA", 60, 0):
        options = json.loads(row["metadata"])["options"]
        assert len(set(options)) == 4
        assert row["question"].count("\n") == 4
        assert row["answer"] in "ABCD"


def test_the_corpus_never_thinks_in_chat_and_is_the_same_for_the_same_seed() -> None:
    texts = list(islice(corpus.documents(4), 300))
    assert texts == list(islice(corpus.documents(4), 300))
    chats = [text for text in texts if text.startswith("<|im_start|>")]
    assert 0.2 < len(chats) / len(texts) < 0.4
    assert not any("think" in text or "check" in text for text in chats)
    assert all(text.endswith(corpus.END_OF_TEXT) for text in texts)


def test_a_step_header_is_one_token_and_no_document_has_it():
    tokenizer = load_tokenizer("world:base")
    header = tokenizer.encode(HEADER, add_special_tokens=False)
    assert len(header) == 1 and tokenizer.decode(header) == HEADER
    assert not any(HEADER in text for text in islice(corpus.documents(0), 2_000))


def test_the_shipped_tokenizer_is_the_one_that_the_script_trains():
    ours, shipped = train_tokenizer(), load_tokenizer("world:base")
    assert ours.backend_tokenizer.to_str() == shipped.backend_tokenizer.to_str()
