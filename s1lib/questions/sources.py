"""The 16 sources of the paper's 59,029 questions (Table 7) as one table; benchmarks, loaded.

Each source names a dataset of the Hugging Face hub, what to load of it, which rows to keep and
how one of its rows becomes a question. Questions are spelt exactly as the reference spells them
(data/collect_data.py, add_aime.py), since their hash is the key of every published artifact. In
the laptop world the same names stand for procedural sources of `s1lib.world.sources`.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from s1lib.artifacts import RunError
from s1lib.benchmarks import BENCHMARKS, WORLD, Benchmark, Part
from s1lib.profile import Profile
from s1lib.questions.revisions import pinned
from s1lib.questions.schema import metadata_text, question_id

Row = Mapping[str, Any]
T = TypeVar("T")

CLUE = (
    "Solve the crossword puzzle. You are presented with a clue as input "
    "and the number of letters in brackets."
)


@dataclass(frozen=True)
class Source:
    """A row of the table. `why` says what keeps our count from the published one."""

    name: str
    hub: str
    parts: tuple[Part, ...]
    columns: tuple[str, ...]
    transform: Callable[[Row, Part], dict[str, Any]]
    cot_type: str
    source_type: str
    answer_type: str
    published: int
    published_k_tokens: float
    keep: Callable[[Row, Part], bool] = lambda row, part: True
    quota: int | None = None
    why: str = ""


def _copy(question: str, solution: str | None, answer: str | None = None) -> Callable[..., dict]:
    def transform(row: Row, part: Part) -> dict[str, Any]:
        return {
            "question": row[question],
            "solution": row[solution] if solution else None,
            "answer": row[answer] if answer else None,
        }

    return transform


def _first(value: Any) -> Any:
    """The first of a list, or None; what is no list is itself."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value[0] if value else None
    return value


def _olympic_arena(row: Row, part: Part) -> dict[str, Any]:
    kinds = {"Math": "math", "CS": "coding"}
    return {
        "question": row["problem"],
        "solution": row["solution"],
        "answer": row.get("answer"),
        "cot_type": kinds.get(row["subject"], "science"),
        "source_type": f"GAIR/OlympicArena/{row['subject']}",
    }


def _sci_eval(row: Row, part: Part) -> dict[str, Any]:
    question = row["question"].split("\n\nAnswer:")[0]
    for thing in ("solvent", "ligand", "reactant"):
        question = question.replace(f"\nOptimal {thing}:", f"\nWhat is the optimal {thing}?")
    task = row["task_name"]
    return {
        "question": question,
        "solution": _first(row["answer"]),
        "answer": _first(row["answer"]),
        "cot_type": "health science" if task in ("MedQA", "PubMedQA") else "science",
        "source_type": f"OpenDFM/SciEval/{row['category']}/{row['type']}/{task}",
    }


def _olympiad_bench(row: Row, part: Part) -> dict[str, Any]:
    return {
        "question": row["question"],
        "solution": _first(row["solution"]),
        "answer": _first(row.get("final_answer")),
        "source_type": f"Hothan/OlympiadBench/{row['question_type']}/{row['subject']}",
    }


def _jee_bench(row: Row, part: Part) -> dict[str, Any]:
    return {
        "question": row["question"],
        "solution": row["gold"],
        "answer": row["gold"],
        "cot_type": "science" if row["subject"] == "chem" else "math",
        "source_type": f"daman1209arora/jeebench/{row['subject']}",
    }


def _agi_eval(row: Row, part: Part) -> dict[str, Any]:
    question = row["question"]
    if part.config not in ("aqua_rat", "math_agieval"):
        # The reference strips the blank line it meant to put between passage and question.
        options = "\n".join(row["options"])
        question = f"{(row['passage'] or '').strip()}{question}\n{options}"
    english = part.config == "sat_en" or str(part.config).startswith("lsat")
    return {
        "question": question,
        "solution": row["solution"],
        "answer": row.get("label") or row.get("answer"),
        "cot_type": "english" if english else "math",
        "source_type": f"baber/agieval/{part.config}",
    }


def _xword(row: Row, part: Part) -> dict[str, Any]:
    clue = row["input"].split("### Clue: ")
    return {
        "question": f"{CLUE}\n\n{clue[1]}" if len(clue) > 1 else None,
        "solution": row["output"],
        "answer": row["output"].split("### Explanation:")[0].removeprefix("### Answer:").strip(),
    }


