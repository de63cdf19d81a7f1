"""Sample files of lm-evaluation-harness."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from test_engine import decoder, prompts

from s1lib.artifacts import RunError
from s1lib.decoding import Forcing, Sampling
from s1lib.decoding.lm_eval import read_samples, write_samples
from s1lib.decoding.record import grade_record
from s1lib.questions.schema import question_id

__all__ = ["decoder", "prompts"]


def test_a_published_log_can_be_graded_again(tmp_path, tiny_tokenizer):
    text = "<|im_start|>think\n2+2\n<|im_start|>answer\nFinal Answer: {}"
    rows = [
        {"doc_id": 0, "doc": {"problem": "2+2?"}, "target": "4",
         "resps": [[text.format(4), text.format(5)]]},
        {"doc_id": 1, "doc": {"Question": "Which?"}, "target": "B", "resps": [["Answer: B"]]},
    ]  # fmt: skip
    path = tmp_path / "samples_aime24_nofigures_2025-02-01T00-00-00.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done, answers = read_samples(path, tiny_tokenizer)
    assert answers == {
        question_id("2+2?"): ("4", "integer"),
        question_id("Which?"): ("B", "choice"),
    }
    assert [one.verdict for one in grade_record(done, answers)] == ["correct", "wrong", "correct"]
    assert [one.sample for one in done] == [0, 1, 0] and done[0].benchmark == "aime24_nofigures"
    assert tiny_tokenizer.decode(done[0].thinking) == "\n2+2\n"
    assert done[2].thinking == ()


def test_a_record_written_as_a_log_reads_back(tmp_path, decoder, prompts, tiny_tokenizer):
    done = decoder.generate(prompts[:3], Forcing(budget=20), Sampling(1.0, samples=2),
                            ids=[question_id(f"q{i}") for i in range(3)])  # fmt: skip
    done = [replace(one, verdict="correct") for one in done]
    problems = {question_id(f"q{i}"): (f"q{i}", "7") for i in range(3)}
    path = write_samples(tmp_path / "samples_mini_2025.jsonl", done, tiny_tokenizer, problems)
    back, answers = read_samples(path, tiny_tokenizer)
    assert [(one.id, one.sample) for one in back] == [(one.id, one.sample) for one in done]
    whole = [tiny_tokenizer.decode(one.ids) for one in done]
    assert [tiny_tokenizer.decode(one.ids) for one in back] == whole
    assert set(answers.values()) == {("7", "integer")}


def test_a_broken_line_is_named(tmp_path, tiny_tokenizer):
    path = tmp_path / "samples_x.jsonl"
    path.write_text('{"doc": {}, "target": 1')
    with pytest.raises(RunError, match=r"samples_x\.jsonl, line 1 is no sample"):
        read_samples(path, tiny_tokenizer)
    with pytest.raises(RunError, match="is missing"):
        read_samples(tmp_path / "none.jsonl", tiny_tokenizer)


def sample(number: int, **changes) -> dict:
    row = {"doc_id": number, "doc": {"problem": f"{number}?"}, "target": "4", "filter": "none"}
    return row | {"resps": [["Answer: 4"]]} | changes


def write(path, rows, encoding="utf-8", end="\n") -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text + end, encoding=encoding)


def test_only_a_newline_ends_a_line(tmp_path, tiny_tokenizer):
    """lm-eval writes JSON with U+2028 and U+0085 as they are; a BOM or an empty line is no harm."""
    path = tmp_path / "samples_x.jsonl"
    write(path, [sample(0, resps=[["a\u2028b\u0085c"]]), sample(1)], "utf-8-sig")
    done, _ = read_samples(path, tiny_tokenizer)
    assert [one.text for one in done] == ["a\u2028b\u0085c", "Answer: 4"]


def test_a_document_with_several_filters_is_read_once(tmp_path, tiny_tokenizer):
    path = tmp_path / "samples_x.jsonl"
    rows = [sample(n, filter=name) for name in ("strict", "flexible") for n in range(5)]
    write(path, rows)
    done, _ = read_samples(path, tiny_tokenizer)
    assert len({(one.id, one.sample) for one in done}) == len(done) == 5


@pytest.mark.parametrize("pair", [["-3.1", "False"], [["-3.1", "False"]], [[-3.1, True]]], ids=str)
def test_log_likelihoods_are_no_answer(tmp_path, tiny_tokenizer, pair):
    path = tmp_path / "samples_x.jsonl"
    write(path, [sample(0), sample(1, resps=[pair, ["-9", "True"]])])
    with pytest.raises(RunError, match=r"samples_x\.jsonl, line 2 holds log-likelihoods"):
        read_samples(path, tiny_tokenizer)
