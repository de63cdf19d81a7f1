"""Folders laid out as the hub lays out each data set of the book, with rows of our own writing.

Plain files (CSV, JSON, JSON lines), Parquet in `data/`, named configurations (a README says which
files are theirs), the Parquet branch of a script, shards, pictures, and rows as they should not
be: empty cells, duplicates, other languages, questions longer than any window.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

Row = dict[str, Any]
Worked = tuple[str, str, str]  # question, solution, answer


def boxed(question: str, work: str, answer: object) -> Worked:
    return question, f"{work} Therefore the answer is $\\boxed{{{answer}}}$.", str(answer)


def linear(n: int) -> Worked:
    x, a, b = n % 9 + 1, n + 2, 2 * n + 5
    left = f"${a}x + {b} = {a * x + b}$"
    return boxed(f"Solve {left} for the number $x$.", f"Then ${a}x = {a * x}$.", x)


def power(n: int) -> Worked:
    value = pow(n + 2, 3, 11)
    return boxed(
        f"What is the remainder when the cube of ${n + 2}$ is divided by eleven?",
        f"The cube is ${(n + 2) ** 3}$ and leaves ${value}$.",
        value,
    )


def triangle(n: int) -> Worked:
    return boxed(
        f"A triangle has sides ${n + 3}$, ${n + 4}$ and ${n + 5}$. Determine its perimeter.",
        f"We add: ${n + 3} + {n + 4} + {n + 5}$.",
        3 * n + 12,
    )


def digits(n: int) -> Worked:
    value = sum(map(int, str(7 * n + 13)))
    return boxed(
        f"Compute the sum of the decimal digits of ${7 * n + 13}$, a positive integer.",
        "We add them one by one.",
        value,
    )


def divisors(n: int) -> Worked:
    value = sum((n + 6) % k == 0 for k in range(1, n + 7))
    return boxed(
        f"How many positive integers divide ${n + 6}$ without a remainder?",
        "We try all of them.",
        value,
    )


def urn(n: int) -> Worked:
    return boxed(
        f"An urn holds {n + 1} red balls and {n + 2} blue ones; one is drawn. Give the chance that "
        "it is red as a common fraction in lowest terms.",
        f"There are {2 * n + 3} balls.",
        f"\\frac{{{n + 1}}}{{{2 * n + 3}}}",
    )


def fall(n: int) -> Worked:
    return boxed(
        f"A stone falls freely for {n + 1} s with g = 10 m/s^2. How many metres is that?",
        "Half of g times the square of the time.",
        5 * (n + 1) ** 2,
    )


def proof(n: int) -> Worked:
    question = (
        f"Prove that the product of any {n + 2} consecutive integers is divisible by {n + 2}."
    )
    return question, f"One of {n + 2} consecutive integers is a multiple of {n + 2}. $\\square$", ""


def mole(n: int) -> Worked:
    return (
        f"How many protons has an atom of the element with atomic number {n + 3}?",
        "The atomic number counts the protons.",
        str(n + 3),
    )


def code(n: int) -> Worked:
    story = f"Farmer John's {n + 3} cows stand in a line, and cow i gives m_i litres of milk. "
    rules = "Read N (1 <= N <= 1e5), then N integers. Print the largest sum of a run of cows.\n\n"
    sample = "\n".join(f"{k}: {k * n % 17}" for k in range(8 if n % 5 else 400))
    return f"{story}{rules}SAMPLE INPUT:\n{sample}\n", "", ""


def many(kind: Callable[[int], Worked], count: int, start: int = 0) -> list[Worked]:
    return [kind(n) for n in range(start, start + count)]


def gpqa(n: int) -> Row:
    asked = (
        f"A spin-{n + 1}/2 particle sits in a uniform magnetic field. How many levels are there?\n",
        f"Which of the following best describes the product of step {n + 1} of the synthesis?",
    )[n % 2]
    return {
        "Pre-Revision Question": None,
        "Question": asked,
        "Correct Answer": f"{n + 2} levels\n" if n % 2 == 0 else f"compound {n}, an aldehyde",
        "Incorrect Answer 1": f"{n + 1}" if n % 3 else "one level",
        "Incorrect Answer 2": f"{2 * n + 9} of them",
        "Incorrect Answer 3": "none\n",
        "Explanation": "There are as many as projections." if n % 3 else None,
        "Subdomain": "Quantum Mechanics",
        "High-level domain": ("Physics", "Chemistry", "Biology")[n % 3],
        "Record ID": f"rec{n}",
    }


def picture() -> Any:
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (4, 4), "white").save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


# --- files


def parquet(folder: Path, name: str, rows: Sequence[Row], shards: int = 1, **kinds: Any) -> None:
    """`<name>-00000-of-0000N.parquet`; `kinds` are features that Parquet alone does not know."""
    from datasets import Dataset

    for shard in range(shards):
        table = Dataset.from_list(list(rows[shard::shards]))
        for column, kind in kinds.items():
            table = table.cast_column(column, kind)
        file = folder / f"{name}-{shard:05d}-of-{shards:05d}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(file)


def text(folder: Path, name: str, words: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(words, encoding="utf-8")


def json_lines(folder: Path, name: str, rows: Sequence[Row]) -> None:
    text(folder, name, "".join(f"{json.dumps(row)}\n" for row in rows))


def readme(folder: Path, configs: Mapping[str, Mapping[str, str]]) -> None:
    """The card that says which files a configuration has, split by split."""
    lines = ["---", "license: mit", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, path in splits.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    text(folder, "README.md", "\n".join([*lines, "---", "# A data set", ""]))


# --- the data sets that chapter 01 of `paper` collects


def questions(hub: Path) -> None:
    """The sixteen sources of Table 7, and what two of them are compared with."""
    from datasets import Image, List, Value

    string = Value("string")
    math = [
        {"problem": q, "solution": s, "answer": a, "subject": subject, "level": n % 5 + 1,
         "unique_id": f"train/{subject.lower()}/{n}.json"}
        for subject, kind in (("Algebra", linear), ("Number Theory", divisors))
        for n, (q, s, a) in enumerate(many(kind, 24))
    ]  # fmt: skip
    parquet(hub / "simplescaling/openaimath/data", "train", [*math, math[0]])

    arena = hub / "GAIR/OlympicArena"
    subjects = ("Math", "Physics", "Chemistry", "Biology", "Geography", "Astronomy", "CS")
    readme(arena, {s: {"test": f"{s}/test-*", "val": f"{s}/val-*"} for s in subjects})
    for number, subject in enumerate(subjects):
        for split, count in (("test", 3), ("val", 4)):
            rows = [
                {"id": f"{subject}_{n}", "problem": f"({subject}, {split}) {q}",
                 "answer": [a] if split == "val" else None, "subject": subject,
                 "solution": s if split == "val" else None,
                 "language": "ZH" if n == 0 else "EN",
                 "modality": "multi-modal" if n == 1 else "text-only"}
                for n, (q, s, a) in enumerate(many(mole, count, 50 + 10 * number))
            ]  # fmt: skip
            parquet(arena / subject, split, rows, answer=List(string), solution=string)

    theorem = [
        {"Question": q, "Answer": a, "Answer_type": kind, "Picture": picture() if n == 3 else None}
        for kind, work in (("integer", power), ("option", mole))
        for n, (q, _, a) in enumerate(many(work, 12, 200))
    ]
    parquet(hub / "TIGER-Lab/TheoremQA/data", "test", theorem, Picture=Image())

    numina = [
        {"source": source, "problem": q, "solution": s,
         "messages": [{"content": q, "role": "user"}]}
        for source, kind, count in (
            ("aops_forum", triangle, 30), ("aops_forum", proof, 20), ("olympiads", urn, 6),
            ("synthetic_math", digits, 6),
        )
        for q, s, _ in many(kind, count)
    ]  # fmt: skip
    numina[4]["problem"], numina[5]["solution"] = f"**p2.** {numina[4]['problem']}", ""
    parquet(hub / "AI-MO/NuminaMath-CoT/data", "train", numina, shards=3)
    parquet(hub / "AI-MO/NuminaMath-CoT/data", "test", numina[:2])
    listed = [{"problem": row["problem"]} for row in numina if row["source"] == "olympiads"]
    parquet(hub / "simplescaling/numinamath_500/data", "train", listed)

    omni = [
        {"domain": ["Mathematics -> Algebra"], "difficulty": 8.0, "problem": f"Let $n={n}$. {q}",
         "solution": s, "answer": a, "source": "imo_shortlist"}
        for n, (q, s, a) in enumerate(many(urn, 24, 40))
    ]  # fmt: skip
    json_lines(hub / "KbsdJames/Omni-MATH", "test.jsonl", omni)

    science = hub / "OpenDFM/SciEval"
    readme(science, {"default": {"test": "test.json", "validation": "valid.json"}})
    tasks = (("reagent selection", None), ("SocraticQA", "physics"), ("SocraticQA", "biology"),
             ("MedQA", None))  # fmt: skip
    for split, first in (("test", 0), ("valid", 12)):
        rows = [
            {"question": f"Case {n}: {asked}\n\nAnswer:", "answer": answer, "type": "filling",
             "category": "chemistry", "topic": tasks[n % 4][1], "task_name": tasks[n % 4][0],
             "ability": "Basic Knowledge", "id": f"{n}"}
            for n in range(first, first + 12)
            for asked in ["Reactant: CCO\nOptimal solvent:" if n % 4 == 0 else "What is observed?"]
            for answer in [None if n == 5 and split == "test" else [f"C{n}"]]
        ]  # fmt: skip
        text(science, f"{split}.json", json.dumps(rows))

    olympiad = hub / "Hothan/OlympiadBench"
    names = [
        f"{kind}_{what}_en_COMP" for kind in ("OE_TO", "TP_TO") for what in ("maths", "physics")
    ]
    readme(olympiad, {n: {"train": f"OlympiadBench/{n}/{n}.parquet"} for n in names})
    for number, name in enumerate(names):
        rows = [
            {"id": n, "question": f"Olympiad {number}: {q}", "solution": [s] if n % 4 else [],
             "final_answer": [a] if a else None, "context": None, "unit": None,
             "question_type": "Open-ended" if a else "Theorem proof",
             "subject": "Math" if "maths" in name else "Physics"}
            for kind in [fall if name.startswith("OE") else proof]
            for n, (q, s, a) in enumerate(many(kind, 6, 30 + 10 * number))
        ]  # fmt: skip
        file = olympiad / "OlympiadBench" / name / f"{name}.parquet"
        file.parent.mkdir(parents=True)
        pd.DataFrame(rows).to_parquet(file)

    jee = [
        {"subject": ("phy", "chem", "math")[n % 3], "description": "JEE Adv 2016 Paper 1",
         "gold": "ABCD"[n % 4], "index": n, "type": "MCQ",
         "question": f"Four statements on process {n} are given. Which holds?\n(A) rises (B) falls"}
        for n in range(20)
    ]  # fmt: skip
    parquet(hub / "daman1209arora/jeebench/data", "test", jee)

    agi = hub / "baber/agieval"  # the hub's Parquet copy of a script: <config>/<split>/0000.parquet
    for config in ("sat_en", "sat_math", "lsat_ar", "lsat_lr", "lsat_rc", "logiqa", "aqua_rat",
                   "math_agieval"):  # fmt: skip
        for split, count in (("test", 4), ("few_shot", 1)):
            rows = [
                {"question": f"Item {n} of {config}, {split}: which option is it?",
                 "passage": None if "math" in config else f"In {config} seven people sit. ",
                 "options": None if config == "math_agieval" else ["(A)Ann", "(B)Bob", "(C)Cy"],
                 "label": None if config == "math_agieval" else "ABC"[n % 3], "level": 5,
                 "answer": str(n), "solution": f"It is {n}."}
                for n in range(count)
            ]  # fmt: skip
            file = agi / config / split / "0000.parquet"
            file.parent.mkdir(parents=True)
            pd.DataFrame(rows).to_parquet(file)

    for name, ask in (("s1-prob", "Is the process $X_{0}$ a martingale?"),):
        rows = [{"question": ask.format(n), "solution": f"Yes, by step {n}."} for n in range(20)]
        parquet(hub / f"simplescaling/{name}/data", "train", rows)
    teasers = [
        {
            "Question": f" You bet on {n} fair coins at once. What is it worth? ",
            "Answer": f"{n / 2}",
        }
        for n in range(23)
    ]
    parquet(hub / "simplescaling/s1-teasers/data", "train", teasers)

    gpqas = [gpqa(n) for n in range(36)]
    experts = hub / "Idavidrein/gpqa"
    parts = {"gpqa_extended": gpqas, "gpqa_main": gpqas[:24], "gpqa_diamond": gpqas[:12]}
    readme(experts, {name: {"train": f"{name}.csv"} for name in parts})
    for name, rows in parts.items():
        pd.DataFrame(rows).to_csv(experts / f"{name}.csv", index=False)

    words = [
        {"instruction": "Solve it.", "input": f"### Clue: Odd tree, number {n} ({n % 5 + 3})",
         "output": f"### Answer: {'ELM' * (n % 3 + 1)} ### Explanation: it is." if n else None}
        for n in range(24)
    ]  # fmt: skip
    words[9]["input"] = "no clue at all"
    parquet(hub / "0xharib/xword1/data", "train", words)

    cows = [{"question": f"\n{q}", "problem_id": f"{n}_gold"} for n, (q, _, _) in
            enumerate(many(code, 20))]  # fmt: skip
    parquet(hub / "codegenning/usacobench_formatted/data", "test", cows)

    aime = [
        {"ID": f"{year}-{'' if year < 2000 else 'II-'}{n}", "Year": year, "Problem Number": n,
         "Question": f"In {year}, let $k={n}$. {q}", "Answer": int(a), "Part": None}
        for year in range(1983, 2025, 4) for n, (q, _, a) in enumerate(many(digits, 3, year), 1)
    ]  # fmt: skip
    old = hub / "qq8933/AIME_1983_2024"
    old.mkdir(parents=True)
    pd.DataFrame(aime).to_csv(old / "AIME_Dataset_1983_2024.csv", index=False)


# --- benchmarks, and what else no question may resemble


def benchmarks(hub: Path) -> None:
    """AIME of two years, MATH500, and what is held out; GPQA is among the questions."""
    for name, column, lead in (
        ("simplescaling/aime24_nofigures", "problem", "For the contest, "),
        ("TIGER-Lab/AIME25", "question", "One year later, "),
        ("AI-MO/aimo-validation-aime", "problem", "Before that, "),
    ):
        rows = [
            {
                "id": n,
                column: f"{lead}{q[0].lower()}{q[1:]}",
                "answer": a,
                "solution": s,
                "year": "x",
            }
            for n, (q, s, a) in enumerate(many(power, 12, 900))
        ]
        parquet(hub / name / "data", "train", rows)
    tests = [
        {"problem": f"On a test: {q}", "solution": s, "answer": a, "subject": "Algebra",
         "level": 1, "unique_id": f"test/algebra/{n}.json"}
        for n, (q, s, a) in enumerate([*many(linear, 10, 700), *many(urn, 6, 80)])
    ]  # fmt: skip
    parquet(hub / "simplescaling/openaimath/data", "test", tests)
    live = hub / "livecodebench/code_generation_lite"
    for number, name in enumerate(("test", "test2", "test3", "test4")):
        rows = [
            {"question_title": f"T{n}", "question_content": f"String {number}.{n}: {q}",
             "platform": "leetcode", "difficulty": ("hard", "easy")[n % 2], "starter_code": "",
             "public_test_cases": "[]", "private_test_cases": "eJx" * 500, "metadata": "{}"}
            for n, (q, _, _) in enumerate(many(code, 6, 100))
        ]  # fmt: skip
        json_lines(live, f"{name}.jsonl", rows)
    text(live, "code_generation_lite.py", "raise SystemExit('a script that nobody may run')\n")


# --- what the authors published, for `gpu`

KINDS: dict[str, tuple[Callable[[int], Worked], str]] = {
    "qfq/openaimath/Algebra": (linear, "math"),
    "AI-MO/NuminaMath-CoT/aops_forum": (triangle, "math"),
    "qq8933/AIME_1983_2024": (digits, "math"),
    "TIGER-Lab/TheoremQA/integer": (divisors, "math"),
    "Idavidrein/gpqa": (fall, "science"),
    "codegenning/usacobench_formatted": (code, "coding"),
}


def thought(question: str, answer: str, length: int) -> str:
    """A trace as a teacher writes it: it slips, looks again, and comes to the answer."""
    begins = f"Okay, let me see. {question.strip()[:80]}\n\nI try to work it out step by step."
    doubts = "\n\n".join(
        f"Wait, once more. In step {k} I had {k * 7 % 11}. Hmm, that is not right."
        for k in range(length)
    )
    return f"{begins}\n\n{doubts}\n\nSo it is {answer or 'done'}."


def published(hub: Path) -> None:
    """The pool of 59K with Gemini's traces in two shards, and s1K-1.1 with its grades."""
    rows = []
    for number in range(16):
        for kind, (work, cot_type) in KINDS.items():
            question, solution, answer = work(number)
            if kind.startswith("Idavidrein"):
                question += f"\nAnswer Choices:\n(A) {answer} m\n(B) {number} m\n(C) 1 m\n(D) 2 m"
                solution, answer = f"{solution}\n\nAnswer: A", "A"
            bare = kind.startswith(("qq8933", "TIGER"))
            rows.append(
                {
                    "solution": (answer if bare else solution) or None,
                    "question": question,
                    "cot_type": cot_type,
                    "source_type": kind,
                    "metadata": str({"level": number, "url": None}),
                    "cot": None,
                    "thinking_trajectories": [thought(question, answer, 1 + number)],
                    "attempt": f"The answer is $\\boxed{{{answer if number % 3 else 99}}}$.",
                }
            )
    rows[7]["question"] = None
    parquet(hub / "simplescaling/data_ablation_full59K/data", "train", rows, shards=2)
    chosen = [row for row in rows[18:66] if row["solution"]]
    graded = [
        {**{k: row[k] for k in ("question", "solution", "cot_type", "source_type", "metadata")},
         "gemini_grade": ("Yes", "No")[n % 2], "gemini_grade_reason": "as it is",
         "deepseek_grade": "Yes"}
        for n, row in enumerate(chosen)
    ]  # fmt: skip
    parquet(hub / "simplescaling/s1K-1.1/data", "train", graded)


def texts() -> list[Worked]:
    """Questions with their work and answers, for whoever trains a tiny model on their language."""
    kinds = (linear, power, triangle, digits, divisors, urn, fall, mole, proof)
    return [one for kind in kinds for one in many(kind, 40)]
