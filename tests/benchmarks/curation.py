"""Curation at the paper's size: 59,029 synthetic rows, ours beside the reference's algorithm.

    python tests/benchmarks curation

The rival is the algorithm of the reference (data/collect_data.py with its decontamination
module, and cells 5 to 21 of data/filter.ipynb) in our words: dictionaries of n-gram strings that
are built again for each source, 999 substring searches per question, and a fresh ranking of the
whole domain before each draw.
"""

from __future__ import annotations

import re
import resource
import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks import Row
from s1lib import filtering, selection
from s1lib.domains import AREAS
from s1lib.questions.decontaminate import contaminated, decontaminate
from s1lib.questions.schema import question_id
from s1lib.questions.sources import SOURCES

WORDS = 60_000
HELD_OUT = {"aime24": 90, "gpqa_diamond": 198, "math500": 500, "livecodebench": 713}


def synthetic(
    n: int = 59_029, seed: int = 0, trace_words: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A pool and its held-out questions, as long and as repetitive as the paper's.

    Question lengths are log-normal (median 45 words, mean about 60), words follow Zipf's law,
    1% of the pool quotes a benchmark and 2% another source. Traces have `trace_words` words in
    the mean (0: none). Columns are those that filtering and selection read.
    """
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    vocabulary = np.array(
        ["".join(rng.choice(letters, length)) for length in np.clip(rng.poisson(5.3, WORDS), 1, 14)]
    )
    chance = 1.0 / np.arange(2, WORDS + 2) ** 0.9
    cumulative = np.cumsum(chance) / chance.sum()

    def texts(count: int, median: float, sigma: float) -> list[str]:
        lengths = np.maximum(rng.lognormal(np.log(median), sigma, count).astype(int), 3)
        words = vocabulary[np.searchsorted(cumulative, rng.random(lengths.sum()))]
        return [" ".join(part) for part in np.split(words, np.cumsum(lengths)[:-1])]

    held_out = pd.DataFrame({"benchmark": np.repeat(list(HELD_OUT), list(HELD_OUT.values()))})
    held_out["question"] = texts(len(held_out), 60, 0.7)
    held_out["id"] = held_out["question"].map(question_id)
    questions = texts(n, 45, 0.75)
    share = np.array([source.published for source in SOURCES.values()], dtype=float)
    source = np.sort(rng.choice(len(share), n, p=share / share.sum()))
    for i in rng.choice(n, n // 100, replace=False):
        questions[i] += " " + held_out["question"][rng.integers(len(held_out))]
    for i in rng.choice(n, n // 50, replace=False):
        questions[i] += " " + " ".join(questions[rng.integers(n)].split()[:12])
    for i in rng.choice(n, n // 20, replace=False):
        questions[i] += rng.choice([" [asy] draw [/asy]", " **p1.** find 3", " **a)** 12"])
    names = list(SOURCES)
    pool = pd.DataFrame(
        {
            "id": [question_id(text) for text in questions],
            "question": questions,
            "source": [names[k] for k in source],
            "source_type": [SOURCES[names[k]].source_type for k in source],
            "solution": pd.Series("42", range(n)).where(rng.random(n) > 0.083, None),
            "thinking": texts(n, trace_words * 0.8, 0.7) if trace_words else "a trace",
            "attempt": "Answer: 42",
            "thinking_tokens": rng.lognormal(8.1, 0.6, n).astype(int),
            "domain": rng.choice(list(AREAS), n),
            "teacher_correct": rng.random(n) < 0.25,
            "solved": rng.random(n) < 0.52,
        }
    )
    return pool, held_out


def ours(pool: pd.DataFrame, held_out: pd.DataFrame, seed: int = 0) -> dict[str, int]:
    """Decontaminate, filter and select; returns the counts of each step."""
    kept, _ = decontaminate(pool, held_out)
    good, _ = filtering.quality(kept, patterns="reference")
    hard = good[~good["solved"]]
    chosen, _ = selection.select(hard, size=1000, uniform=700, direct_tokens=5600, seed=seed)
    return {"kept": len(kept), "good": len(good), "hard": len(hard), "set": len(chosen)}


def rival(pool: pd.DataFrame, held_out: pd.DataFrame, seed: int = 0) -> dict[str, int]:
    """The same with the reference's algorithm; the counts up to `hard` are the same."""
    rng = np.random.default_rng(seed)
    tests = held_out["question"].tolist()
    parts = []
    for _, part in pool.groupby("source", sort=False):
        train = _lookup(part["question"].tolist())
        test = _lookup(tests)
        bad: set[int] = set()
        for gram in test:
            if gram in train:
                bad.update(train[gram])
        part = part.iloc[[i for i in range(len(part)) if i not in bad]]
        tests = tests + part["question"].tolist()
        parts.append(part)
    kept = pd.concat(parts)
    complete = kept[kept["solution"].notna()]
    good = complete[
        [_plain(q, s) for q, s in zip(complete["question"], complete["source_type"], strict=True)]
    ]
    hard = good[~good["solved"]]
    return {
        "kept": len(kept),
        "good": len(good),
        "hard": len(hard),
        "set": len(_reference_selection(hard, rng)),
    }


def _lookup(texts: list[str]) -> dict[str, set[int]]:
    lookup: dict[str, set[int]] = defaultdict(set)
    for i, text in enumerate(texts):
        words = re.sub(r"\s+", " ", text.lower().strip()).split()
        for k in range(len(words) - 7):
            lookup[" ".join(words[k : k + 8])].add(i)
    return lookup


def _plain(question: str, source_type: str) -> bool:
    if "[asy]" in question and "AIME" in source_type:
        return True
    return not (
        "[asy]" in question
        or "![Image]" in question
        or any(f"p{i}." in question for i in range(1, 1000))
        or re.search(r"\*\*(?=.*\d)[^\s\]]*\*\*", question)
    )


def _reference_selection(hard: pd.DataFrame, rng: np.random.Generator) -> set[str]:
    source = hard["source"]
    sure = hard["teacher_correct"] & source.isin(selection.DIRECT)
    long = hard["teacher_correct"] & (source == "MATH")
    chosen = set(hard[sure | (long & (hard["thinking_tokens"] > 5600))]["id"])
    domains: dict[str, dict[str, int]] = defaultdict(dict)
    rows = zip(hard["id"], hard["domain"], hard["thinking_tokens"], strict=True)
    for key, domain, length in rows:
        domains[domain][key] = length
    weights = selection.benchmark_weights(hard)
    names = list(domains)
    while len(chosen) < 1000 and names:
        if len(chosen) < 700:
            name = names[rng.integers(len(names))]
        else:
            p = np.array([weights.get(name, 0.0) for name in names])
            name = names[rng.choice(len(names), p=p / p.sum())]
        keys = list(domains[name])
        lengths = np.array([domains[name][key] for key in keys])
        ranks = len(lengths) - 1 - np.argsort(np.argsort(lengths))
        p = np.power(2.0, -ranks)
        key = keys[rng.choice(len(keys), p=p / p.sum())]
        chosen.add(key)
        domains[name].pop(key)
        if not domains[name]:
            names.remove(name)
    return chosen


def measure(n: int = 59_029) -> Iterator[Row]:
    """Rows a second, ours and the rival's. Raises `ValueError` if they keep different rows."""
    pool, held_out = synthetic(n)
    start = time.perf_counter()
    mine = ours(pool, held_out)
    middle = time.perf_counter()
    peak = _peak_mb()
    theirs = rival(pool, held_out)
    end = time.perf_counter()
    if mine != theirs:
        raise ValueError(f"curation disagrees with the reference's algorithm: {mine} {theirs}")
    print(f"ours {middle - start:.1f} s, peak {peak:,.0f} MB; theirs {end - middle:.1f} s")
    yield Row(
        name="curation-vs-reference",
        rival="the reference's decontamination, string filter and sampling loop",
        ours=round(n / (middle - start), 1),
        theirs=round(n / (end - middle), 1),
        unit="rows/s",
        n=n,
        dtype="uint64",
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def traces(n: int = 59_029, words: int = 1_900) -> dict[str, float]:
    """Seconds to look for benchmark 8-grams in `n` traces of `words` words in the mean.

    Traces are made and looked through in tenths, so that memory stays small.
    """
    seconds = size = 0.0
    for part in range(10):
        pool, held_out = synthetic(n // 10, seed=part, trace_words=words)
        start = time.perf_counter()
        contaminated(pool["thinking"].tolist(), held_out["question"].tolist())
        seconds += time.perf_counter() - start
        size += pool["thinking"].str.len().sum() / 1e6
    return {"n": n, "seconds": seconds, "megabytes": size, "peak_mb": _peak_mb()}