def _gpqa(row: Row, part: Part) -> dict[str, Any]:
    question, options, letter = choices(row)
    listed = "\n".join(f"({name}) {text}" for name, text in zip("ABCD", options, strict=True))
    return {
        "question": f"{question}\nAnswer Choices:\n{listed}",
        "solution": f"{row['Explanation']}\n\nAnswer: {letter}",
        "answer": letter,
    }


def choices(row: Row) -> tuple[str, list[str], str]:
    """Question, options and right letter of a GPQA row.

    The order of the options is drawn from the question's own hash, so that it depends neither on
    other rows nor on a global generator.
    """
    question = row["Question"]
    names = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Correct Answer")
    order = [0, 1, 2, 3]
    random.Random(question_id(question)).shuffle(order)
    options = [str(row[names[k]]).strip("\n") for k in order]
    return question, options, "ABCD"[order.index(3)]


def _named(template: str, *columns: str, **names: str) -> Callable[[Row, Part], dict[str, Any]]:
    """A plain copy whose source_type ends in a column's value."""
    plain = _copy(**names)

    def transform(row: Row, part: Part) -> dict[str, Any]:
        return plain(row, part) | {"source_type": template.format(*(row[c] for c in columns))}

    return transform


def _stripped(question: str, solution: str | None) -> Callable[[Row, Part], dict[str, Any]]:
    plain = _copy(question, solution, solution)

    def transform(row: Row, part: Part) -> dict[str, Any]:
        cells = plain(row, part)
        return cells | {"question": cells["question"].strip()}

    return transform


def _aime_year(row: Row, part: Part) -> bool:
    return int(str(row["ID"]).split("-")[0]) <= 2022


# fmt: off
_PARQUET = "refs/convert/parquet"
_AGI = ("sat_en", "sat_math", "lsat_ar", "lsat_lr", "lsat_rc", "logiqa", "aqua_rat",
        "math_agieval")
_OLYMPIADS = ("OE_TO_maths_en_COMP", "OE_TO_physics_en_COMP", "TP_TO_maths_en_COMP",
              "TP_TO_physics_en_COMP")
_ARENA = ("Math", "Physics", "Chemistry", "Biology", "Geography", "Astronomy", "CS")

