"""Each of the 16 sources, on rows in its own column format."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from s1lib.artifacts import RunError
from s1lib.benchmarks import BENCHMARKS, Part
from s1lib.profile import load_profile
from s1lib.questions.collection import benchmarks, collect, composition, held_out, share_out
from s1lib.questions.decontaminate import REMOVALS
from s1lib.questions.hub import from_hub, hub_loader
from s1lib.questions.schema import validate
from s1lib.questions.sources import SOURCES

GPQA_ROW = {
    "Question": "Which gas is noble?\n",
    "Correct Answer": "Argon\n",
    "Incorrect Answer 1": "Oxygen",
    "Incorrect Answer 2": "\nNitrogen",
    "Incorrect Answer 3": "Hydrogen",
    "Explanation": "Argon is.",
    "High-level domain": "Chemistry",
}
# fmt: off
ROWS: dict[str, dict[str | None, list[dict[str, Any]]]] = {
    "simplescaling/openaimath": {
        None: [{"problem": "What is 1+1?", "solution": "It is $\\boxed{2}$.", "answer": "2",
                "subject": "Algebra", "level": 1, "unique_id": "t/1"}],
    },
    "GAIR/OlympicArena": {
        "CS": [{"problem": "Sort it fast.", "solution": None, "answer": None, "language": "EN",
                "subject": "CS", "modality": "text-only"}],
        "Math": [
            {"problem": "Prove it now.", "solution": "Done.", "answer": ["7"], "subject": "Math",
             "language": "EN", "modality": "text-only"},
            {"problem": "证明 它", "solution": "x", "answer": None, "subject": "Math",
             "language": "ZH", "modality": "text-only"},
            {"problem": "See the figure", "solution": "x", "answer": None, "subject": "Math",
             "language": "EN", "modality": "multi-modal"},
        ],
    },
    "TIGER-Lab/TheoremQA": {
        None: [
            {"Question": "How many trees?", "Answer": "[1, 2]", "Answer_type": "list of integer",
             "Picture": None},
            {"Question": "What is drawn?", "Answer": "3", "Answer_type": "integer",
             "Picture": {"bytes": "x"}},
        ],
    },
    "AI-MO/NuminaMath-CoT": {
        None: [
            {"problem": "From a forum?", "solution": "Yes.", "source": "aops_forum",
             "messages": []},
            {"problem": "One of 500?", "solution": "Yes.", "source": "olympiads", "messages": []},
            {"problem": "Synthetic one?", "solution": "Yes.", "source": "orca_math",
             "messages": []},
        ],
    },
    "simplescaling/numinamath_500": {None: [{"problem": "One of 500?"}]},
    "KbsdJames/Omni-MATH": {
        None: [{"problem": "A hard one?", "solution": "Long.", "answer": "12",
                "domain": ["Mathematics -> Algebra"], "difficulty": 8.0, "source": "imo"}],
    },
    "OpenDFM/SciEval": {
        None: [
            {"question": "Reactant: CO\nOptimal solvent:", "answer": ["CCO"],
             "category": "chemistry", "type": "filling", "task_name": "reagent selection",
             "topic": None, "id": "1"},
            {"question": "What moves?\n\nA. x\nB. y\n\nAnswer:", "answer": ["A"],
             "category": "physics", "type": "multiple-choice", "task_name": "SocraticQA",
             "topic": "Physics", "id": "2"},
            {"question": "What ails him?\n\nAnswer:", "answer": ["B"], "category": "biology",
             "type": "multiple-choice", "task_name": "MedQA", "topic": None, "id": "3"},
            {"question": "No answer given?", "answer": None, "category": "physics",
             "type": "judge", "task_name": "PubMedQA", "topic": None, "id": "4"},
        ],
    },
    "Hothan/OlympiadBench": {
        "OE_TO_physics_en_COMP": [
            {"question": "How far does it fly?", "solution": ["Two metres.", "Else."],
             "final_answer": ["2"], "context": "A ball.", "question_type": "Open-ended",
             "subject": "Physics"}],
        "TP_TO_maths_en_COMP": [
            {"question": "Show the claim.", "solution": [], "final_answer": None,
             "question_type": "Theorem proof", "subject": "Math"}],
    },
    "daman1209arora/jeebench": {
        None: [{"question": "Which acid is it?", "gold": "ABD", "subject": "chem", "index": 1,
                "type": "MCQ(multiple)"}],
    },
    "baber/agieval": {
        "lsat_ar": [{"passage": "Seven people sit. ", "question": "Who is first?",
                     "options": ["(A)Ann", "(B)Bob"], "label": "A", "solution": None}],
        "logiqa": [{"passage": None, "question": "What follows?", "options": ["(A)x", "(B)y"],
                    "label": "B", "solution": "y"}],
        "aqua_rat": [{"passage": None, "question": "How many apples?", "options": ["(A)1"],
                      "label": "A", "solution": "One."}],
        "math_agieval": [
            {"passage": None, "question": "The hardest level?", "options": None, "label": None,
             "answer": "5", "solution": "Five.", "level": 5},
            {"passage": None, "question": "The easy level?", "options": None, "label": None,
             "answer": "1", "solution": "One.", "level": 1},
        ],
    },
    "simplescaling/s1-prob": {None: [{"question": "Is it a martingale?", "solution": "Yes."}]},
    "Idavidrein/gpqa": {
        "gpqa_extended": [GPQA_ROW, GPQA_ROW | {"Question": "In diamond too?"}],
        "gpqa_diamond": [GPQA_ROW | {"Question": "In diamond too?"}],
    },
    "0xharib/xword1": {
        None: [
            {"instruction": "Solve.", "input": "### Clue: Odd tree (3)",
             "output": "### Answer: ELM ### Explanation: it is."},
            {"instruction": "Solve.", "input": "no clue at all", "output": "### Answer: X"},
        ],
    },
    "codegenning/usacobench_formatted": {None: [{"question": "\nCows in line.\n"}]},
    "simplescaling/s1-teasers": {None: [{"Question": " Flip a coin? ", "Answer": "Yes."}]},
    "livecodebench/code_generation_lite": {
        "release_v2": [
            {"question_content": "Hard strings. ", "difficulty": "hard"},
            {"question_content": "Easy strings.", "difficulty": "easy"},
        ],
    },
    "qq8933/AIME_1983_2024": {
        None: [
            {"ID": "2022-II-3", "Year": 2022, "Question": "Find x+y.", "Answer": "154"},
            {"ID": "2023-I-1", "Year": 2023, "Question": "Find the day.", "Answer": "7"},
        ],
    },
}
# fmt: on


def load(hub: str, part: Part) -> list[dict[str, Any]]:
    return ROWS.get(hub, {}).get(part.config, [])


def rows(name: str) -> list[dict[str, Any]]:
    return sorted(from_hub(SOURCES[name], load), key=lambda row: str(row["question"]))


def cells(name: str, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row.get(column) for column in columns) for row in rows(name)]


def test_the_table_is_the_papers():
    assert len(SOURCES) == 16
    assert sum(source.published for source in SOURCES.values()) == 59_029


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_valid_rows_that_remember_where_they_came_from(name: str):
    table, rejected = validate(rows(name))
    assert len(table) >= 1
    assert set(table["source"]) == {name}
    assert set(rejected["reason"]) <= {"no question"}
    assert all(isinstance(json.loads(text), dict) for text in table["metadata"])


def test_olympic_arena_keeps_english_text_and_files_code_apart():
    assert cells("OlympicArena", "question", "cot_type", "source_type", "solution") == [
        ("Prove it now.", "math", "GAIR/OlympicArena/Math", "Done."),
        ("Sort it fast.", "coding", "GAIR/OlympicArena/CS", None),
    ]


def test_theoremqa_leaves_pictures_out():
    assert cells("TheoremQA", "question", "answer", "source_type") == [
        ("How many trees?", "[1, 2]", "TIGER-Lab/TheoremQA/list of integer")
    ]


def test_numina_takes_the_forum_and_the_earlier_500():
    assert cells("NuminaMATH", "question", "source_type") == [
        ("From a forum?", "AI-MO/NuminaMath-CoT/aops_forum"),
        ("One of 500?", "AI-MO/NuminaMath-CoT/olympiads"),
    ]


def test_scieval_turns_its_prompts_into_questions():
    assert set(cells("SciEval", "question", "solution", "cot_type")) == {
        ("Reactant: CO\nWhat is the optimal solvent?", "CCO", "science"),
        ("What ails him?", "B", "health science"),
        ("What moves?\n\nA. x\nB. y", "A", "science"),
    }


def test_scieval_shares_its_quota_over_tasks():
    base = ROWS["OpenDFM/SciEval"][None][2]
    many = [
        base | {"question": f"{task} number {i}?", "task_name": task, "topic": "t"}
        for task in ("MedQA", "PubMedQA", "SocraticQA", "reagent selection")
        for i in range(300 if task == "MedQA" else 100)
    ]
    chosen = from_hub(SOURCES["SciEval"], lambda hub, part: many)
    counts = pd.Series([json.loads(row["metadata"])["task_name"] for row in chosen]).value_counts()
    assert len(chosen) == 250
    assert counts.max() <= 63


def test_olympiadbench_takes_the_first_solution_or_none():
    assert cells("OlympiadBench", "solution", "answer", "source_type") == [
        ("Two metres.", "2", "Hothan/OlympiadBench/Open-ended/Physics"),
        (None, None, "Hothan/OlympiadBench/Theorem proof/Math"),
    ]


def test_jeebench_files_chemistry_under_science():
    assert cells("JEEBench", "answer", "cot_type") == [("ABD", "science")]


def test_agieval_spells_questions_as_the_reference_does():
    assert set(cells("AGIEval", "question", "cot_type", "answer")) == {
        ("How many apples?", "math", "A"),
        ("Seven people sit.Who is first?\n(A)Ann\n(B)Bob", "english", "A"),
        ("The hardest level?", "math", "5"),
        ("What follows?\n(A)x\n(B)y", "math", "B"),
    }


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("MATH", {"simplescaling/openaimath/Algebra"}),
        ("SciEval", {"OpenDFM/SciEval/chemistry/filling/reagent selection",
                     "OpenDFM/SciEval/physics/multiple-choice/SocraticQA",
                     "OpenDFM/SciEval/biology/multiple-choice/MedQA"}),
        ("JEEBench", {"daman1209arora/jeebench/chem"}),
        ("AGIEval", {"baber/agieval/lsat_ar", "baber/agieval/logiqa", "baber/agieval/aqua_rat",
                     "baber/agieval/math_agieval"}),
    ],
)  # fmt: skip
def test_a_source_type_ends_in_the_kinds_that_the_reference_tells_apart(name, kinds):
    assert {kind for (kind,) in cells(name, "source_type")} == kinds


def test_gpqa_lists_its_options_and_leaves_diamond_out():
    (row,) = rows("GPQA")
    head, _, options = row["question"].partition("\nAnswer Choices:\n")
    listed = dict(line.split(" ", 1) for line in options.splitlines())
    assert head == "Which gas is noble?\n"
    assert sorted(listed.values()) == ["Argon", "Hydrogen", "Nitrogen", "Oxygen"]
    assert listed[f"({row['answer']})"] == "Argon"
    assert row["solution"] == f"Argon is.\n\nAnswer: {row['answer']}"


def test_the_order_of_gpqa_options_does_not_depend_on_other_rows():
    alone = from_hub(
        SOURCES["GPQA"], lambda hub, part: [GPQA_ROW] if part.config == "gpqa_extended" else []
    )
    assert alone[0]["question"] == rows("GPQA")[0]["question"]


def test_a_crossword_gets_the_instruction_and_a_row_without_a_clue_is_counted():
    table, rejected = validate(rows("xword"))
    assert table["question"][0].endswith("\n\nOdd tree (3)")
    assert table["answer"][0] == "ELM"
    assert rejected["reason"].tolist() == ["no question"]


def test_code_has_no_reference_solution():
    assert cells("USACO", "question", "solution") == [("Cows in line.", None)]
    assert cells("LiveCodeBench", "question", "solution", "source_type") == [
        ("Hard strings.", None, "LiveCodeBench/release_v2")
    ]


def test_aime_stops_at_2022():
    assert cells("AIME", "question", "answer") == [("Find x+y.", "154")]


def test_a_source_whose_columns_changed_says_which():
    with pytest.raises(RunError, match=r"row 0 of JEEBench \(.*jeebench\) has no column gold"):
        from_hub(SOURCES["JEEBench"], lambda hub, part: [{"question": "q", "subject": "phy"}])


def with_cell(name: str, column: str, value: Any) -> Callable[[str, Part], list[dict[str, Any]]]:
    """The rows of a source with one cell changed in the last row of each part that has it."""

    def read(hub: str, part: Part) -> list[dict[str, Any]]:
        found = load(hub, part)
        if hub != SOURCES[name].hub or not found or column not in found[-1]:
            return found
        return [*found[:-1], found[-1], {**found[-1], column: value}]

    return read


def without(name: str, column: str) -> Callable[[str, Part], list[dict[str, Any]]]:
    def read(hub: str, part: Part) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k != column} for row in load(hub, part)]

    return read


CELLS = [
    (name, part, column, kind)
    for name, source in SOURCES.items()
    for part in source.parts
    for column, kind in {**source.columns, **part.columns}.items()
    if load(source.hub, part)
]


@pytest.mark.parametrize(("name", "part", "column", "kind"), CELLS)
def test_any_empty_cell_is_a_counted_row_or_an_empty_feature(name, part, column, kind):
    source = replace(SOURCES[name], parts=(part,))
    table, rejected = validate(from_hub(source, with_cell(name, column, None)))
    before, _ = validate(from_hub(source, load))
    if isinstance(None, kind):
        assert not any("column" in reason for reason in rejected["reason"])
    else:
        assert f"nothing in column {column}" in rejected["reason"].tolist()
    assert set(before["question"]) <= set(table["question"])


@pytest.mark.parametrize(("name", "part", "column", "kind"), CELLS)
def test_any_missing_column_is_one_sentence_with_source_row_and_column(name, part, column, kind):
    source = replace(SOURCES[name], parts=(part,))
    with pytest.raises(RunError, match=rf"row 0 of .* has no column {column}: .*revisions.json"):
        from_hub(source, without(name, column))


@pytest.mark.parametrize(
    ("name", "column", "value", "found"),
    [
        ("AIME", "ID", 2021, "int"),
        ("AGIEval", "options", "(A) x", "str"),
        ("USACO", "question", {"text": "Cows"}, "dict"),
        ("xword", "output", ["ELM"], "list"),
    ],
)
def test_a_column_of_another_type_is_an_error_and_not_a_row(name, column, value, found):
    with pytest.raises(RunError, match=rf"row \d of {name} .* has {found} in column {column}: "):
        from_hub(SOURCES[name], with_cell(name, column, value))


def test_a_column_in_which_nothing_is_left_is_an_error():
    empty = [{"question": None}, {"question": None}]
    with pytest.raises(RunError, match=r"no row of USACO .* has anything in column question"):
        from_hub(SOURCES["USACO"], lambda hub, part: empty)


def test_rows_with_empty_cells_take_no_place_in_a_quota():
    many = [{"input": f"### Clue: {i} is it", "output": "x"} for i in range(1000)]
    holes = [{"input": None, "output": "x"}] * 5
    table, rejected = validate(from_hub(SOURCES["xword"], lambda hub, part: holes + many))
    assert (len(table), len(rejected)) == (1000, 5)


def test_rows_are_shuffled_as_datasets_does_before_a_quota():
    from datasets import Dataset

    many = [{"problem": f"What is {i}?", "solution": "x", "answer": "1"} for i in range(50)]
    ours = [row["question"] for row in from_hub(SOURCES["OmniMath"], lambda hub, part: many)]
    assert ours == Dataset.from_list(many).shuffle(seed=42)["problem"]


def test_the_hub_profile_collects_all_sources_in_the_references_order():
    table = collect(load_profile("paper"), load)
    assert list(dict.fromkeys(table["source"])) == list(SOURCES)
    none = pd.DataFrame(columns=list(REMOVALS))
    assert composition(table, none)["source"].iloc[0] == "NuminaMATH"


def test_an_unknown_source_is_named():
    with pytest.raises(RunError, match="'MATHS', which is no source"):
        collect(load_profile("paper", questions__sources=("MATHS",)), load)


def test_benchmarks_come_in_the_evaluation_layout():
    extra = {
        "simplescaling/aime24_nofigures": [{"problem": "Find n.", "answer": 204}],
        "AI-MO/aimo-validation-aime": [{"problem": "Find m.", "answer": "3"}],
    }

    def with_aime(hub: str, part: Part) -> list[dict[str, Any]]:
        return extra.get(hub) or load(hub, part)

    book = load_profile("paper")
    table = benchmarks(book, with_aime).set_index("benchmark")
    assert table.loc["aime24", "answer"] == "204"
    assert table.loc["gpqa_diamond", "question"].startswith("In diamond too?\n\nA) ")
    against = held_out(book, table.reset_index(), with_aime)
    assert set(against["benchmark"]) <= {item.name for item in BENCHMARKS}
    assert "In diamond too?" in set(against["question"])


@pytest.mark.parametrize(
    ("hub", "column"),
    [
        ("simplescaling/aime24_nofigures", "problem"),
        ("simplescaling/aime24_nofigures", "answer"),
        ("AI-MO/aimo-validation-aime", "problem"),
        ("Idavidrein/gpqa", "Incorrect Answer 2"),
    ],
)
def test_a_benchmark_that_lacks_a_column_or_a_cell_says_which(hub, column):
    book, aime = load_profile("paper"), {"problem": "Find n.", "answer": 204}

    def collected(broken: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        def read(asked: str, part: Part) -> list[dict[str, Any]]:
            found = load(asked, part) or [aime]
            return list(map(broken, found)) if asked == hub else found

        held_out(book, benchmarks(book, read), read)

    with pytest.raises(RunError, match=rf"row 0 of \S+ \({hub}.* nothing in column {column}: "):
        collected(lambda row: {**row, column: None})
    with pytest.raises(RunError, match=rf"row 0 of \S+ \({hub}.* no column {column}: "):
        collected(lambda row: {name: cell for name, cell in row.items() if name != column})


def test_the_hubs_own_parquet_copy_of_a_script_is_read_by_its_folders(tmp_path: Path):
    """Its configurations are folders and have no name there, and `few_shot` is no usual split."""
    for config, found in ROWS["baber/agieval"].items():
        for split, row in zip(("test", "few_shot"), found * 2, strict=False):
            folder = tmp_path / "baber" / "agieval" / str(config) / split
            folder.mkdir(parents=True)
            pd.DataFrame([row]).to_parquet(folder / "0000.parquet")
    parts = tuple(part for part in SOURCES["AGIEval"].parts if part.config in ROWS["baber/agieval"])
    read = from_hub(replace(SOURCES["AGIEval"], parts=parts), hub_loader(str(tmp_path)))
    assert {row["question"] for row in read} == {row["question"] for row in rows("AGIEval")}


def test_why_a_count_differs_says_what_was_removed_for_which_benchmark_or_source():
    kept = pd.DataFrame({"source": ["AIME", "MATH"]})
    removals = pd.DataFrame({"source": ["AIME"] * 3, "against": ["MATH", "aime22-24", "MATH"]})
    why = composition(kept, removals).set_index("source")["why"]
    assert why["AIME"].endswith("; removed: 2 for MATH, 1 for aime22-24")
    assert composition(kept, removals, "world").set_index("source").loc["MATH", "why"] == ""


def test_shares_follow_table_7_and_leave_nobody_out():
    shares = share_out(6500, list(SOURCES))
    assert sum(shares.values()) == 6500
    assert min(shares.values()) >= 4
    assert shares["NuminaMATH"] == pytest.approx(6500 * 30_660 / 59_029, rel=0.02)


def test_a_local_folder_takes_the_place_of_the_hub(tmp_path: Path):
    folder = tmp_path / "simplescaling" / "s1-teasers"
    folder.mkdir(parents=True)
    pd.DataFrame(ROWS["simplescaling/s1-teasers"][None]).to_parquet(folder / "train.parquet")
    read = hub_loader(str(tmp_path))
    assert [row["question"] for row in from_hub(SOURCES["s1-teasers"], read)] == ["Flip a coin?"]


def test_a_copy_that_has_changed_is_read_as_it_is_now(tmp_path: Path):
    """`datasets` caches local files by their path, and once gave the rows of the first reading."""
    file = tmp_path / "simplescaling" / "s1-teasers" / "train.csv"
    file.parent.mkdir(parents=True)
    for question in ("Flip a coin?", "Roll a die?"):
        pd.DataFrame([{"Question": question, "Answer": "Yes."}]).to_csv(file, index=False)
        (row,) = from_hub(SOURCES["s1-teasers"], hub_loader(str(tmp_path)))
        assert row["question"] == question


def test_a_data_set_that_cannot_be_built_says_why(tmp_path: Path):
    """Not that "an error occurred while generating the dataset"."""
    folder = tmp_path / "simplescaling" / "s1-teasers"
    folder.mkdir(parents=True)
    (folder / "train.json").write_text('[{"Question": 1')
    with pytest.raises(RunError, match=r"s1-teasers cannot be loaded \((?!An error occurred)"):
        from_hub(SOURCES["s1-teasers"], hub_loader(str(tmp_path)))


def test_a_smaller_pool_takes_the_first_rows_of_each_source_of_the_hub():
    many = [{"problem": f"What is {i}?", "solution": "x", "answer": "1"} for i in range(100)]
    book = load_profile("paper", questions__pool=70, questions__sources=("OmniMath",))
    whole = [row["question"] for row in from_hub(SOURCES["OmniMath"], lambda hub, part: many)]
    assert collect(book, lambda hub, part: many)["question"].tolist() == whole[:70]


def test_a_script_in_a_dataset_is_not_run(tmp_path: Path):
    folder = tmp_path / "simplescaling" / "s1-teasers"
    folder.mkdir(parents=True)
    flag = tmp_path / "ran"
    (folder / "s1-teasers.py").write_text(f"open({str(flag)!r}, 'w')")
    with pytest.raises(RunError, match="simplescaling/s1-teasers cannot be loaded"):
        from_hub(SOURCES["s1-teasers"], hub_loader(str(tmp_path)))
    assert not flag.exists()


def test_the_world_gives_what_was_asked_for():
    pytest.importorskip("s1lib.world.sources")
    table = collect(load_profile("smoke"))
    counts: dict[str, int] = defaultdict(int, table["source"].value_counts())
    assert {name: counts[name] for name in SOURCES} == share_out(400, list(SOURCES))
