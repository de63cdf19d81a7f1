"""Control, Scaling and Performance on the paper's own points, and intervals that can be trusted."""

import numpy as np
import pytest
from scipy import stats

from s1lib import metrics
from s1lib.artifacts import RunError
from s1lib.published import published

RUNS = published("table_3_runs")
PRINTED = {row["short"]: row for row in published("table_3")}


def columns(method):
    runs = RUNS[method]
    return (
        [run["thinking_tokens"] for run in runs],
        [run["value"] for run in runs],
        [run.get("lower", np.nan) for run in runs],
        [run.get("upper", np.nan) for run in runs],
    )


@pytest.mark.parametrize(
    ("method", "recomputed"),
    [
        ("BF", 14.82),
        ("TCC", -23.77),
        ("TCC+BF", 13.16),
        ("SCC", 2.93),
        ("SCC+BF", 6.41),
        ("CCC", 25.18),
    ],
)
def test_scaling_per_doubling_returns_table_3(method, recomputed):
    tokens, values, _, _ = columns(method)
    slope = metrics.scaling(tokens, values)
    assert slope == pytest.approx(recomputed, abs=0.005)
    assert round(slope) == PRINTED[method]["scaling"]


@pytest.mark.parametrize("method", sorted(RUNS))
def test_control_and_performance_return_table_3(method):
    tokens, values, lower, upper = columns(method)
    assert metrics.control(tokens, lower, upper) == PRINTED[method]["control"]
    assert round(metrics.performance(values), 1) == PRINTED[method]["performance"]


def test_the_rejection_row_of_table_3_rests_on_two_different_sets_of_runs():
    tokens, values, _, _ = columns("RS")
    assert metrics.scaling(tokens, values) == pytest.approx(-28.60, abs=0.005)
    assert metrics.scaling(tokens[1:], values[1:]) == pytest.approx(-35.47, abs=0.005)
    assert metrics.performance(values) == 40.0
    assert metrics.performance(values[1:]) == pytest.approx(36.67, abs=0.01)


def test_scaling_per_token_as_the_equation_reads_does_not_return_table_3():
    for method, printed in PRINTED.items():
        tokens, values, _, _ = columns(method)
        assert abs(metrics.scaling(tokens, values, per="token") - printed["scaling"]) > 2


def test_scaling_of_a_straight_line_is_its_slope():
    tokens = np.array([16, 32, 64, 512])
    assert metrics.scaling(tokens, 7 * np.log2(tokens)) == pytest.approx(7)
    assert metrics.scaling(tokens, 0.5 * tokens, per="token") == pytest.approx(0.5)


def test_runs_of_equal_length_add_no_slope():
    assert metrics.scaling([100, 200, 200], [10, 20, 50]) == pytest.approx(25)
    assert np.isnan(metrics.scaling([100, 100], [10, 20]))
    assert np.isnan(metrics.scaling([100], [10]))


@pytest.mark.parametrize("seed", range(5))
def test_scaling_does_not_depend_on_the_order_of_the_runs(seed):
    rng = np.random.default_rng(seed)
    tokens, values = rng.uniform(1, 1e5, size=8), rng.uniform(0, 100, size=8)
    order = rng.permutation(8)
    shuffled = metrics.scaling(tokens[order], values[order])
    assert shuffled == pytest.approx(metrics.scaling(tokens, values))


def test_control_counts_runs_within_inclusive_bounds():
    assert metrics.control([500, 900, 1100], upper=[500, 1000, 1000]) == pytest.approx(200 / 3)
    assert metrics.control([500, 900], lower=[501, np.nan]) == 50
    assert metrics.control([1e9]) == 100


def test_wilson_stays_inside_0_and_100_percent():
    assert metrics.wilson(0, 30) == [0.0, 11.35]
    assert metrics.wilson(30, 30) == [88.65, 100.0]
    assert metrics.wilson(17, 30) == pytest.approx([39.20, 72.62], abs=0.01)


