"""The 16 sources of the paper's 59,029 questions (Table 7) as one table.

Each source names a dataset of the Hugging Face hub, what to load of it, which rows to keep and
how one of its rows becomes a question. Questions are spelt exactly as the reference spells them
(data/collect_data.py, add_aime.py), since their hash is the key of every published artifact. In
the laptop world the same names stand for procedural sources of `s1lib.world.sources`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s1lib.benchmarks import OPTIONS, Columns, Part
from s1lib.questions.schema import question_id

Row = Mapping[str, Any]

CLUE = (
    "Solve the crossword puzzle. You are presented with a clue as input "
    "and the number of letters in brackets."
)


@dataclass(frozen=True)
class Listed:
    """Questions that another dataset lists, in a column that the source has, too."""

    hub: str
    part: Part
    column: str


@dataclass(frozen=True)
class Source:
    """A row of the table. `why` says what keeps our count from the published one.

    `columns` are the cells that the transform takes, with the type that it needs: a row whose
    cell is empty is no question, and a cell that is missing or of another type is an error, for
    then the dataset has changed. Rows that `keep` leaves out are taken nevertheless if `also`
    lists them, and rows that `without` lists are not. A `quota` is taken in the shuffled order,
    in equal shares of what `share` names: the first names share equally, and the second ones
    within a first. `kinds` are the cells, or `config` for that of the part, that `source_type`
    ends in; it begins with `prefix`, or with the hub's name.
    """

    name: str
    hub: str
    parts: tuple[Part, ...]
    columns: Columns
    transform: Callable[[Row, Part], dict[str, Any]]
    cot_type: str
    answer_type: str
    published: int
    kinds: tuple[str, ...] = ()
    keep: Callable[[Row, Part], bool] = lambda row, part: True
    also: Listed | None = None
    without: Listed | None = None
    quota: int | None = None
    share: Callable[[Row], tuple[str, str]] | None = None
    prefix: str = ""
    why: str = ""

    @property
    def source_type(self) -> str:
        """What `source_type` begins with."""
        return self.prefix or self.hub


def _copy(
    question: str,
    solution: str | None,
    answer: str = "",
    strip: bool = False,
    cot: Callable[[Row], str] | None = None,
) -> Callable[[Row, Part], dict[str, Any]]:
    """Cells as they are, of a list the first; `cot` where a source has several kinds of thought."""

    def transform(row: Row, part: Part) -> dict[str, Any]:
        cells = {
            "question": row[question].strip() if strip else row[question],
            "solution": _first(row[solution]) if solution else None,
            "answer": _first(row.get(answer)),
        }
        return {**cells, "cot_type": cot(row)} if cot else cells

    return transform


def _first(value: Any) -> Any:
    """The first of a list, or None; what is no list is itself."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value[0] if value else None
    return value


def _sci_eval(row: Row, part: Part) -> dict[str, Any]:
    question = row["question"].split("\n\nAnswer:")[0]
    for thing in ("solvent", "ligand", "reactant"):
        question = question.replace(f"\nOptimal {thing}:", f"\nWhat is the optimal {thing}?")
    return {
        "question": question,
        "solution": _first(row["answer"]),
        "answer": _first(row["answer"]),
        "cot_type": "health science" if row["task_name"] in ("MedQA", "PubMedQA") else "science",
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
    }


