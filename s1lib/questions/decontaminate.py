"""Decontamination: no training question may share an 8-gram of words with a benchmark.

Semantics of the reference (data/utils, collect_data.py): lower case, whitespace collapsed,
words split on whitespace with their punctuation, and one shared 8-gram is enough. Since a
question of fewer than eight words has no 8-gram, it is never removed; with `whole` (ours) it is
if a question that short equals it.

The n-grams are never built as strings. Every text of a batch is joined into one byte array with
a polynomial prefix hash (Karp and Rabin, 1987), which gives the hash of any run of words as one
subtraction, in NumPy. A hit is then compared as text, so a removal is never a hash collision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

REMOVALS = ("id", "question", "source", "against", "match_id", "match_question", "ngram")
CHUNK = 1 << 18
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


def normalize(text: str) -> str:
    """Lower case, single spaces, no space at the ends."""
    return " ".join(text.lower().split())


def ngrams(text: str, n: int = 8, whole: bool = False) -> list[str]:
    """All n-grams of words of a text, normalised, in order.

    A text of fewer than `n` words has none; with `whole` it has one, itself.
    """
    words = normalize(text).split()
    if whole and 0 < len(words) < n:
        return [" ".join(words)]
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


def shared_ngram(text: str, other: str, n: int = 8, whole: bool = False) -> str | None:
    """The first n-gram of `text` that is also in `other`, or None."""
    others = set(ngrams(other, n, whole))
    return next((gram for gram in ngrams(text, n, whole) if gram in others), None)


def hashes(
    texts: Sequence[str], n: int = 8, whole: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hashes of all n-grams, batch by batch, so that memory does not grow with the corpus.

    Yields `(rows, values)`: int64 index of the text, ascending, and uint64 hash, one per n-gram.
    """
    batch: list[str] = []
    start = size = 0
    for row, text in enumerate(texts):
        batch.append(normalize(text))
        size += len(batch[-1])
        if size > CHUNK:
            yield _batch_hashes(batch, start, n, whole)
            batch, start, size = [], row + 1, 0
    if batch:
        yield _batch_hashes(batch, start, n, whole)


def contaminated(
    texts: Sequence[str], against: Sequence[str], n: int = 8, whole: bool = False
) -> list[tuple[int, int, str]]:
    """Texts sharing an n-gram with any text of `against`.

    Returns `(index in texts, index in against, n-gram)`, one per removed text, ascending. Of
    several matches the first n-gram of the text counts.
    """
    first: dict[int, int] = {}
    for rows, values in hashes(against, n, whole):
        unique, where = np.unique(values, return_index=True)
        for value, row in zip(unique.tolist(), rows[where].tolist(), strict=True):
            first.setdefault(value, row)
    return _matches(texts, first, against, n, whole)


