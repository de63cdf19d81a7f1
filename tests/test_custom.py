"""Budget forcing inside `generate` of transformers: what a caller gives is heeded, or named."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from test_engine import ANSWER, decoder, prompts
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
)

from s1lib.artifacts import RunError
from s1lib.chat import Delimiters
from s1lib.decoding.custom import budget_forcing
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.sampling import Sampling

__all__ = ["decoder", "prompts"]


@pytest.fixture
def ask(tiny_model, tiny_tokenizer, prompts):
    """Calls `generate` with budget forcing on some prompts; returns what follows each."""

    def call(count: int = 3, force: dict | None = None, **arguments):
        some = prompts[:count]
        width = max(map(len, some))
        ids = torch.tensor([[3] * (width - len(p)) + p for p in some])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in some])
        settings = {"max_tokens": 30, "ignore_end": 2} if force is None else force
        forced = budget_forcing(**settings, tokenizer=tiny_tokenizer)
        settings = {"max_new_tokens": ANSWER, "do_sample": False} | arguments
        out = tiny_model.generate(
            input_ids=ids, attention_mask=mask, custom_generate=forced, **settings
        )
        rows = out.sequences if hasattr(out, "sequences") else out
        return [row[width:].tolist() for row in rows]

    return call


def starts(rows, expected):
    """Whether rows are the expected ids, padded."""
    return all(
        tuple(row[: len(one.ids)]) == one.ids for row, one in zip(rows, expected, strict=True)
    )


def test_generate_of_transformers_takes_budget_forcing(ask, decoder, tiny_tokenizer, prompts):
    rows, ours = ask(), decoder.generate(prompts[:3], Forcing(30, 2))
    assert starts(rows, ours)
    ends = [set(row[len(one.ids) :]) for row, one in zip(rows, ours, strict=True)]
    assert all(rest <= {tiny_tokenizer.pad_token_id} for rest in ends)


QWEN = {
    "do_sample": True,
    "temperature": 0.7,
    "top_p": 0.8,
    "top_k": 20,
    "repetition_penalty": 1.05,
}
R1 = {"do_sample": True, "temperature": 0.6, "top_p": 0.95}


@pytest.mark.parametrize("config", [QWEN, R1], ids=["Qwen2.5", "R1"])
@pytest.mark.parametrize("sampled", [True, False])
def test_a_models_own_generation_config_works_as_it_comes(
    ask, tiny_model, decoder, prompts, config, sampled, monkeypatch
):
    """The README's call once raised on every published Qwen2.5 and R1."""
    own = GenerationConfig(**{**tiny_model.generation_config.to_dict(), **config})
    monkeypatch.setattr(tiny_model, "generation_config", own)
    torch.manual_seed(4)
    rows = ask(do_sample=sampled)
    torch.manual_seed(4)
    seed = int(torch.randint(2**31, ()))
    kept = {"top_k": 50} | config  # the default of transformers, where it samples
    del kept["do_sample"]
    if not sampled:
        kept = {key: value for key, value in kept.items() if key == "repetition_penalty"}
    expected = decoder.generate(
        prompts[:3], Forcing(30, 2), Sampling(**kept, seed=seed, max_new_tokens=ANSWER)
    )
    assert starts(rows, expected)


def test_other_processors_are_asked_with_what_generate_would_show_them(ask, tiny_model):
    """A processor of the caller sees prompt and padding, and decides for its row."""
    seen = []

    class Watching(NoRepeatNGramLogitsProcessor):
        def __call__(self, ids, scores):
            seen.append(ids.shape)
            return super().__call__(ids, scores)

    plain = ask(force={})
    rows = ask(force={}, logits_processor=LogitsProcessorList([Watching(2)]))
    assert rows != plain
    assert {shape[0] for shape in seen} == {1}
    sampled = [token for token in rows[0] if token != 3]
    assert sampled and ask(force={}, no_repeat_ngram_size=2) == rows


def test_criteria_end_a_sequence_where_they_are_met(ask):
    class After(StoppingCriteria):
        def __call__(self, ids, scores, **_):
            return torch.tensor([len(row) - width >= 9 for row in ids])

    whole = ask()
    width = 0
    asked = StoppingCriteriaList([After()])
    short = ask(stopping_criteria=asked)  # met at once: prompts are longer
    assert all(row[:3] == all_[:3] for row, all_ in zip(short, whole, strict=True))
    assert max(map(len, short)) < min(len(row) for row in whole)