def test_accuracy_of_verdicts_uses_wilson_and_of_shares_the_bootstrap():
    verdicts = np.array([True] * 17 + [False] * 13)
    assert metrics.accuracy(verdicts) == {"value": 56.67, "n": 30, "ci95": metrics.wilson(17, 30)}
    thirds = np.random.default_rng(1).integers(0, 4, size=300) / 3
    estimate = metrics.accuracy(thirds)
    spread = 100 * thirds.std() / np.sqrt(300)
    assert np.ptp(estimate["ci95"]) == pytest.approx(2 * 1.96 * spread, rel=0.05)


def test_a_paired_difference_agrees_with_scipys_bootstrap():
    rng = np.random.default_rng(0)
    before = rng.random(300) < 0.5
    after = before | (rng.random(300) < 0.15)
    ours = metrics.difference(after, before)
    theirs = stats.bootstrap(
        (after.astype(float), before.astype(float)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert ours["value"] == pytest.approx(100 * (after.mean() - before.mean()), abs=0.01)
    assert ours["ci95"] == pytest.approx([100 * theirs.low, 100 * theirs.high], abs=0.4)


def test_pairing_makes_the_interval_narrower_when_runs_agree_on_most_problems():
    rng = np.random.default_rng(0)
    before = rng.random(300) < 0.5
    after = before | (rng.random(300) < 0.1)
    paired = np.ptp(metrics.difference(after, before)["ci95"])
    unpaired = np.ptp(metrics.difference(after, rng.permutation(before))["ci95"])
    assert paired < unpaired / 2


def test_the_interval_of_a_difference_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(300):
        before, after = rng.random(200) < 0.5, rng.random(200) < 0.6
        low, high = metrics.difference(after, before, resamples=1000, seed=seed)["ci95"]
        covered += low <= 10 <= high
    assert 0.90 <= covered / 300 <= 0.99


def trained(rng, seeds: int, level: float, spread: float, problems: int = 300):
    """Verdicts [seeds, problems] of a model whose training seeds differ by `spread` points."""
    levels = np.clip(level + rng.normal(0, spread / 100, size=seeds), 0, 1)
    return rng.random((seeds, problems)) < levels[:, None]


def test_a_single_seed_is_the_same_as_none():
    rng = np.random.default_rng(0)
    after, before = rng.random((2, 300)) < [[0.6], [0.5]]
    assert metrics.difference(after, before) == metrics.difference([after], [before])
    assert metrics.accuracy(after) == metrics.accuracy([after])


def test_seeds_that_differ_widen_the_interval_and_equal_ones_do_not():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 300)) < 0.5
    before = rng.random(300) < 0.4
    alone = np.ptp(metrics.difference(one, before)["ci95"])
    equal = np.ptp(metrics.difference([one, one, one], before)["ci95"])
    assert equal == pytest.approx(alone, abs=0.1)
    low, high = np.array([one & other, one & other]), np.array([one | other])
    apart = np.ptp(metrics.difference(np.vstack([low, high]), before)["ci95"])
    assert apart > 1.5 * alone


def test_seeds_drawn_again_vary_as_much_as_seeds_drawn_anew():
    rng = np.random.default_rng(0)
    estimated = [
        metrics.resampled_levels([rng.normal(0, 1, (3, 1)).repeat(2, axis=1)], 500, i).var()
        for i in range(400)
    ]
    assert np.mean(estimated) == pytest.approx(1 / 3, rel=0.15)  # the variance of a mean of three


def test_with_three_seeds_the_interval_still_covers_the_truth_most_of_the_time():
    rng = np.random.default_rng(0)
    covered = blind = 0
    for i in range(200):
        after, before = trained(rng, 3, 0.6, 4), trained(rng, 3, 0.5, 4)
        low, high = metrics.difference(after, before, resamples=500, seed=i)["ci95"]
        covered += low <= 10 <= high
        means = after.mean(axis=0), before.mean(axis=0)
        low, high = metrics.difference(*means, resamples=500, seed=i)["ci95"]
        blind += low <= 10 <= high
    assert covered / 200 > 0.85 > blind / 200