def decontaminate(
    pool: pd.DataFrame,
    held_out: pd.DataFrame,
    n: int = 8,
    near_dedup: bool = True,
    whole: bool = False,
    spared: Sequence[str] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Remove contaminated questions, source by source, in the order that sources appear.

    `pool` needs id, question and source; `held_out` benchmark, id and question. With
    `near_dedup` (what the reference does without saying so) a question is also removed if it
    shares an n-gram with a kept question of an earlier source; questions of the same source are
    never compared with each other. The sources named in `spared` take no part: the reference adds
    AIME when all this is done. Returns `(kept rows, removals)`, removals with `REMOVALS`, where
    `against` is the benchmark or the earlier source.
    """
    texts: list[str] = pool["question"].tolist()
    tests: list[str] = held_out["question"].tolist()
    compared = ~pool["source"].isin(spared).to_numpy()
    hits = contaminated(texts, tests, n, whole)
    found = [(i, "held out", j, gram) for i, j, gram in hits if compared[i]]
    if near_dedup:
        clean = compared.copy()
        clean[[i for i, *_ in found]] = False
        groups = pd.factorize(pool["source"])[0]
        pairs = _cross_source(texts, groups, clean, n, whole)
        found += [(i, "pool", j, gram) for i, j, gram in pairs]
    kept = np.ones(len(texts), dtype=bool)
    lines = []
    for i, where, j, gram in sorted(found):
        kept[i] = False
        other = held_out.iloc[j] if where == "held out" else pool.iloc[j]
        against = other["benchmark"] if where == "held out" else other["source"]
        gone = pool.iloc[i][["id", "question", "source"]]
        lines.append((*gone, against, *other[["id", "question"]], gram))
    return pool[kept].reset_index(drop=True), pd.DataFrame(lines, columns=list(REMOVALS))


def _cross_source(
    texts: list[str], groups: np.ndarray, clean: np.ndarray, n: int, whole: bool
) -> list[tuple[int, int, str]]:
    """Matches with kept texts of an earlier group. `groups` are ascending codes."""
    parts = list(hashes(texts, n, whole))
    if not parts:
        return []
    rows = np.concatenate([rows for rows, _ in parts])
    values = np.concatenate([values for _, values in parts])
    rows, values = rows[clean[rows]], values[clean[rows]]
    ids, unique = _shared_ids(values)
    rows, ids = rows[ids >= 0], ids[ids >= 0]
    owner = np.full(unique, -1, dtype=np.int64)
    found = []
    for group in range(groups.max(initial=-1) + 1):
        of_group = groups[rows] == group
        mine, grams = rows[of_group], ids[of_group]
        dropped = set()
        for i in np.unique(mine[owner[grams] >= 0]).tolist():
            owners = owner[grams[slice(*np.searchsorted(mine, (i, i + 1)))]]
            for j in dict.fromkeys(owners[owners >= 0].tolist()):
                gram = shared_ngram(texts[i], texts[j], n, whole)
                if gram is not None:
                    found.append((i, j, gram))
                    dropped.add(i)
                    break
        stays = ~np.isin(mine, list(dropped))
        fresh = stays & (owner[grams] < 0)
        owner[grams[fresh][::-1]] = mine[fresh][::-1]
    return found


def _shared_ids(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the values that occur more than once from 0; -1 for the rest."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    again = counts > 1
    numbers = np.where(again, np.cumsum(again) - 1, -1)
    return numbers[places], int(again.sum())


def _matches(
    texts: Sequence[str], first: dict[int, int], against: Sequence[str], n: int, whole: bool
) -> list[tuple[int, int, str]]:
    known = np.sort(np.fromiter(first, dtype=np.uint64, count=len(first)))
    sieve = np.zeros(1 << 22, dtype=bool)
    sieve[known >> np.uint64(42)] = True
    found: dict[int, tuple[int, str]] = {}
    for rows, values in hashes(texts, n, whole):
        maybe = np.flatnonzero(sieve[values >> np.uint64(42)])
        at = np.searchsorted(known[:-1], values[maybe])
        maybe = maybe[known[at] == values[maybe]] if len(maybe) else maybe
        for i, value in zip(rows[maybe].tolist(), values[maybe].tolist(), strict=True):
            if i not in found:
                gram = shared_ngram(texts[i], against[first[value]], n, whole)
                if gram is not None:
                    found[i] = (first[value], gram)
    return [(i, j, gram) for i, (j, gram) in sorted(found.items())]


def _batch_hashes(
    batch: list[str], start: int, n: int, whole: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the n-grams of normalised texts; `start` is the index of the first."""
    data = np.frombuffer("\n".join([*batch, ""]).encode("utf-8", "surrogatepass"), np.uint8)
    ends = np.flatnonzero((data == 10) | (data == 32))
    begins = np.concatenate([[0], ends[:-1] + 1])
    last = np.flatnonzero(data[ends] == 10)
    first = np.concatenate([[0], last[:-1] + 1])
    words = last - first + 1
    row = np.repeat(np.arange(len(batch)), words)
    at = np.flatnonzero(row[: max(len(row) - n + 1, 0)] == row[n - 1 :])
    rows, left, right = row[at], begins[at], ends[at + n - 1]
    if whole:
        short = np.flatnonzero((words < n) & (begins[first] < ends[last]))
        order = np.argsort(np.concatenate([rows, short]), kind="stable")
        rows = np.concatenate([rows, short])[order]
        left = np.concatenate([left, begins[first[short]]])[order]
        right = np.concatenate([right, ends[last[short]]])[order]
    prefix = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum(data * _powers(_BASE, len(data)), out=prefix[1:])
    values = (prefix[right] - prefix[left]) * _powers(_INVERSE, len(data) + 1)[left]
    values ^= values >> np.uint64(32)
    values *= np.uint64(0xD6E8FEB86659FD93)
    return rows + start, values


_TABLES: dict[int, np.ndarray] = {}


def _powers(base: int, count: int) -> np.ndarray:
    """base**0, base**1, ... modulo 2**64."""
    table = _TABLES.get(base, np.empty(0, np.uint64))
    if len(table) < count:
        table = np.full(max(count, CHUNK), base, dtype=np.uint64)
        table[0] = 1
        np.cumprod(table, out=table)
        _TABLES[base] = table
    return table[:count]
