"""Notebooks as the JSON that they are: what the runner reads from them and publishes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from s1lib.artifacts import RunError, write_text

Notebook = dict[str, Any]


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
    """Put an executed notebook in its place, whole; returns the seconds that each cell took.

    Papermill's marks (times, paths) are taken out: equal results are equal bytes.
    """
    notebook = read_notebook(executed)
    notebook["metadata"].pop("papermill", None)
    marks = []
    for cell in notebook["cells"]:
        mark = cell["metadata"].pop("papermill", {})
        cell["metadata"].pop("execution", None)
        if cell["cell_type"] == "code":
            marks.append(round(mark.get("duration") or 0.0, 2))
        if not _tags(cell):
            cell["metadata"].pop("tags", None)
    _write(notebook, place)
    return marks


def refresh(source: Path, executed: Path) -> None:
    """Give an executed notebook the prose that its source has now; code and outputs stay.

    Raises `RunError` if somebody has changed its cells.
    """
    fresh, done = read_notebook(source), read_notebook(executed, "delete it and run again")
    injected = [cell for cell in done["cells"] if "injected-parameters" in _tags(cell)]
    results = [c for c in done["cells"] if c["cell_type"] == "code" and c not in injected]
    if len(results) != sum(cell["cell_type"] == "code" for cell in fresh["cells"]):
        raise RunError(f"{executed} was changed by hand: move it away and run again")
    cells = []
    for cell in fresh["cells"]:
        if cell["cell_type"] == "code":
            result = results.pop(0)
            cell |= {key: result[key] for key in ("outputs", "execution_count")}
        cells += [cell, *(injected if "parameters" in _tags(cell) else [])]
    if cells != done["cells"]:
        _write({**done, "cells": cells}, executed)


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def _write(notebook: Notebook, path: Path) -> None:
    write_text(path, json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
