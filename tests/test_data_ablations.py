"""Chapter 09 on the smoke profile: what it trained, who answered, and what the ledger reads."""

from __future__ import annotations

import pandas as pd
import pytest

from s1lib.artifacts import read_facts
from s1lib.profile import load_profile
from s1lib.results import points

BOOK = load_profile("smoke")


def test_every_model_answers_every_problem_once(smoke_run):
    record = pd.read_parquet(smoke_run / "records" / "09.parquet")
    tests = pd.read_parquet(smoke_run / "benchmarks.parquet")
    models = {"base", "s1", "random", "diverse", "longest", "full", "cut"}
    assert set(record["model"]) == models | {f"n{n}" for n in BOOK.ablations.examples}
    assert not record.duplicated(["model", "benchmark", "id"]).any()
    assert len(record) == record["model"].nunique() * len(tests)


def test_the_parts_are_samples_of_the_selected_set(smoke_run):
    whole = pd.read_parquet(smoke_run / "s1K.parquet").set_index("id")["text"]
    for n in BOOK.ablations.examples:
        part = pd.read_parquet(smoke_run / "ablations" / f"n{n}.parquet")
        assert len(part) == n and part["id"].is_unique
        assert (whole.loc[part["id"]].to_numpy() == part["text"].to_numpy()).all()


def test_three_in_four_traces_are_cut_and_lose_their_end(smoke_run):
    whole = pd.read_parquet(smoke_run / "s1K.parquet").set_index("id")["text"]
    cut = pd.read_parquet(smoke_run / "ablations" / "cut.parquet").set_index("id")["text"]
    lost = cut != whole.loc[cut.index]
    assert lost.mean() == pytest.approx(BOOK.ablations.cut, abs=0.05)
    assert not cut[lost].str.endswith("<|im_end|>\n").any()
    assert all(whole[name].startswith(text[:-1]) for name, text in cut.items())


def test_the_curve_starts_at_the_base_model_and_ends_at_the_whole_pool(smoke_run):
    facts = read_facts(smoke_run, "09")
    pool = len(pd.read_parquet(smoke_run / "sets" / "full.parquet"))
    expected = [0, *BOOK.ablations.examples, BOOK.selection.size, pool]
    for benchmark in BOOK.questions.benchmarks:
        found = {
            one.setting.model: one.setting.examples
            for one in points({"09": facts})
            if one.benchmark == benchmark
        }
        assert [found[name] for name in facts["curve"]] == expected
    assert facts["curve"][0] == "base" and facts["curve"][-1] == "full"