# In the order of the reference, which matters: a source loses what an earlier one has.
_TABLE = (
    Source(
        "MATH", "simplescaling/openaimath", (Part(),), ("problem", "solution", "subject"),
        _named("simplescaling/openaimath/{}", "subject", question="problem",
               solution="solution", answer="answer"),
        "math", "simplescaling/openaimath", "text", 11_999, 2.9,
    ),
    Source(
        "OlympicArena", "GAIR/OlympicArena",
        tuple(Part(subject, ("test", "val")) for subject in _ARENA),
        ("problem", "solution", "subject", "language", "modality"), _olympic_arena,
        "science", "GAIR/OlympicArena", "text", 4_250, 3.2,
        keep=lambda row, part: row["language"] == "EN" and row["modality"] == "text-only",
        why="test rows have no solution, so quality filtering drops nearly all of them",
    ),
    Source(
        "TheoremQA", "TIGER-Lab/TheoremQA", (Part(splits=("test",)),),
        ("Question", "Answer", "Answer_type", "Picture"),
        _named("TIGER-Lab/TheoremQA/{}", "Answer_type", question="Question",
               solution="Answer", answer="Answer"),
        "math", "TIGER-Lab/TheoremQA", "text", 747, 2.1,
        keep=lambda row, part: row["Picture"] is None,
    ),
    Source(
        "NuminaMATH", "AI-MO/NuminaMath-CoT", (Part(),), ("problem", "solution", "source"),
        _named("AI-MO/NuminaMath-CoT/{}", "source", question="problem", solution="solution"),
        "math", "AI-MO/NuminaMath-CoT", "text", 30_660, 4.1,
        keep=lambda row, part: row["source"] == "aops_forum",
        why="rows outside aops_forum come from simplescaling/numinamath_500 and a hard-coded "
            "list of questions; the list is not repeated here",
    ),
    Source(
        "OmniMath", "KbsdJames/Omni-MATH", (Part(splits=("test",)),), ("problem", "solution"),
        _copy("problem", "solution", "answer"), "math", "KbsdJames/Omni-MATH", "text", 4_238, 4.4,
    ),
    Source(
        "SciEval", "OpenDFM/SciEval", (Part(splits=("test", "validation")),),
        ("question", "answer", "category", "type", "task_name", "topic"), _sci_eval,
        "science", "OpenDFM/SciEval", "text", 227, 0.7,
        keep=lambda row, part: row["answer"] is not None, quota=250,
        why="250 rows by task and topic; the reference counts some twice and adds its list",
    ),
    Source(
        "OlympiadBench", "Hothan/OlympiadBench", tuple(Part(name) for name in _OLYMPIADS),
        ("question", "solution", "question_type", "subject"), _olympiad_bench,
        "math", "Hothan/OlympiadBench", "text", 896, 3.9,
        why="the context of a question is left out, as in the reference",
    ),
    Source(
        "JEEBench", "daman1209arora/jeebench", (Part(splits=("test",)),),
        ("question", "gold", "subject"), _jee_bench,
        "math", "daman1209arora/jeebench", "choice", 515, 2.9,
    ),
    Source(
        "AGIEval", "baber/agieval",
        tuple(Part(name, ("test", "few_shot"), revision=_PARQUET) for name in _AGI),
        ("question", "solution"), _agi_eval, "math", "baber/agieval", "choice", 2_385, 1.2,
        keep=lambda row, part: part.config != "math_agieval" or str(row["level"]) == "5",
    ),
    Source(
        "s1-prob", "simplescaling/s1-prob", (Part(),), ("question", "solution"),
        _copy("question", "solution"), "math", "simplescaling/s1-prob", "text", 182, 4.0,
    ),
    Source(
        "GPQA", "Idavidrein/gpqa", (Part("gpqa_extended"),),
        ("Question", "Explanation", "Correct Answer", "Incorrect Answer 1"), _gpqa,
        "science", "Idavidrein/gpqa", "choice", 348, 2.9,
        why="the order of the options differs from the reference's, and so does the id",
    ),
    Source(
        "xword", "0xharib/xword1", (Part(),), ("input", "output"), _xword,
        "crossword", "0xharib/xword1", "text", 999, 0.7, quota=1_000,
    ),
    Source(
        "USACO", "codegenning/usacobench_formatted", (Part(splits=("test",)),), ("question",),
        _stripped("question", None), "coding", "codegenning/usacobench_formatted", "text", 519,
        3.6, why="no reference solutions: quality filtering drops all of them",
    ),
    Source(
        "s1-teasers", "simplescaling/s1-teasers", (Part(),), ("Question", "Answer"),
        _stripped("Question", "Answer"), "math", "simplescaling/s1-teasers", "text", 23, 4.1,
    ),
    Source(
        "LiveCodeBench", "livecodebench/code_generation_lite",
        tuple(Part(f"release_v{k + 1}", ("test",), files=("test.jsonl", "test2.jsonl",
              "test3.jsonl")[: k + 1]) for k in range(3)),
        ("question_content", "difficulty"),
        lambda row, part: _stripped("question_content", None)(row, part)
        | {"source_type": f"LiveCodeBench/{part.config}"},
        "coding", "LiveCodeBench", "text", 151, 3.5,
        keep=lambda row, part: row["difficulty"] == "hard",
        why="the held-out release_v4 contains releases 1 to 3, so the rule removes all of them",
    ),
    Source(
        "AIME", "qq8933/AIME_1983_2024", (Part(),), ("ID", "Question", "Answer"),
        _copy("Question", "Answer", "Answer"), "math", "qq8933/AIME_1983_2024", "integer", 890,
        4.7, keep=_aime_year,
        why="decontaminated here (the reference adds it afterwards), which removes 2022",
    ),
)
# fmt: on
SOURCES = {source.name: source for source in _TABLE}

Loader = Callable[[str, Part], list[Row]]


def share_out(total: int, names: Sequence[str], least: int = 4) -> dict[str, int]:
    """Split `total` over sources in proportion to Table 7, at least `least` rows each."""
    weights = np.array([SOURCES[name].published for name in names], dtype=float)
    exact = weights / weights.sum() * max(total - least * len(names), 0)
    shares = np.floor(exact).astype(int)
    rest = max(total - least * len(names), 0) - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:rest]] += 1
    return {name: int(n) + least for name, n in zip(names, shares, strict=True)}


