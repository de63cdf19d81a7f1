"""Control, Scaling and Performance, and how sure one may be of a number (paper, section 3.2).

Accuracies and Control are percentages, lengths are thinking tokens. An estimate is a plain
`{"value", "n", "ci95"}` with n problems, ready for a chapter's facts. Intervals resample
problems and keep a problem's runs together, so that two runs are compared on the same problems.

Problems that were drawn from a few procedures are not as many independent ones. Where their
`families` are given (labels, shape [problems]), intervals resample whole families instead, and the
estimate says how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from s1lib.artifacts import RunError

RESAMPLES = 10_000
_BLOCK = 2_000_000  # numbers held at once while resampling: 16 MB

Estimate = dict[str, Any]
Floats = NDArray[np.float64]
Families = Sequence[str] | None


def control(
    thinking_tokens: ArrayLike, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> float:
    """Percentage of runs whose mean thinking length lies within its bounds (equation 1).

    `thinking_tokens` has shape [runs]; `lower` and `upper` are inclusive, a number or one per
    run, and `None` or NaN leaves that side open.
    """
    tokens = _runs(thinking_tokens)
    low = np.nan if lower is None else np.asarray(lower, dtype=float)
    high = np.nan if upper is None else np.asarray(upper, dtype=float)
    within = (np.isnan(low) | (tokens >= low)) & (np.isnan(high) | (tokens <= high))
    return float(100 * within.mean())


def scaling(
    thinking_tokens: ArrayLike,
    accuracies: ArrayLike,
    per: Literal["doubling", "token"] = "doubling",
) -> float:
    """Mean slope over all pairs of runs, in percentage points (equation 2).

    `per="token"` is the equation as it reads; `per="doubling"` takes the logarithm of the
    tokens to base 2, which is what reproduces Table 3. Shapes [runs]. A pair of runs of equal
    length has no slope and is left out; NaN if no pair is left.
    """
    tokens, values = _runs(thinking_tokens), _runs(accuracies)
    if tokens.shape != values.shape:
        raise RunError(f"{len(tokens)} lengths but {len(values)} accuracies: give one per run")
    return float(_slopes(tokens, values, per))


def performance(accuracies: ArrayLike) -> float:
    """Highest accuracy over all runs (equation 3)."""
    return float(_runs(accuracies).max())


def wilson(correct: float, n: float) -> list[float]:
    """Wilson's 95% interval of a proportion, in percent: honest near 0% and 100%."""
    z, share = float(norm.ppf(0.975)), correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return [round(100 * float(low), 2), round(100 * float(high), 2)]


def accuracy(correct: ArrayLike, seed: int = 0, families: Families = None) -> Estimate:
    """Accuracy over problems with its 95% interval.

    `correct` has shape [problems] or, for several training seeds, [seeds, problems]: true or
    false, or a share between 0 and 1. One seed's verdicts get Wilson's interval (for as many
    problems as their families are worth, `effective_problems`), and so do verdicts that are all
    the same; all else gets the bootstrap of `resampled_levels`, within 0 and 100.
    """
    levels = _levels(correct)
    n = levels.shape[1]
    verdicts = np.isin(levels, (0, 1)).all()
    if verdicts and (len(levels) == 1 or np.ptp(levels) == 0):
        worth = effective_problems(levels[0], families)
        interval = wilson(float(levels[0].mean()) * worth, worth)
    else:
        drawn = 100 * resampled_levels([levels], seed=seed, families=families)[:, 0]
        interval = _percentiles(drawn.clip(0, 100))
    value = round(100 * float(levels.mean()), 2)
    return {"value": value, "n": n, "ci95": interval, **_counted(families)}


def effective_problems(values: ArrayLike, families: Families = None) -> float:
    """How many independent problems would tell as much about a mean as these do.

    The number of problems over the design effect (Kish 1965): the variance of the mean between
    families, over what it would be if each problem were on its own. Never more than there are.
    """
    level = np.asarray(values, dtype=float)
    labels = _labels(families, len(level))
    alone = level.var() / len(level)
    if labels is None or not alone:
        return float(len(level))
    count = labels.max() + 1
    sums = np.bincount(labels, level - level.mean())
    between = count / (count - 1) * float(sums @ sums) / len(level) ** 2
    return len(level) / max(1.0, between / alone)


