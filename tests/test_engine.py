"""The torch backend against `transformers`, token for token in fp32, and against itself."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem
from s1lib.chat import prompt_ids
from s1lib.decoding import load_decoder
from s1lib.decoding.blocks import blocks, scripted
from s1lib.decoding.decoder import DecodeError
from s1lib.decoding.forcing import Forcing, Machine, machine
from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.marks import marks
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.sweep import cells

WINDOW, ANSWER = 160, 12


@pytest.fixture(scope="session")
def prompts(tiny_tokenizer) -> list[list[int]]:
    texts = [f"Find {n} and {n * 7}" + " or more" * (n % 5) for n in range(24)]
    return [prompt_ids(tiny_tokenizer, text) for text in texts]


@pytest.fixture(scope="session")
def decoder(tiny_model, tiny_tokenizer) -> TorchDecoder:
    """Seven rows for many prompts: rows come and go all the time."""
    return TorchDecoder(tiny_model, tiny_tokenizer, window=WINDOW, answer_tokens=ANSWER, rows=7)


@torch.no_grad()
def reference(model, tokenizer, prompt, forcing, guess=()) -> Machine:
    """What `transformers` says, one greedy token after the other, the machine in charge.

    The logits of the sequence `guess` are computed at once; where the sequence departs from it
    they are computed anew. So a wrong guess costs time but changes nothing.
    """
    found = marks(tokenizer, forcing, [model.config.eos_token_id])
    one = machine(prompt, forcing, found, WINDOW, ANSWER)
    move, guess = one.start(), list(guess)
    known = model(torch.tensor([guess])).logits[0] if guess else None
    while not move.done:
        if known is None or one.ids != guess[: len(one.ids)]:
            guess = list(one.ids)
            known = model(torch.tensor([guess])).logits[0]
        logits = known[len(one.ids) - 1, : len(tokenizer)].clone()
        if one.min_tokens:
            logits[sorted(found.banned_token_ids)] = float("-inf")
        move = one.push(int(logits.argmax()))
    return one


SETTINGS = {
    "plain": None,
    "natural": Forcing(),
    "budget 0": Forcing(budget=0),
    "budget 9": Forcing(budget=9),
    "budget and waits": Forcing(budget=40, waits=2),
    "waits": Forcing(waits=3),
    "waits without a string": Forcing(waits=2, wait=""),
    "minimum": Forcing(minimum=30),
    "harness": Forcing(budget=20, waits=2, protocol="harness"),
}


@pytest.mark.parametrize("forcing", SETTINGS.values(), ids=SETTINGS)
def test_greedy_ids_are_those_of_transformers(
    decoder, tiny_model, tiny_tokenizer, prompts, forcing
):
    done = decoder.generate(prompts[:10], forcing, Sampling(max_new_tokens=ANSWER))
    for prompt, ours in zip(prompts, done, strict=False):
        ids = list(ours.prompt + ours.ids)
        theirs = reference(tiny_model, tiny_tokenizer, prompt, forcing, ids)
        assert ids == theirs.ids
        assert (ours.thinking_end, ours.answer_end) == (theirs.thinking_end, theirs.answer_end)
        assert ours.sampled == len(theirs.sampled)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_llama_and_grouped_heads_are_decoded_too(tiny_tokenizer, prompts, heads):
    torch.manual_seed(1)
    shape = {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": heads,
        "initializer_range": 0.3,
        "eos_token_id": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": heads == 1,
    }
    model = (
        LlamaForCausalLM(LlamaConfig(**shape))
        if heads == 2
        else (Qwen2ForCausalLM(Qwen2Config(**shape)))
    )
    decoder = TorchDecoder(model.eval(), tiny_tokenizer, window=WINDOW, answer_tokens=ANSWER)
    for prompt, ours in zip(
        prompts, decoder.generate(prompts[:4], Forcing(budget=25)), strict=False
    ):
        ids = list(ours.prompt + ours.ids)
        assert reference(model, tiny_tokenizer, prompt, Forcing(budget=25), ids).ids == ids


def test_a_model_in_bfloat16_is_decoded_too(tiny_model, tiny_tokenizer, prompts):
    half = copy.deepcopy(tiny_model).to(torch.bfloat16)
    decoder = TorchDecoder(half, tiny_tokenizer, window=WINDOW, answer_tokens=ANSWER, rows=7)
    found = decoder.generate(prompts, Forcing(budget=16))
    assert len(found) == len(prompts) and any(one.thinking_tokens == 16 for one in found)
    assert all(one.thinking_tokens <= 16 for one in found)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_results_depend_neither_on_batch_size_nor_on_order(
    tiny_model, tiny_tokenizer, prompts, temperature
):
    names = [f"p{index}" for index in range(len(prompts))]
    forcing = Forcing(budget=60, waits=1)

    def decode(rows: int, order: list[int]) -> dict[str, tuple[int, ...]]:
        decoder = TorchDecoder(
            tiny_model, tiny_tokenizer, window=WINDOW, answer_tokens=ANSWER, rows=rows
        )
        done = decoder.generate(
            [Problem(names[i], tuple(prompts[i])) for i in order],
            forcing,
            Sampling(temperature, seed=3),
        )
        assert [one.id for one in done] == [names[i] for i in order]
        return {one.id: one.ids for one in done}

    straight = list(range(len(prompts)))
    alone = decode(1, straight[:6])
    many = decode(24, straight[::-1])
    few = decode(5, straight)
    assert many == few
    assert alone == {name: many[name] for name in names[:6]}


def test_samples_differ_from_each_other_and_repeat_with_the_seed(decoder, prompts):
    def texts(seed: int) -> list[tuple[int, ...]]:
        done = decoder.generate(
            prompts[:3], Forcing(budget=30), Sampling(temperature=1.0, seed=seed, samples=4)
        )
        assert [one.sample for one in done] == [0, 1, 2, 3] * 3
        return [one.thinking for one in done]

    assert len(set(texts(0))) == 12
    assert texts(0) == texts(0) != texts(1)


def test_a_sample_does_not_depend_on_how_many_others_are_drawn(decoder, prompts):
    many = decoder.generate(prompts[:2], Forcing(), Sampling(temperature=1.0, samples=9))
    one = decoder.generate(prompts[:2], Forcing(), Sampling(temperature=1.0))
    assert [many[0].ids, many[9].ids] == [one[0].ids, one[1].ids]


def test_ids_beyond_the_vocabulary_are_never_sampled(tiny_model, tiny_tokenizer, prompts):
    eager = TorchDecoder(tiny_model, tiny_tokenizer, window=WINDOW, answer_tokens=ANSWER)
    done = eager.generate(prompts, Forcing(budget=40), Sampling(temperature=3.0, samples=2))
    assert max(token for one in done for token in one.ids) < len(tiny_tokenizer)
    with torch.no_grad():
        logits = tiny_model(torch.tensor([list(one.prompt + one.ids) for one in done[:1]])).logits
    assert (logits.argmax(-1) >= len(tiny_tokenizer)).any(), "the model would sample them"


def test_an_empty_batch_gives_an_empty_result(decoder):
    assert decoder.generate([], Forcing()) == []
    assert decoder.sweep([], cells([4, 8], [1])) == []


def test_no_prompt_may_be_empty(decoder):
    with pytest.raises(RunError, match="prompt of problem b is empty"):
        decoder.generate([Problem("a", (5,)), Problem("b", ())])
    with pytest.raises(RunError, match="prompt of problem 1 is empty"):
        decoder.generate([[5], []])


def test_a_prompt_longer_than_the_window_is_named_before_anything_is_decoded(decoder, prompts):
    with pytest.raises(RunError, match=r"prompt 1 has 200 tokens"):
        decoder.generate([prompts[0], [5] * 200], Forcing())


def test_thinking_that_fills_the_window_is_cut_in_time(decoder, prompts):
    done = decoder.generate(prompts, Forcing(minimum=100, waits=20))
    assert {one.thinking_end for one in done} == {"window"}
    assert all(len(one.prompt + one.ids) <= WINDOW for one in done)
    assert all(len(one.answer) <= ANSWER for one in done)


def test_forced_ids_are_known(decoder, tiny_tokenizer, prompts):
    one = decoder.generate(prompts[:1], Forcing(budget=50, waits=20))[0]
    forced = [token for token, mark in zip(one.ids, one.mask, strict=True) if mark]
    text = tiny_tokenizer.decode(forced)
    waits = len(one.ignored)
    assert waits > 0 and text.count("Wait") == waits
    assert text.startswith("<|im_start|>think") and text.endswith("Final Answer:")
    assert one.text.startswith("Final Answer:")
    cut = len(one.ids) - len(forced)
    ends = waits + (one.answer_end == "eos")
    assert one.sampled == cut + ends, "ends that were taken off again were paid for too"


def test_logits_that_are_no_numbers_name_the_prompt_and_keep_finished_work(
    tiny_model_path, prompts
):
    decoder = load_decoder(str(tiny_model_path), window=WINDOW, answer_tokens=ANSWER, rows=1)
    poison = 3
    asked = [*prompts[:2], [poison, *prompts[2]], prompts[3]]
    weights = decoder.network.embedding.clone()
    weights[poison] = float("nan")
    decoder.network.embedding, healthy = weights, decoder.network.embedding
    with pytest.raises(DecodeError, match="logits for prompt 2 are not numbers") as caught:
        decoder.generate(asked, Forcing(budget=2), Sampling(max_new_tokens=2))
    assert [one.id for one in caught.value.finished] == ["0", "1"]
    decoder.network.embedding = healthy
    assert len(decoder.generate(asked, Forcing(budget=2), Sampling(max_new_tokens=2))) == 4


def test_prompts_may_be_text_or_messages(decoder, tiny_tokenizer):
    """Text once ended in a TypeError of NumPy."""
    text, words = "Find 3", [{"role": "user", "content": "Find 3"}]
    (ids,) = decoder.generate([prompt_ids(tiny_tokenizer, text)], Forcing(budget=8))
    assert decoder.generate([text, words], Forcing(budget=8)) == [ids, replace(ids, id="1")]
    assert decoder.sweep([text], cells([8]))[0].ids == ids.ids


def test_plain_text_is_split_where_the_model_wrote_the_delimiters(decoder, tiny_tokenizer):
    encode = tiny_tokenizer.encode
    prompt, parts = encode("x"), ["<|im_start|>think", "\n5 12", "<|im_start|>answer", "\n7"]
    ids = [encode(part) for part in parts]
    cuts = decoder._split([*prompt, *itertools.chain(*ids)], len(prompt))
    roles = [len(part) for part in ids]
    assert [b - a for a, b in itertools.pairwise(cuts)] == roles
    assert decoder._split([*prompt, *ids[3]], len(prompt))[-2] == len(prompt)


def test_torchscript_and_python_decode_the_same_ids(tiny_model, tiny_tokenizer, prompts):
    found, twice = [], Sampling(temperature=1.0, samples=2)
    for body in (scripted(), blocks):
        settings = {"window": WINDOW, "answer_tokens": ANSWER, "rows": 7}
        one = TorchDecoder(tiny_model, tiny_tokenizer, **settings)
        one.network._run = body
        found.append(one.generate(prompts, Forcing(budget=40, waits=2), twice))
    assert found[0] == found[1]


def test_whatever_breaks_a_backend_keeps_what_is_finished(decoder, prompts, monkeypatch):
    run = decoder.run

    def exhausted(jobs, sampling):
        yield next(iter(run(jobs[:1], sampling)))
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(decoder, "run", exhausted)
    with pytest.raises(DecodeError, match="OutOfMemoryError") as caught:
        decoder.generate(prompts[:3], Forcing(budget=8))
    assert len(caught.value.finished) == 1