def test_a_time_limit_is_kept(ask):
    assert max(map(len, ask(max_time=0.0))) <= 5  # the opening, and one token


def test_strings_that_stop_are_given_to_budget_forcing(ask, tiny_tokenizer):
    (whole,) = ask(1)
    text = tiny_tokenizer.decode(whole)
    words = (text[place : place + 3] for place in range(25, len(text)))
    word = next(word for word in words if word.isascii() and text.count(word) == 1)
    (short,) = ask(1, force={"max_tokens": 30, "ignore_end": 2, "stop_strings": [word]})
    said = tiny_tokenizer.decode(short)
    assert said.count(word) == 1 and text.startswith(said) and len(said) < len(text)


def test_an_end_of_the_call_is_an_end(ask, tiny_model):
    """`eos_token_id` of the call was once not looked at."""
    (whole,) = ask(1, force={"max_tokens": 30})
    end = whole[6]
    (short,) = ask(1, force={"max_tokens": 30}, eos_token_id=[end, 2])
    assert short[:5] == whole[:5] and end not in short


def test_max_length_bounds_everything(ask, prompts):
    bound = max(map(len, prompts[:3])) + 34
    rows = ask(max_length=bound, max_new_tokens=None)
    lengths = [
        len(p) + len([t for t in row if t != 3]) for p, row in zip(prompts, rows, strict=False)
    ]
    assert max(lengths) <= bound < max(map(len, prompts[:3])) + max(map(len, ask()))


def test_several_sequences_for_a_prompt(ask):
    rows = ask(2, num_return_sequences=3, do_sample=True)
    assert len(rows) == 6 and len({tuple(row) for row in rows}) > 2


def test_a_dictionary_is_returned_where_one_is_asked_for(tiny_model, tiny_tokenizer, prompts):
    out = tiny_model.generate(
        torch.tensor(prompts[:1]), return_dict_in_generate=True, max_new_tokens=4,
        custom_generate=budget_forcing(8, tokenizer=tiny_tokenizer),
    )  # fmt: skip
    assert out.sequences.shape[0] == 1


def test_a_streamer_gets_every_token_and_its_end(ask, tiny_tokenizer):
    """One that is read in another thread once waited for ever."""
    streamer = TextIteratorStreamer(tiny_tokenizer, skip_prompt=True, timeout=30)
    rows = []
    thread = threading.Thread(target=lambda: rows.extend(ask(1, streamer=streamer)))
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert text == tiny_tokenizer.decode(rows[0])
    assert rows == ask(1)


def test_a_stream_does_not_show_an_end_of_thinking_that_is_taken_off(
    tiny_model, tiny_tokenizer, decoder, prompts
):
    """A delimiter of several tokens is recognised by its last one only."""
    own = copy.copy(decoder)
    (one,) = own.generate(prompts[:1], Forcing(budget=30))
    own.delimiters = Delimiters("", tiny_tokenizer.decode(one.thinking[8:11]), "So:")
    forcing = Forcing(budget=30, waits=1)
    (whole,) = own.generate(prompts[:1], forcing)
    assert whole.ignored
    assert [token for token, _ in own.stream(prompts[0], forcing)] == list(whole.ids)


@pytest.mark.parametrize(
    ("argument", "name"),
    [({"num_beams": 2}, "num_beams=2"), ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha"),
     ({"prompt_lookup_num_tokens": 3}, "prompt_lookup_num_tokens"),
     ({"output_scores": True, "return_dict_in_generate": True}, "output_scores"),
     ({"guidance_scale": 2.0}, "guidance_scale")],
    ids=str,
)  # fmt: skip
def test_another_way_of_decoding_is_refused_by_name(ask, argument, name):
    """Two beams once gave two rows for each prompt."""
    with pytest.raises(RunError, match=f"cannot decode with {name}"):
        ask(2, **argument)


def test_an_assistant_model_is_refused(ask, tiny_model):
    with pytest.raises(RunError, match="assistant_model"):
        ask(1, assistant_model=tiny_model)
