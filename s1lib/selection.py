"""From the hard pool to s1K: direct picks, power-law sampling per domain, and the rival sets.

Sources: section 2.2, Algorithm 1 and section 5.1 of the paper; cells 14 to 21 of the reference's
data/filter.ipynb. The reference draws without a seed, from sets whose order changes with every
Python process, and leaves direct picks in their domains. Here one NumPy generator draws from
sorted lists, direct picks leave their domains, and a ledger holds every draw.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from s1lib import chat
from s1lib.artifacts import RunError

DRAWS = ("draw", "phase", "domain", "rank", "weight", "id")
SET_COLUMNS = (
    *("id", "question", "solution", "cot_type", "source_type", "metadata", "cot"),
    *("thinking_trajectories", "attempt", "text", "answer", "domain"),
)
DIRECT = ("GPQA", "AIME")


def direct(pool: pd.DataFrame, tokens: int) -> pd.Series:
    """Which rows are taken without sampling, as a boolean column.

    GPQA and AIME questions that the teacher answered correctly, and MATH questions that it
    answered correctly in more than `tokens` thinking tokens (5,600 in the reference, which looks
    at `source_type` and finds no MATH on a rebuilt pool, since the dataset has another name now).
    """
    long = (pool["source"] == "MATH") & (pool["thinking_tokens"] > tokens)
    return pool["teacher_correct"].astype(bool) & (pool["source"].isin(DIRECT) | long)


def benchmark_weights(pool: pd.DataFrame) -> dict[str, float]:
    """Share of each domain among the benchmark-like questions: AIME, plus half of it of GPQA.

    GPQA counts are scaled by 0.5 |AIME| / |GPQA| and cut to integers, as the reference does.
    Domains without such a question are left out, and questions without a domain.
    """
    filed = pool[pool["domain"].notna()]
    aime = Counter(filed["domain"][filed["source"] == "AIME"])
    gpqa = Counter(filed["domain"][filed["source"] == "GPQA"])
    scale = 0.5 * aime.total() / gpqa.total() if gpqa else 0.0
    counts = aime + Counter({domain: int(scale * n) for domain, n in gpqa.items()})
    return {domain: counts[domain] / counts.total() for domain in sorted(counts)}


def select(
    pool: pd.DataFrame,
    *,
    size: int,
    uniform: int,
    direct_tokens: int,
    seed: int,
    mode: str = "reference",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Choose `size` rows of the hard pool. Returns `(set, draws)`, the set sorted by id.

    `pool` needs id, source, domain, thinking_tokens (int) and teacher_correct (bool).
    After the direct picks a domain is drawn, then one of its questions: the k-th longest trace
    of those left, counted from 0 and ties by id, has weight 2**-k. `reference` draws domains
    uniformly until the set has `uniform` rows and then after `benchmark_weights`; `paper`
    (Algorithm 1) draws uniformly to the end; `published` takes the whole pool, which is the
    authors' set, whatever `size` is. If no domain with a benchmark weight is left, the
    rest is drawn uniformly. `draws` is the ledger with `DRAWS`: phase is `direct`, `uniform` or
    `weighted`, weight the probability within the domain (1 for direct picks).

    Same rows and same seed give the same set in any order of rows. Raises `RunError` if the
    pool has fewer rows than `size`, or if there are more direct picks than that.
    """
    pool = _sorted(pool)
    taken = direct(pool, direct_tokens)
    if mode == "published":
        taken[:], size = True, len(pool)
    if (unfiled := pool["domain"][~taken].isna().sum()) > 0:
        raise RunError(f"{unfiled} rows have no domain: drop them first")
    _check_size(len(pool), int(taken.sum()), size)
    domains = _by_length(pool[~taken])
    weights = benchmark_weights(pool) if mode == "reference" else {}
    rng = np.random.default_rng(seed)
    draws: list[tuple[int, str, str, int, float, str]] = [
        (draw, "direct", row.domain, 0, 1.0, row.id)
        for draw, row in enumerate(pool[taken].itertuples())
    ]
    while len(draws) < size:
        weighted = len(draws) >= uniform and any(name in weights for name in domains)
        names = sorted(set(domains) & set(weights)) if weighted else sorted(domains)
        chances = np.array([weights[name] if weighted else 1.0 for name in names])
        name = names[rng.choice(len(names), p=chances / chances.sum())]
        rank = power_law(rng.random(), len(domains[name]))
        weight = 0.5**rank / (2.0 - 0.5 ** (len(domains[name]) - 1))
        phase = "weighted" if weighted else "uniform"
        draws.append((len(draws), phase, name, rank, weight, domains[name].pop(rank)))
        if not domains[name]:
            del domains[name]
    ledger = pd.DataFrame(draws, columns=list(DRAWS))
    return pool[pool["id"].isin(ledger["id"])].reset_index(drop=True), ledger


def power_law(u: float, n: int) -> int:
    """The rank in 0..n-1 at which the cumulated weights 2**-k, normalised, pass `u` in [0, 1)."""
    total = 1.0 - 0.5**n
    return min(int(-math.log2(1.0 - u * total)), n - 1)


def replay(pool: pd.DataFrame, draws: pd.DataFrame) -> list[str]:
    """Follow a ledger through the pool and return the ids of the set, sorted.

    Raises `RunError` at the first draw that names another row than the one at its rank.
    """
    pool = _sorted(pool)
    picks = draws["id"][draws["phase"] == "direct"]
    domains = _by_length(pool[~pool["id"].isin(picks)])
    for row in draws[draws["phase"] != "direct"].itertuples():
        left = domains.get(row.domain, [])
        if row.rank >= len(left) or left[row.rank] != row.id:
            raise RunError(
                f"draw {row.draw} of draws.parquet does not fit the pool: run chapter 04 again"
            )
        left.pop(row.rank)
    return sorted(draws["id"])