def difference(
    after: ArrayLike,
    before: ArrayLike,
    resamples: int = RESAMPLES,
    seed: int = 0,
    unit: float = 100,
    families: Families = None,
) -> Estimate:
    """Accuracy of `after` minus that of `before`, in percentage points, paired by problem.

    Each has shape [problems] or [seeds, problems] as in `accuracy`, problems in the same order.
    The interval is the paired bootstrap of Table 2, 10,000 resamples of problems, to which
    several training seeds add their own spread (`resampled_levels`). With `unit=1` the values
    are not shares but plain numbers, such as thinking tokens.
    """
    first, second = _levels(after), _levels(before)
    means = unit * resampled_levels([first, second], resamples, seed, families=families)
    value = unit * float(first.mean() - second.mean())
    return estimate(value, first.shape[1], means[:, 0] - means[:, 1], families)


def agreement(first: Sequence[str], second: Sequence[str]) -> Estimate:
    """Share of verdicts on which two graders agree, in percent, and Cohen's kappa.

    `kappa` is 1 for full agreement and 0 for what graders with these habits would reach by
    chance; it is None where both gave one and the same verdict throughout. Raises `RunError`
    unless both gave the same number of verdicts, at least one.
    """
    from sklearn.metrics import cohen_kappa_score

    if len(first) != len(second) or not len(first):
        raise RunError(
            f"{len(first)} verdicts against {len(second)}: grade the same attempts twice"
        )
    same = [a == b for a, b in zip(first, second, strict=True)]
    several = len({*first, *second}) > 1
    kappa = round(float(cohen_kappa_score(first, second)), 3) if several else None
    return {**accuracy(same), "kappa": kappa}


def brought(levels: Floats) -> Floats:
    """(part - base) / (whole - base) in percent: how much of a gain a part of the data brings.

    Of levels [..., (part, whole, base)]; not a number where there is no gain.
    """
    part, whole, base = (levels[..., place] for place in range(3))
    return 100 * (part - base) / np.where(whole > base, whole - base, np.nan)


def mean_over(
    benchmarks: Sequence[Sequence[ArrayLike]],
    statistic: Callable[[Floats], Floats],
    seed: int = 0,
    families: Sequence[Families] = (),
) -> Estimate:
    """Mean over benchmarks of a number that follows from the levels of several models.

    `benchmarks` holds, for each benchmark, the models' runs ([problems] or [seeds, problems]),
    models in the same order; `statistic` turns levels [..., models] into numbers [...]. Problems
    are resampled within each benchmark, and a training that is drawn is drawn for all of them.
    Resamples in which the number is not finite are left out. `n` counts all problems, and
    `families` holds those of each benchmark.
    """
    known = families or [None] * len(benchmarks)
    exact, drawn = [], []
    with np.errstate(divide="ignore", invalid="ignore"):  # a share of no gain
        for place, runs in enumerate(benchmarks):
            exact.append(statistic(np.array([_levels(run).mean() for run in runs])))
            levels = resampled_levels(runs, RESAMPLES, seed, place, known[place])
            drawn.append(statistic(levels))
        means = np.mean(drawn, axis=0)
        value = float(np.mean(exact))
    n = sum(_levels(runs[0]).shape[1] for runs in benchmarks)
    names = [f"{i}/{name}" for i, part in enumerate(known) for name in part or ()]
    return estimate(value, n, means, names)


def sweep(
    thinking_tokens: ArrayLike,
    correct: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    seed: int = 0,
    families: Families = None,
) -> dict[str, Estimate]:
    """Control, Scaling (per doubling) and Performance of one method with intervals.

    `thinking_tokens` and `correct` have shape [runs, problems]. Lengths and verdicts of a
    problem are resampled together; Control is a count over runs, hence without an interval.
    """
    n, tokens, values = _resampled_runs(thinking_tokens, correct, seed, families)
    slopes, best = _slopes(tokens, values, "doubling"), values[0].argmax()
    return {
        "control": runs_within(tokens[0], lower, upper),
        "scaling": estimate(float(slopes[0]), n, slopes[1:], families),
        "performance": estimate(float(values[0, best]), n, values[1:, best], families),
    }


