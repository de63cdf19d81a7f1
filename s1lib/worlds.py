"""Claims and worlds: which property of the world makes a claim hold?

`python -m s1lib worlds` undoes one property of the laptop's world at a time: a teacher of other
habits answers the same selected questions, or the base model has read another corpus, or the window
is another; recipe and problems stay. What is measured are the comparisons that the claims about
fine-tuning, thinking and Wait rest on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from s1lib import tables
from s1lib.artifacts import RunError, read_json, read_table, write_json, write_table
from s1lib.benchmarks import problems
from s1lib.chat import load_tokenizer, model_path
from s1lib.decoding import Forcing, Sampling, cells, load_decoder
from s1lib.decoding.record import grade_record, to_table
from s1lib.evaluation import examine, runs
from s1lib.filtering import overlong
from s1lib.methods.rejection import halves
from s1lib.profile import Profile, add_profile, load_profile
from s1lib.results import FORCING, PLAIN, Facts, Run, Setting, pick
from s1lib.selection import training_set
from s1lib.training.launch import launch
from s1lib.world.pretrain import RECIPES, WINDOW, further, pretrain
from s1lib.world.teacher import TEACHER, Habits, think

FOLDER = Path("results") / "worlds"
NEVER = 1e6  # lines of working after which the teacher looks again in one case of two


@dataclass(frozen=True)
class World:
    """What it undoes, and how: habits of the teacher, ways of the corpus, tokens of the window."""

    what: str
    habits: dict[str, float] = field(default_factory=dict)
    ways: dict[str, float] = field(default_factory=dict)
    window: int | None = None


WORLDS = {
    "as-it-is": World("the world as it is"),
    "never-again": World(
        "nobody looks twice", {"rest": NEVER, "sense": 0.0, "further": 0.0, "give_up": 1.0}
    ),
    "seldom-again": World("second looks are rare", {"rest": 40.0, "sense": 0.2}),
    "always-again": World("everybody looks twice", {"rest": 0.0, "give_up": 0.0}),
    "blind": World("no answer is doubted because it is wrong", {"sense": 0.0}),
    "wrong-is-short": World("wrong answers are never doubted", {"sense": 0.0, "sure": 1.0}),
    "no-errors": World("the teacher never errs", {"misread": 0.0, "bad_day": 0.0, "haste": 0.0}),
    "careful-corpus": World("the base has read working that looks twice", ways={"careful": 1.0}),
    "half-a-window": World("a window half as long", window=WINDOW // 2),
    "two-windows": World("a window twice as long", window=2 * WINDOW),
}
FURTHER = 1_000_000  # tokens of another corpus that the base model goes on with


def texts(book: Profile, habits: Habits) -> pd.DataFrame:
    """The selected questions with traces of such a teacher: columns id and text, as s1K has.

    Without those that are longer than training takes."""
    chosen = read_table(book.run / "s1K.parquet", made_by="04")
    pairs = [think(row.question, row.metadata, book.seed, habits) for row in chosen.itertuples()]
    thought = chosen.assign(
        thinking=[trace for trace, _ in pairs], attempt=[said for _, said in pairs]
    )
    tokenizer = load_tokenizer(book.models.base)
    fits = ~overlong(thought, tokenizer, book.training.max_length)
    return training_set(thought[fits], tokenizer)[["id", "text"]]


def measure(book: Profile, name: str) -> dict[str, Any]:
    """Train in one world and compare; what `results/worlds/<name>.json` holds."""
    world, folder = WORLDS[name], book.run / "worlds" / name
    book = entered(book, world, folder)
    write_table(folder / "s1K.parquet", texts(book, replace(TEACHER, **world.habits)))
    launch(book, folder / "s1K.parquet", folder / "s1")
    tests = read_table(book.run / "benchmarks.parquet", made_by="01")
    s1 = load_decoder((folder / "s1").as_posix(), book)
    exam, two = problems(tests, s1.tokenizer), max(w for w in book.evaluation.waits if w <= 2)
    waits, wait = (two, max(book.evaluation.waits)), Forcing(wait=book.evaluation.wait)
    wanted = [*cells(book.evaluation.budgets, waits, wait), Forcing(waits=two, wait="")]
    done = grade_record(s1.sweep(exam, wanted), exam)
    base = load_decoder(book.models.base, book)
    done += examine(base, problems(tests, base.tokenizer, chat=False), model="base, in text")
    facts = Facts(book, "worlds", tests)
    found = runs(to_table(done), tests)
    for after, before in comparisons(book, two):
        for benchmark in tests["benchmark"].unique():
            facts.difference(pick(found, after, benchmark), pick(found, before, benchmark))
    hard = tests[tests["benchmark"] == tests["benchmark"].iloc[0]]
    shorter, longer = _halves(book, s1, hard)
    facts.difference(shorter, longer)
    for run in found:
        if run.setting in (comparisons(book, two)[0][1], Setting(model="s1", method=FORCING)):
            facts.point(run)
    return {"world": name, **asdict(world), **facts}


def entered(book: Profile, world: World, folder: Path) -> Profile:
    """The profile in such a world: its window, and a base model that has read its corpus."""
    window = world.window or book.evaluation.window
    if world.window:
        limits = {"window": window}
        book = book.model_copy(update={"evaluation": book.evaluation.model_copy(update=limits)})
    if world.ways or window > WINDOW:  # positions that were never trained are noise
        start = Path(model_path(book.models.base))
        recipe = further(RECIPES[start.name])
        lengths = (*recipe.lengths[:-1], max(window, WINDOW))
        ways = world.ways or recipe.ways
        recipe = replace(recipe, tokens=FURTHER, ways=ways, lengths=lengths)
        pretrain(start.name, recipe, folder, "cpu", start.parent)
        base = (folder / start.name).as_posix()
        book = book.model_copy(update={"models": book.models.model_copy(update={"base": base})})
    return book


def comparisons(book: Profile, two: int) -> list[tuple[Setting, Setting]]:
    """C1, C3 and C4 in their rules' own words: after and before."""

    def s1(**fields: Any) -> Setting:
        return Setting(model="s1", method=FORCING, **fields)

    wait = s1(waits=two, string=book.evaluation.wait)
    budgets = book.evaluation.budgets
    return [
        (wait, Setting(model="base, in text", method=PLAIN)),
        (s1(budget=budgets[-1]), s1(budget=budgets[0])),
        (wait, s1()),
        (wait, s1(waits=two)),
    ]


