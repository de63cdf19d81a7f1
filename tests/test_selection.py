"""Selection: seeded, independent of the order of rows, and every draw can be replayed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from s1lib.artifacts import RunError, write_table
from s1lib.questions.schema import question_id
from s1lib.selection import (
    DRAWS,
    SET_COLUMNS,
    benchmark_weights,
    bucket,
    direct,
    diverse_set,
    longest_set,
    power_law,
    random_set,
    replay,
    select,
    step_conditional,
    steps,
    token_conditional,
    training_set,
    truncated,
)


def make_pool(n: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    questions = [f"Question number {i} of {seed}?" for i in range(n)]
    return pd.DataFrame(
        {
            "id": [question_id(q) for q in questions],
            "question": questions,
            "solution": "4",
            "answer": "4",
            "cot_type": "math",
            "source_type": "x/y",
            "source": rng.choice(["MATH", "AIME", "GPQA", "xword"], n, p=[0.2, 0.05, 0.05, 0.7]),
            "metadata": "{}",
            "thinking": "x=1:7 no.\n\nx=2:14 yes.\n\nWait, check. So 2.",
            "attempt": "Final Answer: 2",
            "thinking_tokens": rng.integers(1, 40, n),
            "teacher_correct": rng.random(n) < 0.6,
            "domain": rng.choice(["05", "11", "26", "60"], n, p=[0.6, 0.3, 0.08, 0.02]),
        }
    )


def choose(pool: pd.DataFrame, **changes):
    arguments = {"size": 200, "uniform": 120, "direct_tokens": 35, "seed": 0} | changes
    return select(pool, **arguments)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    files = []
    for name in "ab":
        chosen, draws = choose(make_pool())
        files.append(
            [
                write_table(tmp_path / f"{name}{i}.parquet", table).read_bytes()
                for i, table in enumerate((chosen, draws))
            ]
        )
    assert files[0] == files[1]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_does_not_matter(seed: int):
    pool = make_pool()
    shuffled = pool.sample(frac=1, random_state=seed).reset_index(drop=True)
    for mode in ("reference", "paper"):
        one, two = choose(pool, mode=mode), choose(shuffled, mode=mode)
        pd.testing.assert_frame_equal(one[0], two[0])
        pd.testing.assert_frame_equal(one[1], two[1])


def test_another_seed_gives_another_set():
    assert set(choose(make_pool())[0]["id"]) != set(choose(make_pool(), seed=1)[0]["id"])


@pytest.mark.parametrize("mode", ["reference", "paper"])
def test_the_set_has_its_size_and_no_question_twice(mode: str):
    chosen, draws = choose(make_pool(), mode=mode)
    assert len(chosen) == len(draws) == 200
    assert chosen["id"].is_unique and draws["id"].is_unique
    assert chosen["id"].is_monotonic_increasing
    assert tuple(draws.columns) == DRAWS


@pytest.mark.parametrize("mode", ["reference", "paper"])
def test_the_ledger_replays_to_the_set(mode: str):
    pool = make_pool()
    chosen, draws = choose(pool, mode=mode)
    assert replay(pool.sample(frac=1, random_state=3), draws) == chosen["id"].tolist()


def test_a_ledger_of_another_pool_is_refused():
    _, draws = choose(make_pool())
    with pytest.raises(RunError, match="does not fit the pool"):
        replay(make_pool(seed=1), draws)


def test_phases_follow_each_other_and_direct_picks_leave_their_domains():
    pool = make_pool()
    _, draws = choose(pool)
    picks = pool[direct(pool, 35)]
    phases = draws["phase"].value_counts()
    assert phases["direct"] == len(picks)
    assert phases["uniform"] == 120 - len(picks)
    assert phases["weighted"] == 80
    assert list(dict.fromkeys(draws["phase"])) == ["direct", "uniform", "weighted"]
    drawn = draws[draws["phase"] != "direct"]
    assert not set(drawn["id"]) & set(picks["id"])


def test_the_papers_algorithm_draws_domains_uniformly_to_the_end():
    _, draws = choose(make_pool(), mode="paper")
    assert set(draws["phase"]) == {"direct", "uniform"}


def test_direct_picks_need_a_correct_teacher_and_for_math_a_long_trace():
    rows = pd.DataFrame(
        [
            ("AIME", True, 1),
            ("AIME", False, 9),
            ("GPQA", True, 1),
            ("MATH", True, 5),
            ("MATH", True, 6),
            ("MATH", False, 9),
            ("xword", True, 9),
        ],
        columns=["source", "teacher_correct", "thinking_tokens"],
    )
    assert direct(rows, 5).tolist() == [True, False, True, False, True, False, False]


def test_benchmark_weights_scale_gpqa_to_half_of_aime_and_cut():
    rows = pd.DataFrame(
        {
            "source": ["AIME"] * 6 + ["GPQA"] * 4 + ["xword"] * 9,
            "domain": ["11"] * 5 + ["05"] + ["81"] * 3 + ["92"] + ["26"] * 9,
        }
    )
    # scale 0.5 * 6 / 4 = 0.75: three of 81 become int(2.25) = 2, one of 92 becomes 0
    assert benchmark_weights(rows) == {"05": 1 / 8, "11": 5 / 8, "81": 2 / 8}


def test_a_question_that_could_not_be_filed_votes_for_no_domain():
    """The authors' thousand is taken whole, and a small classifier does not file all of it."""
    rows = pd.DataFrame({"source": ["AIME", "AIME", "GPQA"], "domain": ["11", None, None]})
    assert benchmark_weights(rows) == {"11": 1.0}


