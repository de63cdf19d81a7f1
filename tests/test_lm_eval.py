"""Sample files of lm-evaluation-harness."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_engine import decoder, prompts

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem
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
    done, problems = read_samples(path, tiny_tokenizer)
    assert [(one.id, one.answer, one.answer_type) for one in problems] == [
        (question_id("2+2?"), "4", "integer"),
        (question_id("Which?"), "B", "choice"),
    ]
    assert [one.verdict for one in grade_record(done, problems)] == ["correct", "wrong", "correct"]
    assert [one.sample for one in done] == [0, 1, 0] and done[0].benchmark == "aime24_nofigures"
    assert tiny_tokenizer.decode(done[0].thinking) == "\n2+2\n"
    assert done[2].thinking == ()


def test_a_record_written_as_a_log_reads_back(tmp_path, decoder, prompts, tiny_tokenizer):
    problems = [
        Problem(question_id(f"q{i}"), tuple(prompt), question=f"q{i}", answer="7")
        for i, prompt in enumerate(prompts[:3])
    ]
    done = decoder.generate(problems, Forcing(budget=20), Sampling(1.0, samples=2))
    done = [replace(one, verdict="correct") for one in done]
    path = write_samples(tmp_path / "samples_mini_2025.jsonl", done, tiny_tokenizer, problems)
    back, found = read_samples(path, tiny_tokenizer)
    assert [(one.id, one.sample) for one in back] == [(one.id, one.sample) for one in done]
    whole = [tiny_tokenizer.decode(one.ids) for one in done]
    assert [tiny_tokenizer.decode(one.ids) for one in back] == whole
    assert [(one.question, one.answer) for one in found] == [(f"q{i}", "7") for i in range(3)]


def log(folder: Path, *rows: dict, filters: tuple[str, ...] = ()) -> Path:
    """A samples file as the harness writes it: `ensure_ascii=False`, a line per filter."""
    lines = []
    for number, row in enumerate(rows):
        doc = {"problem": f"{number}+1?"}
        full = {"doc_id": number, "doc": doc, "target": str(number + 1), "resps": [["1"]], **row}
        for name in filters:
            lines.append(full | {"filter": name, "filtered_resps": [f"{name}!"]})
        lines += [] if filters else [full]
    path = folder / "samples_x.jsonl"
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return path


def test_a_document_with_several_filters_was_answered_once(tmp_path, tiny_tokenizer):
    path = log(tmp_path, {}, {"resps": [["2", "3"]]}, {}, filters=("strict", "flexible"))
    done, answers = read_samples(path, tiny_tokenizer)
    assert [(one.text, one.sample) for one in done] == [("1", 0), ("2", 0), ("3", 1), ("1", 0)]
    assert len(answers) == 3


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_a_newline_ends_a_line(tmp_path, tiny_tokenizer, odd):
    path = log(tmp_path, {"resps": [[f"a{odd}b"]], "doc": {"problem": f"1{odd}2?"}}, {})
    done, _ = read_samples(path, tiny_tokenizer)
    assert [one.text for one in done] == [f"a{odd}b", "1"]


def test_what_editors_and_windows_add_to_a_file_is_no_trouble(tmp_path, tiny_tokenizer):
    path = log(tmp_path, {}, {})
    plain = path.read_bytes()
    for changed in (b"\xef\xbb\xbf" + plain, plain + b"\n \n", plain.replace(b"\n", b"\r\n")):
        path.write_bytes(changed)
        assert len(read_samples(path, tiny_tokenizer)[0]) == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"resps": [[["-3.1", "False"]], [["-5.0", "True"]]]}, "log-likelihood"),
        ({"resps": [["-3.1", "False"], ["-5.0", "True"]]}, "log-likelihood"),
        ({"resps": [["-3.1", "False"]]}, "log-likelihood"),
        ({"resps": [[["-3.1", "False"]]]}, "log-likelihood"),
        ({"resps": [["-3.1"]], "arguments": [["Is it?", " yes"]]}, "log-likelihood"),
        ({"resps": [[None]]}, "no text"),
        ({"resps": []}, "no text"),
        ({"resps": None}, "no text"),
        ({"target": None}, "no single target"),
        ({"target": ["1", "2"]}, "no single target"),
        ({"doc": None}, "no sample of lm-eval"),
    ],
)
def test_a_row_without_text_or_target_is_named_and_not_graded(
    tmp_path, tiny_tokenizer, row, reason
):
    with pytest.raises(RunError, match=rf"samples_x\.jsonl, line 2 .*{reason}"):
        read_samples(log(tmp_path, {}, row), tiny_tokenizer)


def test_a_question_that_comes_twice_has_more_samples_and_one_target(tmp_path, tiny_tokenizer):
    twice = {"doc": {"problem": "0+1?"}, "target": "1"}
    done, _ = read_samples(log(tmp_path, {}, twice), tiny_tokenizer)
    assert [(one.id, one.sample) for one in done] == [(question_id("0+1?"), k) for k in (0, 1)]
    with pytest.raises(RunError, match=r"line 2 has another target"):
        read_samples(log(tmp_path, {}, twice | {"target": "7"}), tiny_tokenizer)


def test_half_a_surrogate_pair_is_replaced(tmp_path, tiny_tokenizer):
    path = tmp_path / "samples_x.jsonl"
    path.write_text(
        json.dumps({"doc": {"problem": "\ud83d?"}, "target": "1", "resps": ["\ud83d1"]})
    )
    (one,), _ = read_samples(path, tiny_tokenizer)
    assert one.text == "\ufffd1"


def test_an_empty_file_and_one_in_another_encoding_are_one_sentence(tmp_path, tiny_tokenizer):
    path = tmp_path / "samples_x.jsonl"
    for content, reason in ((b"\n", "holds no sample"), ('"é"'.encode("latin-1"), "is not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(RunError, match=rf"samples_x\.jsonl {reason}"):
            read_samples(path, tiny_tokenizer)


def test_a_broken_line_is_named(tmp_path, tiny_tokenizer):
    path = tmp_path / "samples_x.jsonl"
    path.write_text('{"doc": {}, "target": 1')
    with pytest.raises(RunError, match=r"samples_x\.jsonl, line 1 is no sample"):
        read_samples(path, tiny_tokenizer)
    with pytest.raises(RunError, match="is missing"):
        read_samples(tmp_path / "none.jsonl", tiny_tokenizer)
