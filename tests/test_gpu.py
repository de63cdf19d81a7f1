"""The profile `gpu`, chapters 01 to 04, on folders that are laid out as the hub's are."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from book_fixtures import execute
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from s1lib.chat import prompt_ids
from s1lib.curation import deviations
from s1lib.profile import load_profile
from s1lib.questions.hub import CHOSEN, RELEASED
from s1lib.training.fit import GIB, memory, published_lengths, read_shape

SAID = "51"  # whatever it is asked: the number of geometry, and now and then an answer


def parrot(tokenizer: PreTrainedTokenizerBase, folder: Path) -> str:
    """A model that says `SAID` and ends: a table of which id follows which, as a Qwen2."""
    size, width = len(tokenizer), 384
    config = Qwen2Config(
        vocab_size=size,
        hidden_size=width,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    model = Qwen2ForCausalLM(config).eval()
    line = [*prompt_ids(tokenizer, "x")[-1:], *tokenizer.encode(SAID), config.eos_token_id]
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(size, width))
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        for before, after in itertools.pairwise(line):
            model.lm_head.weight[after, before] = 1.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def published(kind: str, number: int) -> dict[str, Any]:
    """A row in the layout of the authors' pool."""
    a, b = number + 3, 2 * number + 5
    asked = {
        "qfq/openaimath/Algebra": (
            f"Let $f(x) = {a}x + {b}$. What is the value of $f({number})$?",
            f"We have $f({number}) = {a * number} + {b} = \\boxed{{{a * number + b}}}$.",
        ),
        "AI-MO/NuminaMath-CoT/aops_forum": (
            f"A triangle has sides ${a}$, ${a + 1}$ and ${a + 2}$. Find its perimeter.",
            f"Adding the three sides gives $3 \\cdot {a} + 3$, hence $\\boxed{{{3 * a + 3}}}$.",
        ),
        "qq8933/AIME_1983_2024": (
            f"How many positive integers below ${a * b}$ are multiples of ${a}$?",
            str(b - 1),
        ),
        "TIGER-Lab/TheoremQA/integer": (
            f"In how many ways can {number + 2} people stand in a line of two?",
            str((number + 2) * (number + 1)),
        ),
        "Idavidrein/gpqa": (
            f"A body falls for {a} s. How far, with g = 10 m/s^2?\nAnswer Choices:\n"
            f"(A) {5 * a * a} m\n(B) {10 * a} m\n(C) {a} m\n(D) {a * a} m",
            "The distance is half of g t squared.\n\nAnswer: A",
        ),
        "codegenning/usacobench_formatted": (
            f"Farmer John has {a} cows in {b} barns. Print the least number of moves.",
            None,
        ),
    }
    question, solution = asked[kind]
    return {
        "solution": solution,
        "question": question,
        "cot_type": "coding" if solution is None else "math",
        "source_type": kind,
        "metadata": str({"level": number, "url": None}),
        "cot": None,
        "thinking_trajectories": [f"Let me see, {question}\n\nWait, once more.\n\n" * (1 + number)],
        "attempt": f"The answer is $\\boxed{{{b - 1}}}$.",
    }


KINDS = (
    "qfq/openaimath/Algebra",
    "AI-MO/NuminaMath-CoT/aops_forum",
    "qq8933/AIME_1983_2024",
    "TIGER-Lab/TheoremQA/integer",
    "Idavidrein/gpqa",
    "codegenning/usacobench_formatted",
)


def lay_out(folder: Path, hub: str, rows: list[dict[str, Any]], split: str = "train") -> None:
    file = folder / hub / "data" / f"{split}-00000-of-00001.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(file)