def test_weights_halve_with_every_rank():
    draws = [power_law(u, 3) for u in np.linspace(0, 1, 7001)[:-1]]
    counts = np.bincount(draws) / len(draws)
    assert counts == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=2e-3)
    assert power_law(0.999999999, 1) == 0
    assert power_law(np.nextafter(1.0, 0.0), 5000) <= 60


def test_within_a_domain_the_longest_traces_come_first_most_often():
    domains = [f"d{i % 500:03}" for i in range(5000)]
    pool = make_pool(5000).assign(domain=domains, source="xword", teacher_correct=False)
    _, draws = choose(pool, size=1500, uniform=1500)
    first = draws.drop_duplicates("domain")["rank"]
    assert (first == 0).mean() == pytest.approx(0.5, abs=0.06)
    assert (first == 1).mean() == pytest.approx(0.25, abs=0.06)


def test_ledger_weights_are_the_probabilities_within_the_domain():
    pool = make_pool(3).assign(domain="11", source="xword")
    _, draws = choose(pool, size=3, uniform=3)
    for left, row in zip((3, 2, 1), draws.itertuples(), strict=True):
        powers = 0.5 ** np.arange(left)
        assert row.weight == pytest.approx(powers[row.rank] / powers.sum())


def test_ties_go_by_id():
    pool = make_pool(50).assign(domain="11", source="xword", thinking_tokens=7)
    assert longest_set(pool, 10)["id"].tolist() == sorted(pool["id"])[:10]


def test_an_empty_domain_is_no_longer_drawn():
    pool = make_pool(40).assign(source="xword")
    chosen, _ = choose(pool, size=40, uniform=40)
    assert len(chosen) == 40


def test_when_benchmark_domains_run_out_the_rest_is_drawn_uniformly():
    pool = make_pool(40).assign(source="xword", domain=["11"] * 5 + ["05"] * 35)
    pool.loc[0, ["source", "teacher_correct"]] = ["AIME", False]
    _, draws = choose(pool, size=30, uniform=3)
    assert draws["phase"].value_counts()["weighted"] <= 5
    assert len(draws) == 30


