"""The token timeline of one generation."""

from __future__ import annotations

import re

from s1lib.chat import prompt_ids
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.record import Generation
from s1lib.decoding.timeline import timeline


def test_forced_tokens_are_marked_and_counted(tiny_model, tiny_tokenizer):
    decoder = TorchDecoder(tiny_model, tiny_tokenizer, window=200, answer_tokens=8)
    prompt = prompt_ids(tiny_tokenizer, "Find 1")
    one = decoder.generate([prompt], Forcing(budget=40, waits=9))[0]
    html = timeline(one, tiny_tokenizer)
    marks = re.findall(r"<mark>(.*?)</mark>", html)
    assert marks[1] == "&lt;|im_start|&gt;think" and marks[-1].endswith("answer↵Final Answer:")
    assert marks.count("Wait") == len(one.ignored)
    assert "the budget was used up" in html


def test_text_of_a_model_cannot_become_markup(tiny_tokenizer):
    text = '<script>alert("1")</script><img src=x onerror=alert(1)>'
    ids = tuple(tiny_tokenizer.encode(text))
    html = timeline(Generation(id="a", prompt=(1,), answer=ids), tiny_tokenizer)
    assert "<script" not in html and "<img" not in html and "mathjax_ignore" in html