def share_of_gain(part, whole, base, families=None):
    return metrics.mean_over([[part, whole, base]], metrics.brought, families=[families])


def test_the_share_of_a_gain_is_that_of_its_means_and_has_an_interval():
    rng = np.random.default_rng(0)
    draws = rng.random(300)
    base, part, whole = (draws < level for level in (0.2, 0.6, 0.7))
    share = share_of_gain(part, whole, base)
    gain = whole.mean() - base.mean()
    assert share["value"] == pytest.approx(100 * (part.mean() - base.mean()) / gain, abs=0.01)
    assert share["ci95"][0] < share["value"] < share["ci95"][1]
    assert share_of_gain(base, base, base) == {"value": None, "n": 300, "ci95": None}


def test_a_loss_is_not_shared_even_where_resamples_gain():
    rng = np.random.default_rng(0)
    base, part, whole = (rng.random(60) < level for level in (0.55, 0.7, 0.5))
    assert whole.mean() < base.mean()
    assert share_of_gain(part, whole, base) == {"value": None, "n": 60, "ci95": None}


def test_a_difference_of_lengths_is_in_tokens():
    longer = metrics.difference([120.0, 90.0, 80.0], [100.0, 70.0, 60.0], unit=1)
    assert longer == {"value": 20.0, "n": 3, "ci95": [20.0, 20.0]}


def test_identical_runs_differ_by_nothing():
    verdicts = [True, False, True]
    assert metrics.difference(verdicts, verdicts) == {"value": 0.0, "n": 3, "ci95": [0.0, 0.0]}


def test_the_same_seed_gives_the_same_interval():
    verdicts = np.arange(100) % 3 == 0
    other = np.arange(100) % 2 == 0
    one = metrics.difference(verdicts, other, seed=3)
    assert one == metrics.difference(verdicts, other, seed=3)
    assert one != metrics.difference(verdicts, other, seed=4)


def test_resampling_in_blocks_keeps_the_mean_and_its_spread():
    values = np.random.default_rng(0).random((2, 5_000))
    means = metrics.resampled_means(values, resamples=1_000)
    assert means.shape == (1_000, 2)
    assert means.mean(axis=0) == pytest.approx(values.mean(axis=1), abs=2e-3)
    assert means.std(axis=0) == pytest.approx(values.std(axis=1) / np.sqrt(5_000), rel=0.15)


def test_a_sweep_gives_all_three_metrics_with_intervals():
    rng = np.random.default_rng(0)
    budgets = np.array([16, 32, 64, 128])
    lengths = np.minimum(rng.geometric(1 / 200, size=300), budgets[:, None])
    correct = rng.random(300) < np.array([[0.1], [0.3], [0.5], [0.7]])
    found = metrics.sweep(lengths, correct, upper=budgets)
    assert found["control"] == {"value": 100.0, "n": 4, "ci95": None, "of": "runs"}
    low, high = found["scaling"]["ci95"]
    assert low < found["scaling"]["value"] < high
    assert low > 15
    assert found["performance"]["value"] == pytest.approx(100 * correct[3].mean(), abs=0.01)


def test_a_sweep_of_one_run_has_no_scaling():
    found = metrics.sweep([[10, 20]], [[1, 0]])
    assert found["scaling"] == {"value": None, "n": 2, "ci95": None}


@pytest.mark.parametrize(
    ("interval", "sign", "answer"),
    [
        ([0.1, 4], 1, True),
        ([0, 4], 1, False),
        ([-4, -1], 1, False),
        ([-4, -1], -1, True),
        (None, 1, False),
    ],
)
def test_an_interval_that_touches_zero_does_not_exclude_it(interval, sign, answer):
    assert metrics.excludes_zero(interval, sign) is answer


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: metrics.difference([1, 0], [1, 0, 1]),
        lambda: share_of_gain([1, 0], [1, 0, 1], [1, 0]),
        lambda: metrics.difference([[[1]]], [[[1]]]),
        lambda: metrics.scaling([1, 2], [1]),
        lambda: metrics.scaling([1, 2], [1, 2], per="word"),
        lambda: metrics.sweep([[1, 2]], [[1, 0], [0, 1]]),
        lambda: metrics.accuracy([]),
        lambda: metrics.performance([]),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(mistake):
    with pytest.raises(RunError):
        mistake()