def runs_within(
    thinking_tokens: ArrayLike, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> Estimate:
    """`control` as an estimate: its n counts runs, not problems, and there is no interval."""
    value = control(thinking_tokens, lower, upper)
    return {"value": value, "n": len(_runs(thinking_tokens)), "ci95": None, "of": "runs"}


def scaling_difference(
    after: tuple[ArrayLike, ArrayLike],
    before: tuple[ArrayLike, ArrayLike],
    seed: int = 0,
    families: Families = None,
) -> Estimate:
    """Scaling (per doubling) of one method minus another's, paired by problem.

    Each method is its lengths and its verdicts, both [runs, problems]; the runs of the two may
    differ in number, the problems must be the same, in the same order.
    """
    (n, tokens, values), (size, *theirs) = (  # by the same draws of problems
        _resampled_runs(*runs, seed, families) for runs in (after, before)
    )
    if n != size:
        raise RunError(f"{n} problems against {size}: a paired comparison needs the same")
    gap = _slopes(tokens, values, "doubling") - _slopes(theirs[0], theirs[1], "doubling")
    return estimate(float(gap[0]), n, gap[1:], families)


def _resampled_runs(
    thinking_tokens: ArrayLike, correct: ArrayLike, seed: int, families: Families
) -> tuple[int, Floats, Floats]:
    """A method's mean lengths and accuracies (%), [1 + resamples, runs], over so many problems.

    The first row is what was measured.
    """
    tokens = np.atleast_2d(np.asarray(thinking_tokens, dtype=float))
    share = np.atleast_2d(np.asarray(correct, dtype=float))
    if tokens.shape != share.shape or share.size == 0:
        raise RunError(f"lengths {tokens.shape} against verdicts {share.shape}: same runs needed")
    runs, n = share.shape
    both = np.vstack([tokens, share])
    drawn = resampled_means(both, seed=seed, families=families)
    means = np.vstack([both.mean(axis=1), drawn])
    return n, means[:, :runs], 100 * means[:, runs:]


def estimate(value: float, n: int, drawn: Floats, families: Families = None) -> Estimate:
    """A number over `n` problems with the interval of its resamples, shape [resamples].

    What is not finite (a slope without two lengths, a share of no gain) is left out; where the
    number itself is not, there is no interval.
    """
    drawn = drawn[np.isfinite(drawn) & np.isfinite(value)]
    return {
        "value": round(value, 2) if np.isfinite(value) else None,
        "n": n,
        "ci95": _percentiles(drawn) if drawn.size else None,
        **_counted(families),
    }


def resampled_means(
    values: ArrayLike,
    resamples: int = RESAMPLES,
    seed: int = 0,
    stratum: int = 0,
    families: Families = None,
) -> Floats:
    """Means over resampled problems, shape [resamples, rows], of values [rows, problems].

    All rows share their draws; another `stratum` has draws of its own. A resample is a count per
    problem, so that its means are one matrix product; blocks bound the memory.

    With G `families` a resample draws G of them, with all their problems, and its distance from
    the mean is stretched by sqrt(G / (G - 1)), which makes up for drawing from G families instead
    of all that might have been.
    """
    table = np.atleast_2d(np.asarray(values, dtype=float))
    labels = _labels(families, table.shape[1])
    sums, sizes = table.T, np.ones(table.shape[1])
    if labels is not None:
        sums = np.stack([np.bincount(labels, row) for row in table], axis=1)
        sizes = np.bincount(labels).astype(float)
    n = len(sizes)
    rng = np.random.default_rng((seed, 0, stratum) if stratum else seed)
    means = np.empty((resamples, table.shape[0]))
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        draws = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n)
        means[start : start + rows] = counts @ sums / (counts @ sizes)[:, None]
    if labels is not None:
        exact = table.mean(axis=1)
        means = exact + np.sqrt(n / (n - 1)) * (means - exact)
    return means


