"""The laptop world: exact questions with two ways each, and traces as published ones are."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import shlex
import shutil
from collections import Counter
from dataclasses import replace
from itertools import count, islice
from math import gcd
from statistics import mean, median

import pytest
import torch

from s1lib.artifacts import RunError
from s1lib.world import corpus
from s1lib.world.families import FAMILIES, is_held_out, kind, make_problem, rebuild
from s1lib.world.pen import Pen
from s1lib.world.pretrain import RECIPES, WEIGHTS, WINDOW, add_arguments, load_tokenizer, main
from s1lib.world.sources import BENCHMARKS, SOURCES, benchmark, rows
from s1lib.world.teacher import TEACHER, compare, look, misread, solve, think


def apply(p: dict) -> int:
    v = p["s"]
    for _ in range(p["n"]):
        v = (p["a"] * v + p["b"]) % p["m"]
    return v


def obey(p: dict) -> int:
    value = p["s"]
    for order, by in p["o"]:
        value = {"add": value + by, "take": value - by, "double": 2 * value}[order]
    return value


def written(n: int, base: int) -> int:
    return n if n < base else 10 * written(n // base, base) + n % base


def row(p: dict) -> int:
    numbers = [0, p["u"], p["v"]]
    while len(numbers) <= p["n"]:
        numbers.append(0 if len(numbers) == p["k"] else numbers[-1] + numbers[-2])
    return numbers[p["n"]]


def first(above: int, fits) -> int:
    return next(x for x in count(above + 1) if fits(x))


# The answer of every family, from its question's meaning and neither of its ways.
ORACLES = {
    "account": lambda p: p["s"] + p["n"] * p["d"] - p["n"] // p["e"] * p["f"],
    "orbit": apply,
    "power": lambda p: pow(p["a"], p["n"], p["m"]),
    "series": lambda p: sum(p["s"] + k * p["d"] for k in range(p["n"])),
    "polynomial": lambda p: sum(c * p["x"] ** k for k, c in enumerate(reversed(p["c"]))),
    "dot": lambda p: sum(a * b for a, b in zip(p["a"], p["b"], strict=True)),
    "machine": obey,
    "mean": lambda p: sum(p["m"]) // len(p["m"]),
    "calendar": lambda p: (p["k"] + p["b"] - p["a"] - 1) % p["w"] + 1,
    "row": row,
    "digits": lambda p: written(p["n"], p["b"]),
    "shop": lambda p: p["s"] + sum(n * k * (1 if verb == "buys" else -1) for verb, n, k in p["t"]),
    "divisor": lambda p: gcd(p["a"], p["b"]),
    "colony": lambda p: first(0, lambda k: p["s"] + k * p["d"] > p["t"]) + p["k"],
    "braking": lambda p: first(0, lambda k: p["s"] - k * p["d"] < p["t"]) + p["k"],
    "congruence": lambda p: first(p["l"], lambda x: p["a"] * x % p["m"] == p["r"]),
    "comets": lambda p: first(p["l"], lambda t: (t % p["p"], t % p["q"]) == (p["i"], p["j"])),
    "coins": lambda p: max(
        y for y in range(p["c"] // p["b"] + 1) if (p["c"] - p["b"] * y) % p["a"] == 0
    ),
    "rectangle": lambda p: max(p["x"], p["y"]),
    "tickets": lambda p: next(
        x for x in range(p["s"] + 1) if p["a"] * x + p["b"] * (p["s"] - x) == p["c"]
    ),
    "runners": lambda p: (
        p["p"] + p["u"] * first(0, lambda t: p["p"] + p["u"] * t == p["q"] + p["v"] * t)
    ),
    "riddle": lambda p: first(
        p["l"], lambda x: sum(map(int, str(x))) == p["s"] and x % p["m"] == p["r"]
    ),
    "factor": lambda p: max(d for d in range(1, p["n"]) if p["n"] % d == 0),
    "dice": lambda p: sum(
        i + j != p["s"] for i in range(1, p["n"] + 1) for j in range(1, p["m"] + 1)
    ),
    "ways": lambda p: sum(
        x for x in range(p["l"] + 1, p["l"] + p["n"] + 1) if (p["c"] + p["a"] * x) % p["b"] == 0
    ),
    "multiples": lambda p: sum(x % p["a"] > 0 and x % p["b"] > 0 for x in range(1, p["n"] + 1)),
    "pairs": lambda p: p["g"] * (p["g"] - 1) // 2 + p["g"] * p["b"],
}


@pytest.mark.parametrize("name", FAMILIES)
def test_both_ways_end_in_what_the_question_means(name: str) -> None:
    rng = random.Random(7)
    for _ in range(150):
        problem = make_problem(rng, name, 1, 24)
        assert problem.answer == str(ORACLES[name](problem.params)), problem.question
        assert look(problem, slow=False)[1] == problem.answer, problem.question


@pytest.mark.parametrize("name", FAMILIES)
def test_whatever_is_misread_a_way_comes_to_an_end(name: str) -> None:
    rng, shaky = random.Random(8), replace(TEACHER, misread=0.9, bad_day=0.0, haste=0.5)
    for _ in range(100):
        problem = make_problem(rng, name, 1, 24)
        for slow in (True, False):
            lines, answer = look(problem, slow, rng, shaky)
            assert len(lines) < 100 and int(answer) >= 0


@pytest.mark.parametrize("name", FAMILIES)
def test_no_answer_of_a_family_is_a_good_guess(name: str) -> None:
    rng = random.Random(9)
    answers = Counter(make_problem(rng, name, 4, 16).answer for _ in range(400))
    assert answers.most_common(1)[0][1] < 40


def test_there_are_24_families_in_ten_domains_and_twelve_in_each_benchmark() -> None:
    assert len(FAMILIES) >= 24
    assert len({family.msc for family in FAMILIES.values()}) >= 10
    assert all(len(kind.families) >= 12 for kind in BENCHMARKS.values())


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"divisor"}))
def test_one_number_is_misread_and_the_question_stays_sound(name: str) -> None:
    rng, differ = random.Random(11), 0
    for _ in range(40):
        problem = make_problem(rng, name, 3, 16)
        read = misread(problem, rng)
        slow, fast = problem.family.slow(read, Pen()), problem.family.fast(read, Pen())
        assert slow == fast
        differ += json.dumps(read) != json.dumps(problem.params)
    assert differ > 20


def test_the_first_look_is_brief_and_later_ones_are_not() -> None:
    problem = make_problem(random.Random(5), "account", 9, 12)
    text, _ = solve(problem, random.Random(0), replace(TEACHER, rest=0.0, slow=1.0))
    first, second = re.split(r"\n(?:Wait|Alternatively|Hmm),", text)[:2]
    assert len(first.split("\n\n")) == 3 < len(second.split("\n\n"))


def test_a_problem_is_rebuilt_from_its_metadata() -> None:
    one = rows("NuminaMATH", 1, 0)[0]
    facts = json.loads(one["metadata"])
    assert rebuild(facts["family"], facts["params"]).question in one["question"]


def traces(problems: int, each: int = 16) -> list[list[tuple[int, bool]]]:
    """Lines and correctness of the teacher's traces, question by question."""
    rng, found = random.Random(10), []
    for _ in range(problems):
        problem = make_problem(rng, rng.choice(list(FAMILIES)), 3, 12)
        looks = [
            solve(problem, random.Random(f"{k}/{problem.question}"), TEACHER) for k in range(each)
        ]
        found.append([(len(text.split("\n\n")), a == problem.answer) for text, a in looks])
    return found


