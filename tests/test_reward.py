"""The reward model: what it learns from, what it says, and that its cache changes nothing."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from s1lib.artifacts import RunError
from s1lib.decoding.record import Generation
from s1lib.decoding.tree import step_ends
from s1lib.methods.reward import HubReward, RewardModel, auc, auc_within, step_lines
from s1lib.training.reward import labelled, train


@pytest.fixture(scope="module")
def traces(tiny_tokenizer):
    """Traces that say yes end right, traces that say no end wrong."""
    pauses = step_ends(tiny_tokenizer)
    found = []
    for number in range(96):
        word = ("no", "yes")[number % 2]
        text = "".join(f"x={step}:{number % 7} {word}.\n\n" for step in range(1 + number % 4))
        found.append(
            Generation(
                str(number % 8),
                tuple(tiny_tokenizer.encode(f"Find {number % 8}")),
                (5,),
                opening=(1,),
                thinking=tuple(tiny_tokenizer.encode(f"{text}So {number}")),
                verdict=("wrong", "correct")[number % 2],
            )
        )
    return labelled(found, pauses)


@pytest.fixture(scope="module")
def folder(tiny_model_path, traces, tmp_path_factory):
    output = tmp_path_factory.mktemp("reward") / "reward"
    train(str(tiny_model_path), traces, output, epochs=4, learning_rate=3e-3, batch=16)
    return output


def test_a_trace_is_scored_after_each_step_and_at_its_end(traces, tiny_tokenizer):
    pauses = step_ends(tiny_tokenizer)
    for trace in traces:
        *steps, last = trace.places
        assert all(trace.ids[place] in pauses for place in steps)
        assert last == len(trace.ids) - 1


def test_undecided_traces_and_answers_without_thinking_teach_nothing():
    some = [
        Generation("a", (1,), (2,), thinking=(3,), verdict="undecided"),
        Generation("b", (1,), (2,), verdict="correct"),
    ]
    assert labelled(some, {3}) == []


def test_it_learns_which_traces_end_right(folder, traces):
    scores = RewardModel(folder, longest=160)([trace.ids for trace in traces])
    right = [trace.right for trace in traces]
    assert auc(scores, right, [trace.id for trace in traces])["value"] > 90
    assert ((scores > 0) & (scores < 1)).all()


def test_scores_are_those_of_transformers_with_or_without_what_was_kept(folder, traces):
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def plainly(ids):
        hidden = model.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        return float(torch.sigmoid(model.score(hidden)))

    reward = RewardModel(folder, longest=160, rows=5, kept=8)
    for share in (1, 2, 3, 3):
        parts = [t.ids[: t.places[len(t.places) * share // 3 - 1] + 1] for t in traces[:12]]
        expected = [plainly(part) for part in parts]
        np.testing.assert_allclose(reward(parts), expected, atol=1e-5)


def test_a_trace_that_goes_on_costs_its_new_tokens_only(folder, traces, monkeypatch):
    reward = RewardModel(folder, longest=160)
    trace = next(trace for trace in traces if len(trace.places) > 3)
    reward([trace.ids[: trace.places[1] + 1]])
    fed = []
    step = reward.network.step

    def counted(tokens, places, chunks):
        fed.append(len(tokens) + sum(len(chunk.ids) for chunk in chunks))
        return step(tokens, places, chunks)

    monkeypatch.setattr(reward.network, "step", counted)
    reward([trace.ids[: trace.places[2] + 1]])
    assert fed == [trace.places[2] - trace.places[1]]


def test_the_same_seed_gives_the_same_weights(folder, tiny_model_path, traces, tmp_path):
    again = tmp_path / "again"
    train(str(tiny_model_path), traces, again, epochs=4, learning_rate=3e-3, batch=16)
    first = (folder / "model.safetensors").read_bytes()
    assert (again / "model.safetensors").read_bytes() == first
    assert not list(again.rglob("*.bin"))


def test_a_batch_of_long_traces_goes_through_in_parts_and_learns_the_same(
    tiny_model_path, traces, tmp_path, monkeypatch
):
    """A batch of 32 traces of a real model was more than any GPU holds."""
    losses = [train(str(tiny_model_path), traces, tmp_path / "a", batch=16)["loss"]]
    monkeypatch.setattr("s1lib.training.reward.PART", 3 * max(len(t.ids) for t in traces))
    losses.append(train(str(tiny_model_path), traces, tmp_path / "b", batch=16)["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_it_is_trained_at_the_rate_of_the_model_that_it_comes_from(
    tiny_model_path, traces, tmp_path
):
    """1e-3, the laptop's, would ruin a model of a billion parameters."""
    model = tmp_path / "s1"
    shutil.copytree(tiny_model_path, model)
    (model / "job.json").write_text('{"recipe": {"learning_rate": 0.0}}')
    train(str(model), traces[:8], tmp_path / "reward")
    before, after = (
        load_file(folder / "model.safetensors")["model.norm.weight"]
        for folder in (model, tmp_path / "reward")
    )
    assert torch.equal(before, after)