def names(book: Profile) -> list[str]:
    """Names of the sources of a profile, in the table's order. Raises `RunError` if unknown."""
    wanted = book.questions.sources or tuple(SOURCES)
    unknown = [name for name in wanted if name not in SOURCES]
    if unknown:
        raise RunError(
            f"questions.sources names {unknown[0]!r}, which is no source: "
            f"use some of {', '.join(SOURCES)}"
        )
    return [name for name in SOURCES if name in wanted]


def collect(book: Profile, load: Loader | None = None) -> pd.DataFrame:
    """All rows of the profile's sources, not yet validated, in the table's order.

    Columns as in `s1lib.questions.schema` without the id. `load(hub id, part)` replaces the
    loader of the hub. Raises `RunError` naming the source if it cannot be read.
    """
    if book.questions.origin == "world":
        from s1lib.world import sources as world

        shares = share_out(book.questions.pool, names(book))
        rows = [row for name, n in shares.items() for row in world.rows(name, n, book.seed)]
        return pd.DataFrame(rows)
    load = load or _loader(book)
    wanted = names(book)
    trial = book.questions.pool < sum(SOURCES[name].published for name in wanted)
    first = share_out(book.questions.pool, wanted) if trial else {}
    tables = [from_hub(SOURCES[name], load)[: first.get(name)] for name in wanted]
    return pd.DataFrame([row for table in tables for row in table])


def from_hub(source: Source, load: Loader) -> list[dict[str, Any]]:
    """Rows of one source: loaded, filtered, transformed, shuffled (seed 42), cut to its quota."""
    keep = source.keep
    if source.name == "NuminaMATH":
        known = {row["problem"] for row in load("simplescaling/numinamath_500", Part())}
        keep = lambda row, part: source.keep(row, part) or row["problem"] in known  # noqa: E731
    if source.name == "GPQA":
        diamond = {row["Question"] for row in load(source.hub, Part("gpqa_diamond"))}
        keep = lambda row, part: row["Question"] not in diamond  # noqa: E731
    rows: list[tuple[Row, dict[str, Any]]] = []
    for part in source.parts:
        for row in load(source.hub, part):
            missing = [name for name in source.columns if name not in row]
            if missing:
                raise RunError(
                    f"{source.hub} has no column {', '.join(missing)} any more: put a commit that "
                    "has it into revisions.json in the run folder"
                )
            if keep(row, part):
                rows.append((row, _finish(source, row, source.transform(row, part))))
    rows = _shuffled(rows)
    if source.name == "SciEval":
        rows = _balanced(rows, source.quota or len(rows))
    return [row for _, row in rows[: source.quota]]


def benchmarks(book: Profile, load: Loader | None = None) -> pd.DataFrame:
    """Benchmark questions of the profile: benchmark, id, question, answer, answer_type, metadata.

    On the hub the profile's benchmarks come in the evaluation layout (GPQA options as `A) ..`).
    """
    if book.questions.origin == "world":
        from s1lib.world import sources as world

        rows = [
            {"benchmark": name, **row}
            for name in book.questions.benchmarks
            for row in world.benchmark(name, book.questions.problems, book.seed)
        ]
    else:
        load = load or _loader(book)
        table = {item.name: item for item in BENCHMARKS if item.scored and item.source != WORLD}
        unknown = [name for name in book.questions.benchmarks if name not in table]
        if unknown:
            raise RunError(f"questions.benchmarks names {unknown[0]!r}: use {', '.join(table)}")
        rows = [
            row for name in book.questions.benchmarks for row in _benchmark_rows(table[name], load)
        ]
    for row in rows:
        row["id"] = question_id(row["question"])
        row["metadata"] = metadata_text(row.get("metadata"))
        row["answer"] = str(row["answer"])
    columns = ["benchmark", "id", "question", "answer", "answer_type", "metadata"]
    return pd.DataFrame(rows)[columns]


def held_out(book: Profile, scored: pd.DataFrame, load: Loader | None = None) -> pd.DataFrame:
    """What the pool is decontaminated against: benchmark, id, question.

    The world's benchmarks themselves; on the hub AIME 2022-24, GPQA Diamond (bare questions),
    MATH500 and LiveCodeBench.
    """
    if book.questions.origin == "world":
        return scored[["benchmark", "id", "question"]]
    load = load or _loader(book)
    rows = [
        {"benchmark": item.name, "question": row[item.question]}
        for item in BENCHMARKS
        if item.source != WORLD
        for row in load(item.source, item.part)
    ]
    table = pd.DataFrame(rows)
    table.insert(1, "id", table["question"].map(question_id))
    return table


