"""What chapters hand on: typed numbers, each written once and found by its fields.

A *run* is one setting on one benchmark, problem by problem. `Facts` turns runs into points (how
good, at what length), differences (of two runs, paired by problem) and the methods of Table 3,
stamps each with n, interval, dtype and device, and writes them with a chapter's own numbers to
`<run>/facts/NN.json`. Nothing is written or read that has no type here. Accuracies are in percent,
lengths in tokens per question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from s1lib import metrics
from s1lib.artifacts import RunError, read_json, write_json
from s1lib.benchmarks import family
from s1lib.show import device

if TYPE_CHECKING:
    import pandas as pd

    from s1lib.profile import Profile

PLAIN, FORCING, VOTE, REBASE = "plain", "budget forcing", "majority vote", "REBASE"
BASE = ("base", "base, in text", "base, after an example")
"""The base model asked in chat, as plain text, and as plain text after a worked example."""
ALL, MEAN = "all benchmarks", "mean of benchmarks"  # in place of one benchmark's name
NOT_MEASURING = ("10",)  # the chapter that draws what the others measured

AllFacts = Mapping[str, Mapping[str, Any]]  # by chapter
Measure = Literal["accuracy", "thinking_tokens", "scaling", "performance"]
Floats = NDArray[np.float64]


class Typed(BaseModel):
    """Exactly these fields, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Setting(Typed):
    """What was run; two runs with equal settings are the same experiment.

    `string` was appended at each of the `waits` ignored ends of thinking, `asked` is what a prompt
    asked for or a sampler accepts, `samples` how many traces a vote or a search has (None: it is no
    parallel method), `examples` what the model was trained on where that is compared.
    """

    model: str
    method: str
    budget: int | None = None
    waits: int = 0
    string: str = ""
    asked: str = ""
    samples: int | float | None = None
    examples: int | None = None

    def __str__(self) -> str:
        """`s1, Wait x2`, `base, plain`: as a reader wants it."""
        waits = f"{self.string or 'no string'} x{self.waits}" if self.waits else ""
        parts = [
            self.model,
            "" if self.method == FORCING else self.method,
            "" if self.budget is None else f"budget {self.budget}",
            waits,
            self.asked,
            "" if self.samples is None else f"{self.samples} sample{'s' * (self.samples != 1)}",
        ]
        return ", ".join(part for part in parts if part)


class Estimate(Typed):
    """A number with its 95% interval; `n` counts problems unless `of` says otherwise.

    With `families` the interval resamples that many families of problems.
    """

    value: float | None
    n: int
    ci95: tuple[float, float] | None
    dtype: str
    device: str
    of: str = "problems"
    families: int | None = None


class Point(Estimate):
    """Accuracy of one setting on one benchmark, and what it took.

    `thinking_tokens` and `tokens` (all that were paid for) are means per question; `means` holds
    whatever else was counted, by name.
    """

    value: float
    setting: Setting
    benchmark: str
    thinking_tokens: float | None = None
    thinking_ci95: tuple[float, float] | None = None
    tokens: float | None = None
    means: dict[str, float | None] = {}


class Difference(Estimate):
    """`after` minus `before`, paired by problem: percentage points, or units of the measure.

    Scaling and performance compare two methods over their `runs` ("all", or "budgets" only).
    """

    after: Setting
    before: Setting
    benchmark: str
    measure: Measure = "accuracy"
    runs: str = ""


class Method(Typed):
    """A row of Table 3: the runs of one method on one benchmark."""

    method: str
    benchmark: str
    control: Estimate
    scaling: Estimate
    performance: Estimate


class Gain(Estimate):
    """How much (%) of what `whole` gains over `base` a `part` brings."""

    part: Setting
    whole: Setting
    base: Setting
    benchmark: str


