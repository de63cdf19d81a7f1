"""Executed notebooks: published without times, and given new prose without running again."""

import json

import pytest
from nbformat import read, validate
from toybook import FIRST, notebook

from s1lib.artifacts import RunError
from s1lib.run.notebooks import clean, code_cells, publish, refresh


@pytest.fixture
def executed(tmp_path):
    """A notebook as papermill leaves it."""
    notebook(tmp_path / "executed.ipynb", FIRST)
    raw = json.loads((tmp_path / "executed.ipynb").read_text())
    raw["metadata"]["papermill"] = {"duration": 3.5, "output_path": "somewhere"}
    injected = {
        "id": "new",
        "cell_type": "code",
        "execution_count": 2,
        "metadata": {"tags": ["injected-parameters"]},
        "outputs": [],
        "source": 'run = "here"',
    }
    raw["cells"].insert(2, injected)
    for cell in raw["cells"]:
        cell["metadata"]["papermill"] = {"duration": 0.25, "start_time": "today"}
        cell["metadata"].setdefault("tags", [])
    raw["cells"][3] |= {
        "execution_count": 3,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": ["42\n"]}],
    }
    (tmp_path / "executed.ipynb").write_text(json.dumps(raw))
    return tmp_path / "executed.ipynb"


def test_what_is_published_is_a_valid_notebook_without_times_or_paths(executed, tmp_path):
    seconds = publish(executed, tmp_path / "published.ipynb")
    text = (tmp_path / "published.ipynb").read_text()
    assert seconds == [0.25, 0.25, 0.25]
    assert "papermill" not in text and "somewhere" not in text
    validate(read(tmp_path / "published.ipynb", as_version=4))


def test_a_bar_that_came_in_pieces_is_not_published():
    """On the laptop a bar takes minutes, and each of its states once was a line of the page."""
    states = [f"\rdecode:  {n}%|█▎        | {n}/100 [00:05<00:33, 41.36run/s]" for n in (0, 13, 94)]
    pieces = [
        "before\n",
        *states,
        "\r        \r",
        "\x1b[A",
        "\rready: 12it [00:05, 2.4it/s]\n",
        ["99%", "|\n"],
    ]
    outputs = [{"output_type": "stream", "name": "stderr", "text": text} for text in pieces]
    notebook = {
        "metadata": {},
        "cells": [{"cell_type": "code", "metadata": {}, "outputs": outputs}],
    }
    (output,) = clean(notebook)["cells"][0]["outputs"]
    assert output["text"] == "before\n99%|"


def test_streams_keep_their_order_and_outputs_between_them():
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "a\n"},
        {"output_type": "stream", "name": "stdout", "text": "b\n"},
        {"output_type": "stream", "name": "stderr", "text": "\r  50%|#    | 1/2\r"},
        {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "4"}},
        {"output_type": "stream", "name": "stdout", "text": "c\n"},
    ]
    notebook = {
        "metadata": {},
        "cells": [{"cell_type": "code", "metadata": {}, "outputs": outputs}],
    }
    shown = [one.get("text", "4") for one in clean(notebook)["cells"][0]["outputs"]]
    assert shown == ["a\nb", "4", "c"]


def test_lines_on_both_sides_of_a_bar_stay_lines():
    """The bar goes; "not 161,548" and "24 of 24 identical" became "not 161,54824 of 24"."""
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "not 161,548\n"},
        {"output_type": "stream", "name": "stderr", "text": "\r  50%|#    | 1/2\r"},
        {"output_type": "stream", "name": "stdout", "text": "24 of 24 identical\n"},
    ]
    notebook = {
        "metadata": {},
        "cells": [{"cell_type": "code", "metadata": {}, "outputs": outputs}],
    }
    (shown,) = clean(notebook)["cells"][0]["outputs"]
    assert shown["text"] == "not 161,548\n24 of 24 identical"


def test_new_prose_reaches_the_executed_notebook_and_its_outputs_stay(executed, tmp_path):
    notebook(tmp_path / "source.ipynb", FIRST, prose="Better words.")
    refresh(tmp_path / "source.ipynb", executed)
    cells = read(executed, as_version=4).cells
    assert cells[0].source == "Better words."
    assert [cell.source for cell in cells[1:]][1] == 'run = "here"'
    assert cells[3].outputs[0].text == "42\n" and cells[3].execution_count == 3


def test_without_new_prose_nothing_is_written(executed, tmp_path):
    notebook(tmp_path / "source.ipynb", FIRST)
    refresh(tmp_path / "source.ipynb", executed)
    before = executed.stat().st_mtime_ns
    refresh(tmp_path / "source.ipynb", executed)
    assert executed.stat().st_mtime_ns == before


def test_a_file_that_is_no_notebook_is_one_sentence(tmp_path):
    (tmp_path / "01_a.ipynb").write_text("{")
    with pytest.raises(RunError, match=r"01_a\.ipynb is not a notebook"):
        code_cells(tmp_path / "01_a.ipynb")