def test_wrong_traces_of_a_question_are_longer_than_right_ones() -> None:
    """Published: wrong answers take 225% more tokens (arXiv 2501.18585)."""
    ratios = []
    for looks in traces(150):
        wrong, right = ([n for n, ok in looks if ok is want] for want in (False, True))
        if wrong and right:
            ratios.append(mean(wrong) / mean(right))
    assert median(ratios) > 1.3


def test_the_longer_a_trace_the_less_often_it_is_right() -> None:
    looks = sorted(look for question in traces(600) for look in question)
    quarter = len(looks) // 4
    shares = [mean(ok for _, ok in looks[k * quarter : (k + 1) * quarter]) for k in range(4)]
    assert shares == sorted(shares, reverse=True) and shares[0] - shares[3] > 0.1


def test_the_teacher_repeats_itself_with_the_same_seed_only() -> None:
    one = benchmark("mini-AIME", 1, 0)[0]
    assert think(one["question"], one["metadata"], 1) == think(one["question"], one["metadata"], 1)
    assert len({think(one["question"], one["metadata"], seed) for seed in range(9)}) > 1


def test_an_answer_that_is_found_twice_in_a_row_stands() -> None:
    assert compare("7", "7", False) == ("Now 7, before 7: the same.", "7", True)
    assert compare("8", "7", False) == ("Now 8, before 7: not the same.", "8", False)
    assert compare("8", "7", True) == ("Now 8, before 7 twice: not the same.", "7", True)


def test_no_look_that_differs_overturns_two_that_agree() -> None:
    problem, seen = make_problem(random.Random(4), "power", 6, 12), 0
    for seed in range(300):
        text, answer = solve(problem, random.Random(seed), replace(TEACHER, further=0.5))
        settled = re.findall(r"before (\d+) twice", text)
        assert not settled or set(settled) == {answer}
        seen += "twice: not the same" in text
    assert seen > 10