# Agreement of graders


def test_two_graders_that_agree_by_habit_only_have_a_kappa_of_zero():
    first = ["correct"] * 50 + ["wrong"] * 50
    second = ["correct", "wrong"] * 50
    found = metrics.agreement(first, second)
    assert (found["value"], found["n"], found["kappa"]) == (50, 100, 0)


def test_graders_that_always_agree_have_a_kappa_of_one_if_there_was_a_choice():
    assert metrics.agreement(["correct", "wrong"], ["correct", "wrong"])["kappa"] == 1
    assert metrics.agreement(["correct"], ["correct"])["kappa"] is None


def test_verdicts_on_different_attempts_cannot_be_compared():
    with pytest.raises(RunError, match="grade the same attempts twice"):
        metrics.agreement(["correct"], [])


def test_a_difference_of_scalings_is_paired_by_problem():
    rng = np.random.default_rng(0)
    skill = rng.random(300)
    tokens = np.array([16, 32, 64, 128])[:, None] * (0.5 + rng.random(300))
    right = skill < np.array([0.2, 0.4, 0.6, 0.8])[:, None]
    method, twin = (tokens, right), (tokens, right)
    assert metrics.scaling_difference(method, twin)["ci95"] == [0, 0]
    weaker = (tokens, right & (rng.random(right.shape) < 0.9))
    found = metrics.scaling_difference(method, weaker)
    slopes = [metrics.sweep(*one)["scaling"] for one in (method, weaker)]
    assert found["value"] == pytest.approx(slopes[0]["value"] - slopes[1]["value"], abs=0.02)
    alone = [high - low for low, high in (slope["ci95"] for slope in slopes)]
    assert found["ci95"][1] - found["ci95"][0] < min(alone)
    with pytest.raises(RunError, match="300 problems against 200"):
        metrics.scaling_difference(method, (tokens[:, :200], right[:, :200]))


def test_a_mean_over_benchmarks_is_resampled_within_each():
    rng = np.random.default_rng(0)
    sizes = (300, 200, 100)
    runs = [[rng.random(n) < 0.6, rng.random(n) < 0.4] for n in sizes]

    def gap(levels):
        return 100 * (levels[..., 0] - levels[..., 1])

    found = metrics.mean_over(runs, gap)
    each = [metrics.difference(*pair) for pair in runs]
    assert found["value"] == pytest.approx(np.mean([one["value"] for one in each]), abs=0.02)
    assert found["n"] == sum(sizes)
    errors = [(one["ci95"][1] - one["ci95"][0]) / 2 for one in each]
    half = (found["ci95"][1] - found["ci95"][0]) / 2
    assert half == pytest.approx(np.sqrt(np.sum(np.square(errors))) / 3, rel=0.05)


def test_one_training_is_drawn_for_all_benchmarks_at_once():
    """Seeds that are good everywhere vary the mean as much as one benchmark."""
    good, bad = np.ones(50), np.zeros(50)
    seeds = np.stack([good, bad, good, bad])
    one = metrics.mean_over([[seeds]], lambda levels: levels[..., 0])
    three = metrics.mean_over([[seeds]] * 3, lambda levels: levels[..., 0])
    assert three["ci95"] == one["ci95"]


def test_an_accuracy_over_seeds_stays_within_0_and_100_and_is_never_certain():
    """A model that solved next to nothing once had an interval from -0.05, another [0, 0]."""
    rare = np.zeros((3, 300))
    assert metrics.accuracy(rare)["ci95"] == metrics.wilson(0, 300)
    rare[0, :2] = 1
    low, high = metrics.accuracy(rare)["ci95"]
    assert low == 0 and high > 0


