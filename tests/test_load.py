"""Which decoder one gets, with which options, and whether there is room for it."""

from __future__ import annotations

import logging

import pytest
import torch
from test_engine import ANSWER, WINDOW, decoder, prompts

from s1lib.artifacts import RunError
from s1lib.chat import THINK_TAGS
from s1lib.decoding import Forcing, load_decoder
from s1lib.decoding import local as local_backend
from s1lib.decoding.general import General

__all__ = ["decoder", "prompts"]


def test_auto_is_the_dtype_of_the_weights(tiny_model, tiny_tokenizer, tmp_path):
    import copy

    copy.deepcopy(tiny_model).to(torch.bfloat16).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    dtypes = [load_decoder(str(tmp_path), dtype=one).network.dtype for one in ("", "auto")]
    assert dtypes == [torch.float32, torch.bfloat16]


def test_options_reach_from_pretrained(tiny_model_path, decoder, prompts, tmp_path):
    """A model with a layer on the disk once ended in a traceback out of TorchScript."""
    parts = ("model.embed_tokens", "model.layers.0", "model.norm", "model.rotary_emb", "lm_head")
    places = {"model.layers.1": "disk"} | dict.fromkeys(parts, "cpu")
    one = load_decoder(
        str(tiny_model_path), window=WINDOW, answer_tokens=ANSWER,
        device_map=places, offload_folder=str(tmp_path),
    )  # fmt: skip
    assert type(one.network) is General
    asked = prompts[:3], Forcing(budget=12)
    assert [x.ids for x in one.generate(*asked)] == [x.ids for x in decoder.generate(*asked)]


def test_options_reach_vllm_and_its_dtype_is_that_of_the_weights(tiny_model_path, monkeypatch):
    """`tensor_parallel_size` was once refused, and float32 the default."""
    seen = {}
    monkeypatch.setattr(
        "s1lib.decoding.vllm.VllmDecoder", lambda *_, **settings: seen.update(settings)
    )
    load_decoder(str(tiny_model_path), backend="vllm", tensor_parallel_size=2)
    assert (seen["tensor_parallel_size"], seen["dtype"]) == (2, "auto")
    assert seen["ends"] and seen["window"] == 512


def test_delimiters_may_be_told(tiny_model_path):
    assert load_decoder(str(tiny_model_path), delimiters=THINK_TAGS).delimiters == THINK_TAGS


def test_rows_that_have_no_room_wait_their_turn_and_a_line_says_so(
    decoder, prompts, monkeypatch, caplog
):
    expected = decoder.generate(prompts, Forcing(budget=8))
    one = WINDOW * decoder.network.position_bytes
    decoder.network.clear()
    monkeypatch.setattr(local_backend, "_free", lambda _: int(2.5 * one / local_backend.SHARE))
    with caplog.at_level(logging.WARNING):
        found = decoder.generate(prompts, Forcing())
    assert decoder.network.rows == 2
    assert "2 sequences side by side, not 7" in caplog.text
    assert len(found) == len(expected)


def test_a_sequence_that_has_no_room_is_refused_before_anything_is_allocated(
    decoder, prompts, monkeypatch
):
    decoder.network.clear()
    monkeypatch.setattr(local_backend, "_free", lambda _: 100)
    with pytest.raises(RunError, match=r"a sequence of 160 tokens needs .* lower window"):
        decoder.generate(prompts[:1], Forcing())
    assert decoder.network.rows == 0