def test_every_question_is_a_chain_a_search_or_a_count() -> None:
    known = {kind(row["metadata"]) for row in benchmark("mini-MATH", 60, 0)}
    assert known == {"chains", "searches", "counts"}


def test_a_letter_is_the_option_that_says_the_answer() -> None:
    for one in benchmark("mini-GPQA", 50, 3):
        facts = json.loads(one["metadata"])
        answer = rebuild(facts["family"], facts["params"]).answer
        assert facts["options"]["ABCD".index(one["answer"])] == answer


def test_no_question_stands_in_two_benchmarks() -> None:
    asked = [{one["question"] for one in benchmark(name, 300, 0)} for name in BENCHMARKS]
    assert len(set.union(*asked)) == 900


def test_no_document_and_no_source_holds_a_benchmark_question_but_for_leaks() -> None:
    exam = {
        one["question"].split("\n")[0] for name in BENCHMARKS for one in benchmark(name, 200, 0)
    }
    assert all(is_held_out(question) for question in exam)
    texts = "".join(islice(corpus.documents(1), 3000))
    assert not any(question in texts for question in exam)
    pool = [one["question"].split("\n")[0] for one in rows("MATH", 500, 0)]
    assert sum(question in exam for question in pool) < 25


def test_documents_look_twice_far_more_seldom_than_the_teacher() -> None:
    again = re.compile(r"\n(?:Wait|Alternatively|Hmm),")
    texts = list(islice(corpus.documents(2), 3000))
    rng = random.Random(3)
    mine = [
        solve(make_problem(rng, rng.choice(list(FAMILIES)), 3, 12), rng, TEACHER)[0]
        for _ in range(500)
    ]
    looks = [mean(bool(again.search(text)) for text in some) for some in (texts, mine)]
    assert looks[0] < 0.06 < 0.5 < looks[1]


def test_how_a_question_on_a_sheet_is_answered_says_nothing_about_the_next() -> None:
    pairs = Counter()
    for text in islice(corpus.documents(6), 30_000):
        parts = [part.count("\n\n") > 3 for part in re.split(r"Answer: \w+\n\n", text)]
        pairs.update(itertools.pairwise(parts))
    after_long, after_brief = (
        pairs[first, True] / (pairs[first, True] + pairs[first, False]) for first in (True, False)
    )
    assert abs(after_long - after_brief) < 0.03


def test_the_tokenizer_gives_back_what_it_is_given_and_spells_numbers() -> None:
    tokenizer = load_tokenizer(WEIGHTS)
    for text in islice(corpus.documents(4), 100):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode("719")) == 3
    assert tokenizer.encode("So the answer is 4.\nWait")[:-1] == tokenizer.encode(
        "So the answer is 4.\n"
    )


def test_models_that_go_on_get_the_window_of_today_beside_their_tokenizer() -> None:
    """The shipped tokenizer was made for a window of 1,024 tokens, and said so once more."""
    assert load_tokenizer(WEIGHTS).model_max_length == WINDOW


def test_pretraining_can_be_asked_for_without_a_name() -> None:
    """Python 3.11 refused the command that the book names: its default was no choice."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert [parser.parse_args(words).model for words in ([], ["small"])] == [None, "small"]


def test_the_command_of_a_model_card_makes_the_model_again(tmp_path, monkeypatch) -> None:
    """It had neither tokens nor folder, and a folder called FOLDER to start from."""
    tiny = replace(RECIPES["small"], hidden=12, layers=1, mlp=16, heads=1, batch=1024, workers=0)
    monkeypatch.setitem(RECIPES, "small", tiny)
    monkeypatch.setattr(torch, "compile", lambda model, **options: model)  # takes a minute
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    first, second = tmp_path / "the first", tmp_path / "second"
    shutil.copytree(WEIGHTS / "tokenizer", first / "tokenizer")
    for folder, start in ((first, []), (second, ["--start", str(first)])):
        model = folder / "small" / "model.safetensors"
        main(parser.parse_args(["small", "--tokens", "8192", "--folder", str(folder), *start]))
        made = model.read_bytes()
        model.unlink()
        (command,) = re.findall("Command.*`(.+)`", (folder / "small" / "README.md").read_text())
        program, words = shlex.split(command)[:4], shlex.split(command)[4:]
        assert program == ["python", "-m", "s1lib", "pretrain"]
        main(parser.parse_args(words))
        assert model.read_bytes() == made


def test_an_unknown_source_is_told_the_known_ones() -> None:
    with pytest.raises(RunError, match="use one of"):
        rows("nowhere", 1, 0)
    assert set(SOURCES) and all(set(kind.families) <= set(FAMILIES) for kind in SOURCES.values())