class Labelled(Estimate):
    """An estimate with labels of its own chapter."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | int | float | None]


class Histogram(Typed):
    bins: list[float]
    counts: list[int]
    mean: float
    n: int


Counts = dict[str, int]
Rows = list[dict[str, str | int | float | list[float] | None]]
SHARED: dict[str, Any] = {
    "points": list[Point],
    "differences": list[Difference],
    "methods": list[Method],
}
OWN: dict[str, dict[str, Any]] = {
    "01": {"collected": int, "rejected": Counts, "removals": dict[str, int | Counts],
           "table_7": Rows},
    "02": {"cost_paper": dict[str, dict[str, str | float]], "doubts": dict[str, float],
           "lengths": Histogram, "statuses": Counts, "students": dict[str, Counts]},
    "03": {"agreement": Labelled, "funnel": Rows, "patterns": str, "reasons": Counts,
           "students": list[Labelled], "teacher": Labelled, "luck": dict[str, Rows]},
    "04": {"classifier": Labelled | None, "mode": str, "selection": Counts,
           "sets": dict[str, dict[str, float]], "sources": Rows, "table_6": Rows,
           "kinds": Rows, "right_traces": Labelled},
    "05": {"deviations": list[str], "final_loss": Labelled, "longest": int, "loss": Rows,
           "samples": int, "steps": int, "tokens_per_epoch": int, "trained_per_epoch": int},
    "06": {"fixed": Setting, "control": Estimate, "built_in": list[Labelled],
           "lost_to_wait": Rows},
    "07": {"samples": Counts, "what_sets_the_length": dict[str, float | None],
           "tries_per_accepted": dict[str, float | None], "exhausted_is_wrong": Method,
           "shorter_minus_longer_half": list[Labelled]},
    "08": {"reward": list[Labelled], "search": Counts, "tokens": Rows, "voices": Rows,
           "shorter_minus_longer_half": list[Labelled]},
    "09": {"seeds": int, "sets": Rows, "curve": list[str], "windows": Rows, "steps": Counts,
           "gains": list[Gain]},
    "10": {"table_3_per_doubling": dict[str, float], "bf_scaling_of_five": tuple[float, float],
           "verdicts": dict[str, str], "not_run": list[str]},
    "11": {"rivals": list[Labelled], "wrong_minus_right": list[Labelled],
           "switching": list[Labelled], "early_exit": list[Labelled],
           "truncation": list[Labelled], "second_thoughts": Rows, "variance": list[Labelled],
           "luck": Rows},
    "A1": {"domains": int, "models": dict[str, dict[str, str | float]],
           "teacher": dict[str, float]},
    "A2": {"balance": Rows, "bill": dict[str, float | dict[str, float]]},
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Run:
    """One setting on one benchmark, problem by problem, in the order of `benchmarks.parquet`.

    `right` has shape [problems] or, for several training seeds, [seeds, problems]: verdicts, or
    chances between 0 and 1. `thinking_tokens` and `tokens` have its shape. `means` are further
    numbers about it that are not compared.
    """

    setting: Setting
    benchmark: str
    right: Floats
    thinking_tokens: Floats | None = None
    tokens: Floats | None = None
    means: Mapping[str, float | None] = field(default_factory=dict)


Runs = Run | Sequence[Run]


def pick(runs: Iterable[Run], setting: Setting, benchmark: str) -> Run:
    """The run of a setting on a benchmark. Raises `RunError` unless there is just one."""
    found = [one for one in runs if (one.setting, one.benchmark) == (setting, benchmark)]
    if len(found) != 1:
        raise RunError(f"{len(found)} runs of {setting} on {benchmark}: measure it once")
    return found[0]


def preset(book: Profile) -> Setting:
    """Budget forcing as everything is compared: two ignored ends, fixed before any result.

    It is the paper's setting for two of its three benchmarks. A profile without two Waits has its
    largest number of them.
    """
    waits = book.evaluation.waits
    count = 2 if 2 in waits else max(waits)
    return Setting(model="s1", method=FORCING, waits=count, string=book.evaluation.wait)


class Facts(dict[str, Any]):
    """The numbers of one chapter; `tests` are the rows of `benchmarks.parquet` that were used.

    Set what only this chapter has (`facts["steps"] = 315`) and `add` what others read as well. An
    estimate, wherever it stands, gets dtype and device by itself.
    """

    def __init__(self, book: Profile, chapter: str, tests: pd.DataFrame | None = None) -> None:
        super().__init__()
        self._run, self._chapter = book.run, chapter
        self._stamp: dict[str, Any] = {"dtype": book.evaluation.dtype, "device": device()}
        self._draw = book.seed
        self._families: dict[str, list[str]] = {}
        if tests is not None and "metadata" in tests:
            for name, text in zip(tests["benchmark"], tests["metadata"], strict=True):
                self._families.setdefault(name, []).append(family(text))

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, self._stamped(value))

    def families(self, benchmark: str) -> list[str] | None:
        """The family of each problem of a benchmark, or None where some are unknown."""
        found = self._families.get(benchmark, [])
        return found if found and all(found) else None

    def add(self, *items: Point | Difference | Method) -> None:
        for item in items:
            name = {Point: "points", Difference: "differences", Method: "methods"}[type(item)]
            self.setdefault(name, []).append(plain(item))

    def point(self, run: Run) -> Point:
        """Accuracy and lengths of a run, added to the points."""
        families = self.families(run.benchmark)
        spent: dict[str, Any] = {}
        if run.thinking_tokens is not None:
            none = np.zeros_like(run.thinking_tokens)
            mean = self._paired(run.thinking_tokens, none, 1, families)
            spent = {"thinking_tokens": mean["value"], "thinking_ci95": mean["ci95"]}
        if run.tokens is not None:
            spent["tokens"] = round(float(np.mean(run.tokens)), 2)
        found = metrics.accuracy(run.right, self._draw, families)
        what: dict[str, Any] = {"setting": run.setting, "benchmark": run.benchmark}
        point = Point(**what, means=dict(run.means), **spent, **found, **self._stamp)
        self.add(point)
        return point

    def difference(
        self, after: Runs, before: Runs, measure: Measure = "accuracy", runs: str = ""
    ) -> Difference:
        """Two runs, or by Scaling or Performance the runs of two methods, compared and added.

        The best run of each method is chosen after the fact. Raises `RunError` unless both sides
        are of one benchmark, and have lengths where lengths are compared.
        """
        sides = [[side] if isinstance(side, Run) else list(side) for side in (after, before)]
        (name, *others) = {run.benchmark for side in sides for run in side}
        if others:
            raise RunError(f"runs on {name} and {others[0]} are compared: take one benchmark")
        families = self.families(name)
        if measure == "scaling":
            first, second = map(_grids, sides)
            found = metrics.scaling_difference(first, second, self._draw, families)
        else:
            best = [max(side, key=lambda run: run.right.mean()) for side in sides]
            long = measure == "thinking_tokens"
            values = [run.thinking_tokens if long else run.right for run in best]
            if any(value is None for value in values):
                raise RunError(f"runs on {name} have no lengths to compare: measure them")
            found = self._paired(values[0], values[1], 1 if long else 100, families)
        ours, theirs = map(_shared, sides)
        what: dict[str, Any] = {"after": ours, "before": theirs, "benchmark": name}
        difference = Difference(**what, measure=measure, runs=runs, **found, **self._stamp)
        self.add(difference)
        return difference

    def mean_difference(self, pairs: Sequence[tuple[Run, Run]]) -> Difference:
        """The mean over benchmarks of the differences of runs (after, before), added."""
        found = self._mean_over(pairs, lambda levels: 100 * (levels[..., 0] - levels[..., 1]))
        after, before = (run.setting for run in pairs[0])
        difference = Difference(after=after, before=before, benchmark=MEAN, **found, **self._stamp)
        self.add(difference)
        return difference

    def gains(self, triples: Sequence[tuple[Run, Run, Run]]) -> list[Gain]:
        """Shares of a gain (part, whole, base) on each benchmark and on the mean of all, which is
        None if the whole gains nothing on one of them."""
        shares = [(runs[0].benchmark, self._mean_over([runs], metrics.brought)) for runs in triples]
        shares.append((MEAN, self._mean_over(triples, metrics.brought)))
        part, whole, base = (run.setting for run in triples[0])
        roles: dict[str, Any] = {"part": part, "whole": whole, "base": base}
        gains = [Gain(**roles, benchmark=name, **share, **self._stamp) for name, share in shares]
        self["gains"] = gains
        return gains

    def method(
        self, runs: Sequence[Run], lower: ArrayLike | None = None, upper: ArrayLike | None = None
    ) -> Method:
        """Control (by the runs' bounds), Scaling and Performance of a method; not yet added."""
        families = self.families(runs[0].benchmark)
        found = metrics.sweep(*_grids(runs), lower, upper, seed=self._draw, families=families)
        rows = {name: Estimate(**value, **self._stamp) for name, value in found.items()}
        return Method(method=runs[0].setting.method, benchmark=runs[0].benchmark, **rows)

    def write(self) -> Path:
        """Write `<run>/facts/NN.json`, by `write_facts`."""
        return write_facts(self._run, self._chapter, self)

    def _paired(
        self, after: Any, before: Any, unit: float, families: list[str] | None
    ) -> metrics.Estimate:
        return metrics.difference(after, before, seed=self._draw, unit=unit, families=families)

    def _mean_over(
        self, runs: Sequence[Sequence[Run]], statistic: Callable[[Floats], Floats]
    ) -> metrics.Estimate:
        levels = [[run.right for run in some] for some in runs]
        families = [self.families(some[0].benchmark) for some in runs]
        return metrics.mean_over(levels, statistic, seed=self._draw, families=families)

    def _stamped(self, value: Any) -> Any:
        if isinstance(value, Typed):
            return plain(value)
        if isinstance(value, Mapping):
            own = {name: self._stamped(item) for name, item in value.items()}
            return {**self._stamp, **own} if "ci95" in value else own
        return [self._stamped(item) for item in value] if isinstance(value, list) else value


def _grids(runs: Sequence[Run]) -> tuple[Floats, Floats]:
    """Lengths and verdicts of a method, [runs, problems]."""
    lengths = [run.thinking_tokens for run in runs if run.thinking_tokens is not None]
    return np.stack(lengths), np.stack([run.right for run in runs])


def _shared(runs: Sequence[Run]) -> Setting:
    """The setting of one run, or what is the same in those of a method."""
    first = runs[0].setting
    return first if len(runs) == 1 else Setting(model=first.model, method=first.method)


# Writing and reading --------------------------------------------------------------------------


def write_facts(run: Path, chapter: str, facts: Mapping[str, Any]) -> Path:
    """Write the numbers that a chapter shows to `<run>/facts/NN.json`, once `check` lets them pass.

    Facts hold no times and no dates, so that the same seed gives the same bytes; run time,
    versions and date are in `<run>/status/NN.json`, written by the runner.
    """
    check(chapter, facts)
    return write_json(run / "facts" / f"{chapter}.json", facts)


def plain(item: Typed) -> dict[str, Any]:
    """The JSON of a typed number, without what it leaves open."""
    return item.model_dump(mode="json", exclude_defaults=True)


def listing(items: Iterable[Typed]) -> pd.DataFrame:
    """Typed numbers as a table to look at, without the columns in which nothing stands.

    A zero is something.
    """
    import pandas as pd

    table = pd.DataFrame(map(dict, items)).drop(columns=["dtype", "device", "of"], errors="ignore")
    table = table.map(lambda value: str(value) if isinstance(value, Setting) else value)
    return table.loc[:, [any(cell not in (None, "", {}) for cell in table[name]) for name in table]]


def check(chapter: str, facts: Mapping[str, Any]) -> None:
    """Raise `RunError`, in one sentence, unless every fact of a chapter has the type it should."""
    types = SHARED | OWN.get(chapter, {})
    for name, value in facts.items():
        if name not in types:
            raise RunError(
                f"chapter {chapter} writes the fact {name!r}, which no type knows: "
                "declare it in s1lib/results.py"
            )
        try:
            TypeAdapter(types[name]).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in (name, *first["loc"]))
            raise RunError(
                f"facts of chapter {chapter}: {where}: {first['msg']}: mend its notebook, "
                "or make it again if it is from an older version"
            ) from None