@pytest.fixture(scope="module")
def executed(tmp_path_factory, tiny_tokenizer) -> Path:
    """The run folder of chapters 01 to 04; GPQA is not among the copies."""
    home = tmp_path_factory.mktemp("gpu")
    hub, run = home / "hub", home / "run"
    pool = [published(kind, number) for number in range(11) for kind in KINDS]
    pool[7]["question"] = None
    lay_out(hub, RELEASED, pool)
    theirs = [row for row in pool[12:48] if row["solution"]]
    grades = [
        {"question": row["question"], "gemini_grade": ("Yes", "No")[place % 2]}
        for place, row in enumerate(theirs)
    ]
    lay_out(hub, CHOSEN, grades)
    year = [{"problem": f"Find the sum of ${n}$ and $24$.", "answer": n + 24} for n in range(30)]
    lay_out(hub, "simplescaling/aime24_nofigures", year)
    lay_out(hub, "AI-MO/aimo-validation-aime", year)
    later = [{"question": f"Find ${n}$ times $25$.", "answer": str(25 * n)} for n in range(30)]
    lay_out(hub, "TIGER-Lab/AIME25", later)
    math = [{"problem": f"What is ${n}^2$?", "answer": str(n * n)} for n in range(50)]
    lay_out(hub, "simplescaling/openaimath", math, "test")
    code = hub / "livecodebench" / "code_generation_lite"
    code.mkdir(parents=True)
    for name in ("test", "test2", "test3", "test4"):
        line = json.dumps({"question_content": f"Read {name} and sort it."})
        (code / f"{name}.jsonl").write_text(line + "\n")
    model = parrot(tiny_tokenizer, home / "parrot")
    profile = {
        "extends": "gpu",
        "questions": {"folder": str(hub), "pool": 66},
        "roles": {"decoder": "torch"},
        "models": {
            "base": model,
            "students": [model, model],
            "classifier": model,
            "limits": {"student": 8, "classifier": 8},
        },
        "selection": {"size": 10, "uniform": 7, "direct_tokens": 50},
        "evaluation": {"rows": 16, "dtype": "float32"},
    }
    (home / "mine.yaml").write_text(yaml.safe_dump(profile))
    execute("--profile", str(home / "mine.yaml"), "--run", str(run), "--to", "04")
    return run


def test_questions_are_the_authors_with_the_sources_of_today(executed):
    questions = pd.read_parquet(executed / "questions.parquet")
    assert len(questions) == 65
    assert set(questions["source"]) == {"MATH", "NuminaMATH", "AIME", "TheoremQA", "GPQA", "USACO"}
    assert set(questions["source_type"][questions["source"] == "MATH"]) == {
        "simplescaling/openaimath/Algebra"
    }
    assert (questions["answer"].notna() == questions["source"].isin(("AIME", "TheoremQA"))).all()


def test_a_gated_benchmark_is_said_and_gone_on_without(executed):
    tests = pd.read_parquet(executed / "benchmarks.parquet")
    assert dict(tests["benchmark"].value_counts()) == {"math500": 50, "aime24": 30, "aime25": 30}
    shown = (executed / "notebooks" / "01_collection.ipynb").read_text()
    assert "without gpqa_diamond: " in shown


def test_traces_are_the_authors_and_nobody_was_asked(executed):
    traces = pd.read_parquet(executed / "traces.parquet")
    assert set(traces["status"]) == {"ok"}
    assert set(traces["teacher"]) == {"gemini-2.0-flash-thinking-exp"}
    assert traces["thinking"].str.contains("Wait, once more").all()
    assert not (executed / "store" / "calls.sqlite").exists()


def test_what_is_not_published_is_graded_and_filed_here(executed):
    grades = pd.read_parquet(executed / "grades.parquet")
    assert {"correct", "wrong"} <= set(grades["verdict"])
    domains = pd.read_parquet(executed / "domains.parquet")
    assert set(domains["domain"]) == {SAID}


def test_the_set_is_the_authors_whatever_our_grades_say_of_it(executed):
    chosen = pd.read_parquet(executed / "s1K.parquet")
    assert len(chosen) == 30
    assert set(pd.read_parquet(executed / "draws.parquet")["phase"]) == {"direct"}
    facts = json.loads((executed / "facts" / "04.json").read_text())
    assert facts["right_traces"]["value"] == 50.0
    for name in ("random", "diverse", "longest"):
        assert len(pd.read_parquet(executed / "sets" / f"{name}.parquet")) == 10


@pytest.mark.parametrize(("name", "gigabytes"), [("0.5B", 24), ("1.5B", 48), ("3B", 80)])
def test_a_base_model_fits_on_one_gpu_of_each_size_by_count(name, gigabytes):
    recipe = load_profile("gpu").training
    row = max(published_lengths(extra=500)) * recipe.micro_batch
    needs = memory(read_shape(f"Qwen/Qwen2.5-{name}-Instruct"), recipe, row, 4).total / GIB
    assert 0.5 * gigabytes < needs < 0.8 * gigabytes


def test_its_deviations_are_listed():
    here = deviations(load_profile("gpu")).set_index("what")["here"]
    assert here["phases"] == "published"
    assert here["grader"] == "local"
    assert here["what it is told of the areas"] == "the 61 titles, asked once"