def _halves(book: Profile, s1: Any, hard: pd.DataFrame) -> Iterator[Run]:
    """C7: the shorter and the longer half of each problem's samples."""
    many = Sampling(book.methods.temperature, seed=book.seed, samples=book.methods.samples)
    pool = to_table(examine(s1, problems(hard, s1.tokenizer), Forcing(), many))
    for name, part in zip(("shorter half", "longer half"), halves(pool), strict=True):
        right = part[hard["id"]].to_numpy(float)
        setting = Setting(model="s1", method="samples", asked=name)
        yield Run(setting, str(hard["benchmark"].iloc[0]), right, right, right)


def table(folder: Path = FOLDER) -> pd.DataFrame:
    """A row for each world that was measured, a column for each comparison.

    A cell holds the points on each benchmark; what differs from zero by its interval is bold.
    """
    rows = []
    for name, world in WORLDS.items():
        if (folder / f"{name}.json").is_file():
            facts = read_json(folder / f"{name}.json")
            row = {"world": world.what}
            for one in facts["differences"]:
                low, high = one["ci95"]
                points = f"{round(one['value']):+d}".replace("-", "−").replace("+0", "0")
                key = column(Setting(**one["after"]), Setting(**one["before"]))
                cell = f"**{points}**" if low > 0 or high < 0 else points
                row[key] = f"{row.get(key, '')} {cell}".strip()
            rows.append(row)
    return pd.DataFrame(rows)


def column(after: Setting, before: Setting) -> str:
    if before.model != "s1":
        return "C1: two Waits minus the base"
    if after.method != FORCING:
        return "C7: shorter half of the samples minus the longer"
    if after.budget:
        return "C3: largest minus smallest budget"
    return (
        "C4: *Wait* minus nothing, both at two ends" if before.waits else "C4: two Waits minus none"
    )


def markdown(folder: Path = FOLDER) -> str:
    """The same as a Markdown table."""
    rows = table(folder)
    if rows.empty:
        return "No world has been measured: `python -m s1lib worlds`.\n"
    return tables.markdown(rows.columns, rows.fillna("–").to_numpy())


def ledgers(rows: list[dict[str, Any]], folder: Path = FOLDER) -> str:
    """A Markdown table of the claims in the world before this one, and in the run of `rows`."""
    kept = folder / "first.json"
    before = {one["id"]: _verdict(one) for one in read_json(kept)} if kept.is_file() else {}
    return tables.markdown(
        ("No.", "Claim", "In the first world", "Here"),
        ((now["id"], now["claim"], before.get(now["id"], "–"), _verdict(now)) for now in rows),
    )


def by_claim(folder: Path = FOLDER) -> dict[str, dict[str, dict[str, str]]]:
    """The same by claim: its comparisons, and what each came to, world by world."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    shown = table(folder).fillna("–")
    for name in shown.columns[1:]:
        claim, _, comparison = name.partition(": ")
        points = dict(zip(shown["world"], shown[name], strict=True))
        found.setdefault(claim, {})[comparison.replace("*", "")] = points
    return found


def _verdict(row: dict[str, Any]) -> str:
    value = row["measured"]
    measured = "" if value is None else f": {tables.interval(value, row['ci95'])}"
    return f"{row['verdict']}{measured}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("worlds", nargs="*", metavar="world", help=f"of {', '.join(WORLDS)}")
    add_profile(parser)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the results go")


def main(args: argparse.Namespace) -> None:
    for name in args.worlds or WORLDS:
        if name not in WORLDS:
            raise RunError(f"there is no world {name!r}: use {', '.join(WORLDS)}")
        file = args.folder / f"{name}.json"
        if not file.is_file():
            write_json(file, measure(load_profile(args.profile, args.run), name))
        print(name, "is measured", flush=True)
    print(table(args.folder).to_string(index=False))