def read_all(run: Path) -> dict[str, dict[str, Any]]:
    """The facts of every measuring chapter that has run, by chapter, checked by `check`."""
    found = {}
    for file in sorted((run / "facts").glob("*.json")):
        if file.stem not in NOT_MEASURING:
            found[file.stem] = read_json(file, made_by=file.stem)
            check(file.stem, found[file.stem])
    return found


def points(facts: AllFacts, **fields: Any) -> list[Point]:
    """The points of all chapters whose setting has these values."""
    return [
        point
        for point in _each(facts, "points", Point)
        if all(getattr(point.setting, name) == value for name, value in fields.items())
    ]


def differences(facts: AllFacts, where: Callable[[Difference], Any]) -> list[Difference]:
    """The differences of all chapters for which `where` holds."""
    return [one for one in _each(facts, "differences", Difference) if where(one)]


def table_3(facts: AllFacts) -> list[Method]:
    """The methods that were measured."""
    return list(_each(facts, "methods", Method))


def fixed(facts: AllFacts) -> Setting | None:
    """The setting that chapter 06 fixed in advance: budget forcing as everything is compared."""
    found = facts.get("06", {}).get("fixed")
    return Setting.model_validate(found) if found else None


def sequential(facts: AllFacts) -> list[Point]:
    """Budget forcing at every budget and number of ignored ends, with the profile's string."""
    chosen = fixed(facts)
    if chosen is None:
        return []
    found = points(facts, model=chosen.model, method=chosen.method)
    return [one for one in found if not one.setting.waits or one.setting.string == chosen.string]


T = TypeVar("T", bound=Typed)


def _each(facts: AllFacts, name: str, kind: type[T]) -> Iterator[T]:
    for part in facts.values():
        for row in part.get(name, ()):
            yield kind.model_validate(row)