def _xword(row: Row, part: Part) -> dict[str, Any]:
    clue = row["input"].split("### Clue: ")
    said = row["output"] or ""
    return {
        "question": f"{CLUE}\n\n{clue[1]}" if len(clue) > 1 else None,
        "solution": said,
        "answer": said.split("### Explanation:")[0].removeprefix("### Answer:").strip(),
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


def _sci_eval_share(row: Row) -> tuple[str, str]:
    """Equal shares for its tasks, and for the topics of its task SocraticQA."""
    task = row["task_name"]
    return task, str(row["topic"]) if task == "SocraticQA" else ""


# fmt: off
_AGI: dict[str, Columns] = {
    **{name: {"passage": str | None, "options": list}
       for name in ("sat_en", "sat_math", "lsat_ar", "lsat_lr", "lsat_rc", "logiqa")},
    "aqua_rat": {},
    "math_agieval": {"level": int | str},
}
_OLYMPIADS = ("OE_TO_maths_en_COMP", "OE_TO_physics_en_COMP", "TP_TO_maths_en_COMP",
              "TP_TO_physics_en_COMP")
_ARENA = ("Math", "Physics", "Chemistry", "Biology", "Geography", "Astronomy", "CS")
# In the order of the reference, which matters: a source loses what an earlier one has.
_TABLE = (
    Source(
        "MATH", "simplescaling/openaimath", (Part(),),
        {"problem": str, "solution": object, "answer": object, "subject": str},
        _copy("problem", "solution", "answer"), "math", "text", 11_999, ("subject",),
    ),
    Source(
        "OlympicArena", "GAIR/OlympicArena",
        tuple(Part(subject, ("test", "val")) for subject in _ARENA),
        {"problem": str, "solution": object, "subject": str, "language": str, "modality": str},
        _copy("problem", "solution", "answer",
              cot=lambda row: {"Math": "math", "CS": "coding"}.get(row["subject"], "science")),
        "science", "text", 4_250, ("subject",),
        keep=lambda row, part: row["language"] == "EN" and row["modality"] == "text-only",
        why="test rows have no solution, so quality filtering drops nearly all of them",
    ),
    Source(
        "TheoremQA", "TIGER-Lab/TheoremQA", (Part(splits=("test",)),),
        {"Question": str, "Answer": object, "Answer_type": str, "Picture": object},
        _copy("Question", "Answer", "Answer"), "math", "text", 747, ("Answer_type",),
        keep=lambda row, part: row["Picture"] is None,
    ),
    Source(
        "NuminaMATH", "AI-MO/NuminaMath-CoT", (Part(),),
        {"problem": str, "solution": object, "source": str},
        _copy("problem", "solution"), "math", "text", 30_660, ("source",),
        keep=lambda row, part: row["source"] == "aops_forum",
        also=Listed("simplescaling/numinamath_500", Part(), "problem"),
        why="rows outside aops_forum come from simplescaling/numinamath_500 and a hard-coded "
            "list of questions; the list is not repeated here",
    ),
    Source(
        "OmniMath", "KbsdJames/Omni-MATH", (Part(splits=("test",)),),
        {"problem": str, "solution": object, "answer": object},
        _copy("problem", "solution", "answer"), "math", "text", 4_238,
    ),
    Source(
        "SciEval", "OpenDFM/SciEval", (Part(splits=("test", "validation")),),
        {"question": str, "answer": object, "category": str, "type": str, "task_name": str,
         "topic": object},
        _sci_eval, "science", "text", 227, ("category", "type", "task_name"),
        keep=lambda row, part: row["answer"] is not None, quota=250, share=_sci_eval_share,
        why="250 rows by task and topic; the reference counts some twice and adds its list",
    ),
    Source(
        "OlympiadBench", "Hothan/OlympiadBench", tuple(Part(name) for name in _OLYMPIADS),
        {"question": str, "solution": object, "question_type": str, "subject": str},
        _copy("question", "solution", "final_answer"),
        "math", "text", 896, ("question_type", "subject"),
        why="the context of a question is left out, as in the reference",
    ),
    Source(
        "JEEBench", "daman1209arora/jeebench", (Part(splits=("test",)),),
        {"question": str, "gold": object, "subject": str},
        _copy("question", "gold", "gold",
              cot=lambda row: "science" if row["subject"] == "chem" else "math"),
        "math", "choice", 515, ("subject",),
    ),
    Source(
        "AGIEval", "baber/agieval",
        tuple(Part(name, ("test", "few_shot"), ("{config}/{split}/*.parquet",),
                   "refs/convert/parquet", columns) for name, columns in _AGI.items()),
        {"question": str, "solution": object}, _agi_eval, "math", "choice", 2_385, ("config",),
        keep=lambda row, part: part.config != "math_agieval" or str(row["level"]) == "5",
    ),
    Source(
        "s1-prob", "simplescaling/s1-prob", (Part(),), {"question": str, "solution": object},
        _copy("question", "solution"), "math", "text", 182,
    ),
    Source(
        "GPQA", "Idavidrein/gpqa", (Part("gpqa_extended"),), {**OPTIONS, "Explanation": object},
        _gpqa, "science", "choice", 348,
        without=Listed("Idavidrein/gpqa", Part("gpqa_diamond"), "Question"),
        why="the order of the options differs from the reference's, and so does the id",
    ),
    Source(
        "xword", "0xharib/xword1", (Part(),), {"input": str, "output": str | None}, _xword,
        "crossword", "text", 999, quota=1_000,
    ),
    Source(
        "USACO", "codegenning/usacobench_formatted", (Part(splits=("test",)),),
        {"question": str}, _copy("question", None, strip=True), "coding", "text", 519,
        why="no reference solutions: quality filtering drops all of them",
    ),
    Source(
        "s1-teasers", "simplescaling/s1-teasers", (Part(),), {"Question": str, "Answer": object},
        _copy("Question", "Answer", "Answer", strip=True), "math", "text", 23,
    ),
    Source(
        "LiveCodeBench", "livecodebench/code_generation_lite",
        tuple(Part(f"release_v{k + 1}", ("test",), files=("test.jsonl", "test2.jsonl",
              "test3.jsonl")[: k + 1]) for k in range(3)),
        {"question_content": str, "difficulty": str},
        _copy("question_content", None, strip=True), "coding", "text", 151, ("config",),
        keep=lambda row, part: row["difficulty"] == "hard",
        prefix="LiveCodeBench", why="the held-out release_v4 contains releases 1 to 3",
    ),
    Source(
        "AIME", "qq8933/AIME_1983_2024", (Part(),),
        {"ID": str, "Question": str, "Answer": object},
        _copy("Question", "Answer", "Answer"), "math", "integer", 890,
        keep=lambda row, part: int(row["ID"].split("-")[0]) <= 2022,
        why="up to 2022, as in the reference's code, where Table 7 says 2021",
    ),
)
# fmt: on
SOURCES = {source.name: source for source in _TABLE}