def random_set(pool: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """1K-random: `size` rows of the well-formed pool, whatever their difficulty or domain."""
    pool = _sorted(pool)
    _check_size(len(pool), 0, size)
    return pool.iloc[np.sort(np.random.default_rng(seed).permutation(len(pool))[:size])]


def diverse_set(pool: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """1K-diverse: domains drawn uniformly, then a row of the domain uniformly."""
    pool = _sorted(pool)
    _check_size(len(pool), 0, size)
    rng = np.random.default_rng(seed)
    domains = _by_length(pool)
    ids: list[str] = []
    while len(ids) < size:
        names = sorted(domains)
        name = names[rng.integers(len(names))]
        ids.append(domains[name].pop(rng.integers(len(domains[name]))))
        if not domains[name]:
            del domains[name]
    return pool[pool["id"].isin(ids)]


def longest_set(pool: pd.DataFrame, size: int) -> pd.DataFrame:
    """1K-longest: the rows with the longest traces, ties by id."""
    _check_size(len(pool), 0, size)
    return _sorted(pool.sort_values(["thinking_tokens", "id"], ascending=[False, True]).head(size))


def training_set(rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> pd.DataFrame:
    """The columns of s1K (`SET_COLUMNS`), with the training text of each row, sorted by id.

    `rows` needs the columns of chapters 01 and 02; `domain` may be missing or empty.
    """
    rows = _sorted(rows)
    table = pd.DataFrame({name: rows.get(name) for name in SET_COLUMNS})
    table["thinking_trajectories"] = [[trace] for trace in rows["thinking"]]
    triples = zip(rows["question"], rows["thinking"], rows["attempt"], strict=True)
    table["text"] = [chat.training_text(tokenizer, *triple) for triple in triples]
    return table


def bucket(n: int) -> int:
    """The next power of two: 1, 2, 4, 8, ... not below `n` (paper, appendix E.1)."""
    return 1 << max(n - 1, 0).bit_length()


def suffix(bound: int, unit: str) -> str:
    """What is appended to a question; `unit` is `tokens` or `steps`."""
    return f"\n\nThink for up to {bound} {unit}."


def steps(trace: str) -> list[str]:
    """Steps of a trace: its parts between blank lines."""
    return [part for part in trace.strip().split("\n\n") if part.strip()]


def token_conditional(rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> pd.DataFrame:
    """Training texts whose question asks for a number of thinking tokens (appendix E.1).

    The number is the trace's own length, `thinking_tokens`, up to the next power of two. Returns
    id, budget (int) and text.
    """
    budgets = [bucket(int(n)) for n in rows["thinking_tokens"]]
    return _texts(rows, tokenizer, budgets, "tokens", rows["thinking"].tolist())


def step_conditional(rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> pd.DataFrame:
    """Training texts whose question asks for a number of steps, counted down in the trace.

    Every step has the header `<|im_start|>{k} steps left`, k falling from the next power of two
    not below the number of steps. Returns id, budget (int) and text.
    """
    parts = [steps(trace) for trace in rows["thinking"]]
    budgets = [bucket(len(part)) for part in parts]
    traces = [
        "\n".join(f"<|im_start|>{n - i} steps left\n{step}" for i, step in enumerate(part))
        for part, n in zip(parts, budgets, strict=True)
    ]
    table = _texts(rows, tokenizer, budgets, "steps", traces)
    header = f"{chat.ASSISTANT}{chat.THINK}\n"
    table["text"] = [text.replace(header, chat.ASSISTANT, 1) for text in table["text"]]
    return table


def truncated(
    rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> pd.DataFrame:
    """Training texts cut to their first `max_length` tokens (Table 8).

    `rows` needs id and text. Returns id, cut (bool) and text.
    """
    texts, cut = [], []
    for text in rows["text"]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        cut.append(len(ids) > max_length)
        part = str(tokenizer.decode(ids[:max_length])).rstrip("\ufffd")
        texts.append(part if cut[-1] else text)
    return pd.DataFrame({"id": rows["id"].tolist(), "cut": cut, "text": texts})


def _texts(
    rows: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    budgets: Sequence[int],
    unit: str,
    traces: Sequence[str],
) -> pd.DataFrame:
    asked = zip(rows["question"], budgets, strict=True)
    questions = [question + suffix(n, unit) for question, n in asked]
    triples = zip(questions, traces, rows["attempt"], strict=True)
    texts = [chat.training_text(tokenizer, *triple) for triple in triples]
    return pd.DataFrame({"id": rows["id"].tolist(), "budget": list(budgets), "text": texts})


def _sorted(pool: pd.DataFrame) -> pd.DataFrame:
    return pool.sort_values("id").reset_index(drop=True)


def _by_length(pool: pd.DataFrame) -> dict[str, list[str]]:
    """Ids of each domain, longest trace first, ties by id."""
    ranked = pool.sort_values(["thinking_tokens", "id"], ascending=[False, True])
    groups: dict[Any, pd.Series] = dict(iter(ranked.groupby("domain")["id"]))
    return {str(domain): ids.tolist() for domain, ids in groups.items()}


def _check_size(pool: int, direct_picks: int, size: int) -> None:
    if pool < size:
        raise RunError(
            f"the pool has {pool} questions and the set needs {size}: "
            "raise questions.pool or lower selection.size in the profile"
        )
    if direct_picks > size:
        raise RunError(
            f"{direct_picks} direct picks do not fit a set of {size}: "
            "raise selection.direct_tokens or selection.size in the profile"
        )