def composition(table: pd.DataFrame, origin: str = "hub") -> pd.DataFrame:
    """Table 7: source, n, published_n and why they differ, in the paper's order of size."""
    counts = Counter(table["source"])
    world = "a procedural source with its share of the paper's questions"
    rows = [
        (s.name, counts[s.name], s.published, s.why if origin == "hub" else world)
        for s in SOURCES.values()
    ]
    shown = pd.DataFrame(rows, columns=["source", "n", "published_n", "why"])
    return shown.sort_values("published_n", ascending=False).reset_index(drop=True)


def _loader(book: Profile) -> Loader:
    return hub_loader(book.questions.folder, book.run / "revisions.json")


def hub_loader(folder: str = "", pins: Path | None = None) -> Loader:
    """A loader through `datasets`: from the hub and its cache, or from `<folder>/<hub id>`.

    `pins` is the file that holds each dataset's commit (`s1lib.questions.revisions`). Scripts are
    never run (`datasets` refuses them), and columns that a row does not have are not made up.
    """

    def load(hub: str, part: Part) -> list[Row]:
        from datasets import load_dataset

        local = Path(folder) / hub
        path = str(local) if folder else hub
        rows: list[Row] = []
        try:
            revision = None if folder else part.revision
            if pins and not folder:
                revision = pinned(hub, part.revision, pins)
            for split in part.splits:
                if part.files:
                    base = path if folder else f"hf://datasets/{hub}"
                    at = f"@{revision}" if revision else ""
                    files = [f"{base}{at}/{name}" for name in part.files]
                    data = load_dataset("json", data_files={split: files}, split=split)
                else:
                    data = load_dataset(path, part.config, split=split, revision=revision)
                rows.extend(data)
        except RunError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunError(
                f"{hub} cannot be loaded ({reason[:200]}): log in with `hf auth login`, or put "
                "a copy under questions.folder"
            ) from None
        return rows

    return load


def _finish(source: Source, row: Row, cells: dict[str, Any]) -> dict[str, Any]:
    used = {cells["question"], cells.get("solution")} if cells["question"] else set()
    rest = {
        key: value for key, value in row.items() if not isinstance(value, str) or value not in used
    }
    return {
        "cot_type": source.cot_type,
        "source_type": source.source_type,
        **cells,
        "source": source.name,
        "metadata": metadata_text(rest),
    }


def _shuffled(rows: Sequence[T]) -> list[T]:
    """The order of `datasets.Dataset.shuffle(seed=42)`."""
    return [rows[i] for i in np.random.default_rng(42).permutation(len(rows))]


def _balanced(
    rows: Iterable[tuple[Row, dict[str, Any]]], n: int
) -> list[tuple[Row, dict[str, Any]]]:
    """SciEval: equal shares for its tasks, and for the topics of its task SocraticQA."""
    rows = list(rows)
    tasks = {row["task_name"] for row, _ in rows}
    topics = {row["topic"] for row, _ in rows if row["task_name"] == "SocraticQA"}
    per_task = math.ceil(n / max(len(tasks), 1))
    per_topic = math.ceil(per_task / max(len(topics), 1))
    taken: Counter[tuple[str, str | None]] = Counter()
    chosen: list[tuple[Row, dict[str, Any]]] = []
    for row, cells in rows:
        socratic = row["task_name"] == "SocraticQA"
        key = (row["task_name"], row["topic"] if socratic else None)
        if taken[key] < (per_topic if socratic else per_task) and len(chosen) < n:
            taken[key] += 1
            chosen.append((row, cells))
    return chosen


def _benchmark_rows(item: Benchmark, load: Loader) -> list[dict[str, Any]]:
    rows = []
    for row in load(item.source, item.part):
        question, answer = row[item.question], row[item.answer] if item.answer else ""
        if item.answer_type == "choice":
            bare, options, answer = choices(row)
            listed = "\n".join(f"{k}) {text}" for k, text in zip("ABCD", options, strict=True))
            question = f"{bare}\n\n{listed}"
        rows.append(
            {
                "benchmark": item.name,
                "question": question,
                "answer": answer,
                "answer_type": item.answer_type,
                "metadata": {},
            }
        )
    return rows