def test_too_small_a_pool_says_what_to_turn():
    with pytest.raises(RunError, match="199 questions and the set needs 200"):
        choose(make_pool(199))
    with pytest.raises(RunError, match="direct picks do not fit"):
        choose(make_pool(), size=20)
    with pytest.raises(RunError, match="no domain"):
        choose(make_pool().assign(domain=None))


def test_the_rival_sets_are_seeded_and_independent_of_order():
    pool = make_pool()
    shuffled = pool.sample(frac=1, random_state=1)
    for make in (random_set, diverse_set):
        one = make(pool, 100, 0)["id"].tolist()
        assert one == make(shuffled, 100, 0)["id"].tolist() != make(pool, 100, 1)["id"].tolist()
        assert len(set(one)) == 100
    assert longest_set(pool, 100)["thinking_tokens"].min() >= sorted(pool["thinking_tokens"])[-100]


def test_the_diverse_set_spreads_over_domains_and_the_random_one_does_not():
    pool = make_pool()
    diverse = diverse_set(pool, 40, 0)["domain"].value_counts()
    assert diverse["26"] > random_set(pool, 40, 0)["domain"].value_counts().get("26", 0)


def test_training_texts_are_those_of_s1k(tiny_tokenizer):
    table = training_set(make_pool(3), tiny_tokenizer)
    assert tuple(table.columns) == SET_COLUMNS
    row = table.iloc[0]
    assert list(row["thinking_trajectories"]) == ["x=1:7 no.\n\nx=2:14 yes.\n\nWait, check. So 2."]
    assert row["cot"] is None
    assert row["text"] == (
        f"<|im_start|>user\n{row['question']}<|im_end|>\n<|im_start|>assistant\n"
        "<|im_start|>think\nx=1:7 no.\n\nx=2:14 yes.\n\nWait, check. So 2.\n"
        "<|im_start|>answer\nFinal Answer: 2<|im_end|>\n"
    )


@pytest.mark.parametrize(("n", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (1025, 2048)])
def test_buckets_are_powers_of_two(n: int, power: int):
    assert bucket(n) == power


def test_token_conditional_texts_ask_for_the_next_power_of_two(tiny_tokenizer):
    pool = make_pool(2).assign(thinking_tokens=[100, 128])
    table = token_conditional(pool, tiny_tokenizer)
    assert table["budget"].tolist() == [128, 128]
    assert "?\n\nThink for up to 128 tokens.<|im_end|>" in table["text"][0]
    assert "<|im_start|>think\nx=1" in table["text"][0]


def test_step_conditional_texts_count_down_from_the_next_power_of_two(tiny_tokenizer):
    table = step_conditional(make_pool(1), tiny_tokenizer)
    assert table["budget"][0] == 4
    assert table["text"][0].partition("<|im_start|>assistant\n")[2] == (
        "<|im_start|>4 steps left\nx=1:7 no.\n<|im_start|>3 steps left\nx=2:14 yes.\n"
        "<|im_start|>2 steps left\nWait, check. So 2.\n"
        "<|im_start|>answer\nFinal Answer: 2<|im_end|>\n"
    )
    assert "Think for up to 4 steps." in table["text"][0]


def test_steps_are_parts_between_blank_lines():
    assert steps("a\nb\n\nc\n\n\n\nd\n") == ["a\nb", "c", "d"]


def test_truncated_texts_keep_their_first_tokens(tiny_tokenizer):
    rows = training_set(make_pool(2), tiny_tokenizer)
    long = len(tiny_tokenizer.encode(rows["text"][0]))
    whole, short = truncated(rows, tiny_tokenizer, long), truncated(rows, tiny_tokenizer, 20)
    assert not whole["cut"].any() and whole["text"].tolist() == rows["text"].tolist()
    assert short["cut"].all()
    assert len(tiny_tokenizer.encode(short["text"][0])) <= 20
    assert rows["text"][0].startswith(short["text"][0])