def resampled_levels(
    runs: Sequence[ArrayLike],
    resamples: int = RESAMPLES,
    seed: int = 0,
    stratum: int = 0,
    families: Families = None,
) -> Floats:
    """Resampled levels of several models, shape [resamples, models]: the book's one bootstrap.

    Each run has shape [problems] or [seeds, problems]. A resample draws problems, the same for
    all models, and for each model as many of its S seeds, independently of the other models.
    With m_s the mean of seed s over the drawn problems, m their mean, and s* the drawn seeds,

        level = m + sqrt(S / (S - 1)) (mean of m_s* over the drawn seeds - m).

    The root makes up for drawing from S seeds instead of all that might have been: without it
    the variance between seeds would come out too small by (S - 1) / S. With S = 1 there is no
    second term, and the interval speaks of problems alone. Three seeds tell little about their
    spread; intervals over them are rough, but not blind to it. Another `stratum` draws other
    problems and the same seeds.
    """
    models = [_levels(run) for run in runs]
    sizes = [model.shape[1] for model in models]
    if len(set(sizes)) > 1:
        numbers = " against ".join(map(str, sizes))
        raise RunError(f"{numbers} problems: compare the same problems")
    means = resampled_means(np.vstack(models), resamples, seed, stratum, families)
    rng = np.random.default_rng((seed, 1))
    levels = []
    for own in np.split(means, np.cumsum([len(model) for model in models])[:-1], axis=1):
        level, count = own.mean(axis=1), own.shape[1]
        if count > 1:
            drawn = rng.integers(0, count, size=own.shape)
            spread = np.take_along_axis(own, drawn, axis=1).mean(axis=1) - level
            level = level + np.sqrt(count / (count - 1)) * spread
        levels.append(level)
    return np.stack(levels, axis=1)


def excludes_zero(ci95: Sequence[float] | None, sign: int = 1) -> bool:
    """Whether an interval lies wholly above zero (`sign=1`) or wholly below it (`sign=-1`)."""
    return ci95 is not None and min(sign * ci95[0], sign * ci95[1]) > 0


def _slopes(tokens: Floats, values: Floats, per: str) -> Floats:
    """Mean pairwise slope over the last axis; pairs of equal length are left out."""
    if per not in ("doubling", "token"):
        raise RunError(f"Scaling is per 'doubling' or per 'token', not per {per!r}")
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.log2(tokens) if per == "doubling" else tokens
        first, second = np.triu_indices(tokens.shape[-1], k=1)
        step = length[..., second] - length[..., first]
        rise = values[..., second] - values[..., first]
        usable = np.isfinite(step) & (step != 0)
        total = np.where(usable, rise / np.where(usable, step, 1), 0).sum(axis=-1)
        return total / usable.sum(axis=-1)


def _labels(families: Families, n: int) -> NDArray[np.int64] | None:
    """Families as numbers from 0, or None where they are unknown or there is but one."""
    if not families or len(set(families)) < 2:
        return None
    if len(families) != n:
        raise RunError(f"{len(families)} families but {n} problems: name one for each problem")
    return np.unique(np.asarray(families), return_inverse=True)[1]


def _counted(families: Families) -> dict[str, int]:
    count = len(set(families or ()))
    return {"families": count} if count > 1 else {}


def _percentiles(samples: Floats) -> list[float]:
    return [round(float(edge), 2) for edge in np.percentile(samples, (2.5, 97.5))]


def _levels(values: ArrayLike) -> Floats:
    """Values as [seeds, problems], one seed if they have no such axis."""
    array = np.atleast_2d(np.asarray(values, dtype=float))
    if array.ndim != 2 or array.size == 0:
        raise RunError(f"expected numbers [problems] or [seeds, problems], not {array.shape}")
    return array


def _runs(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0:
        raise RunError(f"expected a non-empty list of numbers, got shape {array.shape}")
    return array
