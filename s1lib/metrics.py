"""Control, Scaling and Performance, and how sure one may be of a number (paper, section 3.2).

Accuracies and Control are percentages, lengths are thinking tokens. An estimate is a plain
`{"value", "n", "ci95"}` with n problems, ready for a chapter's facts. Intervals resample
problems and keep a problem's runs together, so that two runs are compared on the same problems.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from s1lib.artifacts import RunError

RESAMPLES = 10_000
_BLOCK = 2_000_000  # numbers held at once while resampling: 16 MB

Estimate = dict[str, Any]
Floats = NDArray[np.float64]


def control(
    thinking_tokens: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
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


def wilson(correct: int, n: int) -> list[float]:
    """Wilson's 95% interval of a proportion, in percent: honest near 0% and 100%."""
    interval = binomtest(correct, n).proportion_ci(method="wilson")
    return [round(100 * interval.low, 2), round(100 * interval.high, 2)]


def accuracy(correct: ArrayLike, seed: int = 0) -> Estimate:
    """Accuracy over problems with its 95% interval.

    `correct` has shape [problems]: true or false (Wilson's interval), or a share between 0 and 1
    such as a problem's mean over training seeds (bootstrap over problems).
    """
    share = _runs(correct)
    if np.isin(share, (0, 1)).all():
        interval = wilson(int(share.sum()), share.size)
    else:
        interval = _percentiles(100 * resampled_means(share, seed=seed)[:, 0])
    return {"value": round(100 * float(share.mean()), 2), "n": share.size, "ci95": interval}


def difference(
    after: ArrayLike, before: ArrayLike, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Accuracy of `after` minus that of `before`, in percentage points, paired by problem.

    Both have shape [problems] as in `accuracy`, problems in the same order. The interval is the
    paired bootstrap of Table 2: 10,000 resamples of problems, percentiles.
    """
    first, second = _runs(after), _runs(before)
    if first.shape != second.shape:
        raise RunError(f"{first.size} against {second.size} problems: compare the same problems")
    gain = first - second
    means = 100 * resampled_means(gain, resamples, seed)[:, 0]
    value = round(100 * float(gain.mean()), 2)
    return {"value": value, "n": gain.size, "ci95": _percentiles(means)}


def sweep(
    thinking_tokens: ArrayLike,
    correct: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Control, Scaling (per doubling) and Performance of one method with intervals.

    `thinking_tokens` and `correct` have shape [runs, problems]. Lengths and verdicts of a
    problem are resampled together; Control is a count over runs, hence without an interval.
    """
    tokens = np.atleast_2d(np.asarray(thinking_tokens, dtype=float))
    share = np.atleast_2d(np.asarray(correct, dtype=float))
    if tokens.shape != share.shape or share.size == 0:
        raise RunError(f"lengths {tokens.shape} against verdicts {share.shape}: same runs needed")
    runs, n = share.shape
    means = resampled_means(np.vstack([tokens, share]), resamples, seed)
    lengths, accuracies = means[:, :runs], 100 * means[:, runs:]
    mean_tokens, mean_values = tokens.mean(axis=1), 100 * share.mean(axis=1)
    slope = float(_slopes(mean_tokens, mean_values, "doubling"))
    slopes = _slopes(lengths, accuracies, "doubling")
    slopes = slopes[np.isfinite(slopes)]
    return {
        "control": {"value": control(mean_tokens, lower, upper), "n": runs, "ci95": None},
        "scaling": {
            "value": round(slope, 2) if np.isfinite(slope) else None,
            "n": n,
            "ci95": _percentiles(slopes) if slopes.size else None,
        },
        "performance": {
            "value": round(float(mean_values.max()), 2),
            "n": n,
            "ci95": _percentiles(accuracies[:, int(mean_values.argmax())]),
        },
    }


def resampled_means(values: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Means over resampled problems, shape [resamples, rows], of values [rows, problems].

    All rows share their draws. A resample is a count per problem, so that its means are one
    matrix product; blocks bound the memory.
    """
    table = np.atleast_2d(np.asarray(values, dtype=float))
    n = table.shape[1]
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, table.shape[0]))
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        draws = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n)
        means[start : start + rows] = counts @ table.T / n
    return means


def excludes_zero(ci95: list[float] | None, sign: int = 1) -> bool:
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


def _percentiles(samples: Floats) -> list[float]:
    return [round(float(edge), 2) for edge in np.percentile(samples, (2.5, 97.5))]


def _runs(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0:
        raise RunError(f"expected a non-empty list of numbers, got shape {array.shape}")
    return array
