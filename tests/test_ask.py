"""The command for a single question, and budget forcing inside `model.generate`."""

from __future__ import annotations

import subprocess
import sys

import pytest
from test_engine import decoder, prompts

from s1lib.decoding.ask import pieces
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.sampling import Sampling

__all__ = ["decoder", "prompts"]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("forcing", [None, Forcing(30, 2), Forcing(waits=2, wait="")], ids=str)
def test_streaming_gives_what_the_decoder_gives(decoder, prompts, forcing, temperature):
    tokens = list(decoder.stream(prompts[0], forcing, Sampling(temperature, seed=4)))
    one = decoder.generate(prompts[:1], forcing, Sampling(temperature, seed=4))[0]
    assert [token for token, _ in tokens] == list(one.ids)
    assert [forced for _, forced in tokens] == one.mask


def test_ask_prints_the_thinking_with_forced_tokens_marked(tiny_model_path):
    command = [sys.executable, "-m", "s1lib", "ask", "Find 3", "--max-thinking", "0"]
    command += ["--wait", "1", "--model", str(tiny_model_path), "--answer-tokens", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    opening = "⟦<|im_start|>think\n<|im_start|>answer\nFinal Answer:⟧"
    assert done.stdout.startswith(opening) and len(done.stdout) > len(opening)
    assert "forced" in done.stderr


def test_a_character_of_several_tokens_is_shown_when_it_is_whole(tiny_tokenizer):
    ids = tiny_tokenizer.encode("x ≡ 3")
    assert len(ids) > 5
    shown = list(pieces([(1, True), *((one, False) for one in ids)], tiny_tokenizer.decode))
    assert shown[0] == ("<|im_start|>", True, 1)
    assert "".join(text for text, _, _ in shown[1:]) == "x ≡ 3"


def test_ask_says_in_one_line_what_is_wrong(tiny_model_path):
    command = [sys.executable, "-m", "s1lib", "ask", "Find 3", "--max-thinking", "-1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == "s1lib: budget=-1 is below zero: use 0 or more"


def test_ask_tells_how_thinking_opens_and_takes_other_delimiters(tiny_model_path):
    command = [sys.executable, "-m", "s1lib", "ask", "Find 3", "--max-thinking", "0"]
    command += ["--model", str(tiny_model_path), "--answer-tokens", "4", "--window", "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "stands between '<|im_start|>think' and '<|im_start|>answer'" in done.stderr
    done = subprocess.run([*command, "--delimiters", "think"], capture_output=True, text=True)
    assert "⟦<think>" in done.stdout


def test_ask_takes_every_backend(tiny_model, tiny_tokenizer, tiny_model_path, monkeypatch, capsys):
    """It once knew the torch backend alone."""
    from test_server import Wire

    from s1lib.__main__ import main

    wire = Wire(tiny_model, len(tiny_tokenizer))
    wire.served = [str(tiny_model_path)]
    monkeypatch.setenv("S1_SERVER", wire.url)
    command = ["ask", "Find 3", "--max-thinking", "9", "--wait", "1", "--answer-tokens", "6"]
    command += ["--model", str(tiny_model_path)]
    said = []
    for backend in ("torch", "server"):
        assert main([*command, "--backend", backend]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and wire.seen
    wire.http.shutdown()