def test_a_share_of_no_gain_has_no_mean_and_no_warning():
    """Models of the smallest profile gain nothing anywhere, or more and less than nothing."""
    import warnings

    zeros, ones = np.zeros(40), np.ones(40)

    def share(levels):
        return (levels[..., 0] - levels[..., 2]) / (levels[..., 1] - levels[..., 2])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.mean_over([[ones, zeros, zeros], [zeros, ones, ones]], share)
    assert found == {"value": None, "n": 80, "ci95": None}


FAMILIES = [name for name in "abcdefgh" for _ in range(20)]


def by_family(spread, seed=0):
    """Verdicts of 160 problems in 8 families whose difficulty varies by `spread`."""
    rng = np.random.default_rng(seed)
    level = np.repeat(0.5 + spread * np.linspace(-1, 1, 8), 20)
    return (rng.random(160) < level).astype(float)


@pytest.mark.parametrize("n", [1, 7, 30, 300])
def test_wilsons_interval_is_the_textbooks(n):
    for correct in range(n + 1):
        book = stats.binomtest(correct, n).proportion_ci(method="wilson")
        theirs = [100 * book.low, 100 * book.high]
        assert metrics.wilson(correct, n) == pytest.approx(theirs, abs=0.006)


def test_problems_of_unlike_families_are_worth_fewer_than_they_are():
    alike, unlike = by_family(0.0), by_family(0.45)
    assert metrics.effective_problems(unlike, FAMILIES) < 30
    assert metrics.effective_problems(alike, FAMILIES) > 80
    assert metrics.effective_problems(unlike) == 160
    assert metrics.effective_problems(np.ones(160), FAMILIES) == 160


def test_a_family_for_each_problem_is_no_family_at_all():
    verdicts = by_family(0.3)
    own = [str(i) for i in range(160)]
    alone, grouped = metrics.accuracy(verdicts), metrics.accuracy(verdicts, families=own)
    assert grouped.pop("families") == 160
    assert grouped["ci95"] == pytest.approx(alone["ci95"], abs=0.1)
    one = metrics.accuracy(verdicts, families=["same"] * 160)
    assert one == alone


def test_intervals_by_family_cover_what_intervals_by_problem_miss():
    """Difficulty differs by family, and the gain as well: 300 problems are not 300 experiments."""
    rng = np.random.default_rng(0)
    hits = {"problems": 0, "families": 0}
    for trial in range(200):
        gain = np.repeat(0.1 + rng.normal(0, 0.15, 8), 20).clip(-0.5, 0.5)
        before = rng.random(160) < 0.5
        after = rng.random(160) < 0.5 + gain
        for name, labels in (("problems", None), ("families", FAMILIES)):
            found = metrics.difference(after, before, 500, trial, families=labels)
            low, high = found["ci95"]
            hits[name] += low <= 10 <= high
    assert hits["families"] >= 0.87 * 200 > hits["problems"]


def test_every_estimate_counts_its_families():
    after, before = by_family(0.2, 1), by_family(0.2, 2)
    tokens = np.stack([np.full(160, 10.0), np.full(160, 20.0)])
    found = metrics.sweep(tokens, [before, after], families=FAMILIES)
    assert found["scaling"]["families"] == found["performance"]["families"] == 8
    assert found["control"]["of"] == "runs"
    assert share_of_gain(before, after, before * 0, families=FAMILIES)["families"] == 8
    both = [[after, before], [before, after]]
    gap = lambda levels: levels[..., 0] - levels[..., 1]  # noqa: E731
    assert metrics.mean_over(both, gap, families=[FAMILIES, FAMILIES])["families"] == 16
    pair = (tokens, [before, after]), (tokens, [after, before])
    assert metrics.scaling_difference(*pair, families=FAMILIES)["families"] == 8


def test_families_that_do_not_line_up_are_refused():
    with pytest.raises(RunError, match="3 families but 160 problems"):
        metrics.difference(by_family(0), by_family(0), families=["a", "b", "c"])
