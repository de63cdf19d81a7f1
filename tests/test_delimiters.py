"""How thinking opens and ends: found once, told once, never twice."""

from __future__ import annotations

import copy

import pytest
from conftest import TEMPLATE, make_tiny
from test_engine import ANSWER, WINDOW, decoder, prompts

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem
from s1lib.chat import S1, THINK_TAGS, delimiters_of, prompt_ids, training_text
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.sweep import cells

__all__ = ["decoder", "prompts"]

OPENS = TEMPLATE.replace("assistant\n' }}", "assistant\\n<think>\\n' }}")  # as R1's
CLOSES = TEMPLATE.replace("assistant\n' }}", "assistant\\n<think>\\n\\n</think>\\n\\n' }}")
EMPTY_BLOCK = TEMPLATE.replace(  # as Qwen3's, where the last turn has no reasoning of its own
    "+ message['content'] +",
    "+ ('<think>\\n\\n</think>\\n\\n' if message['role'] == 'assistant' else '')"
    " + message['content'] +",
)
CUTS = TEMPLATE.replace("message['content']", "message['content'].split('</think>')[-1]")


@pytest.fixture(scope="module")
def tags(tiny_tokenizer):
    """The tiny tokenizer with R1's tags."""
    one = copy.deepcopy(tiny_tokenizer)
    one.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    return one


@pytest.fixture(scope="module")
def thinker(tags):
    return TorchDecoder(make_tiny(tags), tags, window=WINDOW, answer_tokens=ANSWER)


def with_template(tokenizer, template):
    one = copy.deepcopy(tokenizer)
    one.chat_template = template
    return one


def test_they_are_those_that_the_tokenizer_has_tokens_for(decoder, thinker):
    assert decoder.delimiters == delimiters_of(decoder.tokenizer) == S1
    assert thinker.delimiters == THINK_TAGS


def test_every_call_of_a_decoder_has_the_decoders_own(thinker, tags):
    """`Forcing` once brought s1's, whatever the decoder had been built with."""
    text = "Find 3"
    for one in (
        thinker.generate([text], Forcing(budget=9))[0],
        thinker.sweep([text], cells([9]))[0],
    ):
        assert tags.decode(one.opening) == "<think>"
        assert tags.decode(one.closing).strip() == "</think>\nFinal Answer:"
    said = [token for token, _ in thinker.stream(text, Forcing(budget=9))]
    assert tuple(said) == thinker.generate([text], Forcing(budget=9))[0].ids


def test_a_template_that_opens_thinking_is_not_given_a_second_opening(thinker, tags):
    opened = prompt_ids(with_template(tags, OPENS), "Find 3")
    (one,) = thinker.generate([opened], Forcing(budget=9, waits=1))
    whole = tags.decode(one.prompt + one.ids)
    assert whole.count("<think>") == 1 and one.opening == ()
    assert one.thinking_tokens <= 9
    (plain,) = thinker.generate([opened], None, Sampling(max_new_tokens=30))
    assert plain.thinking and plain.opening == ()


def test_a_prompt_whose_thinking_is_over_is_refused(thinker, tags):
    closed = prompt_ids(with_template(tags, CLOSES), "Find 3")
    with pytest.raises(RunError, match="prompt of problem b ends in '</think>'"):
        thinker.generate([Problem("a", (5, 6)), Problem("b", tuple(closed))], Forcing())
    assert thinker.generate([closed], None, Sampling(max_new_tokens=4))


@pytest.mark.parametrize(
    ("template", "trace"),
    [(EMPTY_BLOCK, "x=5"), (CUTS, "the tag </think> ends it"), (OPENS, "x=5")],
)
def test_a_template_that_changes_a_training_text_is_refused(tags, template, trace):
    """Such templates once trained an empty block, or lost the trace, without a word."""
    with pytest.raises(RunError, match="the chat template changes the assistant's turn"):
        training_text(with_template(tags, template), "Find 3", trace, "5")
    assert training_text(tags, "Find 3", trace, "5")