def test_where_memory_is_short_fewer_caches_are_kept_and_scores_are_the_same(
    folder, traces, monkeypatch
):
    asked = [trace.ids for trace in traces[:24]]
    expected = RewardModel(folder, longest=160)(asked)
    monkeypatch.setattr("s1lib.decoding.local._free", lambda device: 2**18)
    short = RewardModel(folder, longest=160)
    assert short.network.rows < 320
    np.testing.assert_allclose(short(asked), expected, atol=1e-5)


def test_without_traces_there_is_nothing_to_train(tiny_model_path, tmp_path):
    with pytest.raises(RunError, match="no traces to learn from"):
        train(str(tiny_model_path), [], tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_folder_without_a_reward_model_is_named(tmp_path):
    with pytest.raises(RunError, match="has no reward model"):
        RewardModel(tmp_path / "nothing")


def test_an_auc_counts_pairs_and_ties_as_halves():
    assert auc([3, 2, 1], [True, False, True], list("abc"))["value"] == 50
    assert auc([1, 1], [True, False], list("ab"))["value"] == 50
    assert auc([1, 2], [True, True], list("ab")) == {"value": None, "n": 0, "ci95": None}
    assert auc_within([1, 2], [True, False], list("ab"))["value"] is None


def test_among_traces_of_one_problem_knowing_the_hard_problems_does_not_help():
    """Scores that tell easy problems from hard ones, and nothing else."""
    scores = [9, 9, 9, 1, 1, 1]
    right = [True, True, False, True, False, False]
    problems = ["easy"] * 3 + ["hard"] * 3
    assert auc(scores, right, problems)["value"] > 60
    within = auc_within(scores, right, problems)
    assert (within["value"], within["n"]) == (50, 2)


CHAT = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nFind x.\n\nAn integer.<|im_end|>\n"
    "<|im_start|>assistant\n<|im_start|>think\nx=1 no.\n\nx=2 yes.\n<|im_start|>answer\n2"
)


def test_steps_are_written_the_way_the_published_reward_model_reads_them():
    assert step_lines(CHAT) == (
        "Find x.\n\nAn integer.\nStep 1: x=1 no. ки\nStep 2: x=2 yes. ки\nStep 3: 2 ки"
    )


def test_headers_of_the_step_format_part_steps_too():
    chat = CHAT.replace("think\n", "2 steps left\n").replace(
        "\n\nx=2", "\n<|im_start|>1 steps left\nx=2"
    )
    assert step_lines(chat) == step_lines(CHAT)


def test_a_reward_model_of_the_hub_says_its_logit_after_the_last_step(
    tiny_model, tiny_model_path, tiny_tokenizer
):
    chats = [CHAT, CHAT.partition("x=2")[0]]
    token = 77
    judge = HubReward(str(tiny_model_path), tiny_tokenizer, token)
    found = judge([tiny_tokenizer.encode(chat, add_special_tokens=False) for chat in chats])
    for chat, reward in zip(chats, found, strict=True):
        ids = tiny_tokenizer(step_lines(chat), return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            logit = tiny_model(ids).logits[0, -1, token]
        assert reward == pytest.approx(float(logit), rel=0.05, abs=0.2)  # bfloat16
    assert found[0] != found[1]


def test_the_hubs_reward_model_reads_what_is_new_of_a_search(
    tiny_model, tiny_model_path, tiny_tokenizer
):
    """It read every trace from its beginning at every step."""
    judge = HubReward(str(tiny_model_path), tiny_tokenizer, 77)
    trunk = f"{CHAT.partition('x=2')[0]}\n\n"
    whole = 0
    for depth in range(1, 9):  # a step for four traces, of which one goes on
        trunk += f"x={depth}, 7*{depth} no.\n\n"
        frontier = [trunk + f"Hmm {leaf}" for leaf in "abcd"]
        ids = [tiny_tokenizer.encode(chat, add_special_tokens=False) for chat in frontier]
        found = judge(ids)
        for chat, reward in zip(frontier, found, strict=True):
            row = tiny_tokenizer(step_lines(chat), return_tensors="pt")["input_ids"]
            whole += row.shape[1]
            with torch.inference_mode():
                logit = tiny_model(row).logits[0, -1, 77]
            assert reward == pytest.approx(float(logit), rel=0.05, abs=0.2)  # bfloat16
    assert judge.fed < 0.2 * whole
