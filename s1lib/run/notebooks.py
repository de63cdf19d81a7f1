"""Notebooks as the JSON that they are: what the runner reads from them and publishes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from s1lib.artifacts import RunError, write_text

Notebook = dict[str, Any]

_BAR = re.compile(r"\d%\|.*\| |\d+[a-z]+ \[\d\d:\d\d")  # as tqdm draws it, with and without a total
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MARKS = ("papermill", "execution", "widgets", "collapsed", "scrolled")


def read_notebook(path: Path, remedy: str = "take it back from git") -> Notebook:
    """Read a notebook; the source of every cell is one string. Raises `RunError` if it is none."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            cell["source"] = "".join(cell["source"])
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path} is not a notebook: {remedy}") from None
    return notebook


def code_cells(path: Path) -> list[str]:
    """The source of the code cells."""
    cells = read_notebook(path)["cells"]
    return [cell["source"] for cell in cells if cell["cell_type"] == "code"]


def publish(executed: Path, place: Path) -> list[float]:
    """Put an executed notebook in its place, whole and clean; returns the seconds of each cell."""
    notebook = read_notebook(executed)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    marks = [cell["metadata"].get("papermill", {}) for cell in cells]
    write_notebook(clean(notebook), place)
    return [round(mark.get("duration") or 0.0, 2) for mark in marks]


def clean(notebook: Notebook) -> Notebook:
    """The notebook without papermill's marks (times, paths) and progress bars, changed in place.

    Equal results are then equal bytes. Text streams, which a kernel sends in pieces, read as a
    terminal would show them once all bars have gone.
    """
    for part in (notebook, *notebook["cells"]):
        for mark in _MARKS:
            part["metadata"].pop(mark, None)
    for cell in notebook["cells"]:
        if not tags(cell):
            cell["metadata"].pop("tags", None)
        if cell["cell_type"] == "code":
            shown = [_as_shown(output) for output in _joined(cell["outputs"])]
            cell["outputs"] = _joined([output for output in shown if output], "\n")
    return notebook


def plain(text: str) -> str:
    """Text without what moves a terminal's cursor or colours its letters."""
    return _ESCAPE.sub("", text)


def _joined(outputs: list[dict[str, Any]], between: str = "") -> list[dict[str, Any]]:
    """Outputs with the pieces of a stream put together."""
    found: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] != "stream":
            found.append(output)
            continue
        text = "".join(output["text"])
        if found and found[-1].get("name") == output["name"]:
            found[-1]["text"] += between + text
        else:
            found.append({**output, "text": text})
    return found


def _as_shown(output: dict[str, Any]) -> dict[str, Any] | None:
    if output["output_type"] != "stream":
        return output
    lines = (line.rsplit("\r", 1)[-1].rstrip() for line in plain(output["text"]).split("\n"))
    text = "\n".join(line for line in lines if not _BAR.search(line)).strip("\n")
    return {**output, "text": text} if text.strip() else None


def refresh(source: Path, executed: Path) -> None:
    """Give an executed notebook the prose that its source has now; code and outputs stay.

    Raises `RunError` if somebody has changed its cells.
    """
    fresh, done = read_notebook(source), read_notebook(executed, "delete it and run again")
    injected = [cell for cell in done["cells"] if "injected-parameters" in tags(cell)]
    results = [c for c in done["cells"] if c["cell_type"] == "code" and c not in injected]
    if len(results) != sum(cell["cell_type"] == "code" for cell in fresh["cells"]):
        raise RunError(f"{executed} was changed by hand: move it away and run again")
    cells = []
    for cell in fresh["cells"]:
        if cell["cell_type"] == "code":
            result = results.pop(0)
            cell |= {key: result[key] for key in ("outputs", "execution_count")}
        cells += [cell, *(injected if "parameters" in tags(cell) else [])]
    if cells != done["cells"]:
        write_notebook({**done, "cells": cells}, executed)


def tags(cell: dict[str, Any]) -> list[str]:
    """Of a cell."""
    return cell["metadata"].get("tags", [])


def write_notebook(notebook: Notebook, path: Path) -> None:
    """Write a notebook (same notebook, same bytes)."""
    write_text(path, json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
