"""Notebooks as pages of the book: executed, described, or still to be run."""

from __future__ import annotations

import re

from s1lib.artifacts import RunError
from s1lib.run.notebooks import Notebook, tags
from s1lib.times import duration

_EXERCISE = re.compile(r"^(?=\*\*(\d+)\.)", re.MULTILINE)
_LABELLED = re.compile(r"^\$\$\n(?:.+\n)+?\$\$ \([\w-]+\)$", re.MULTILINE)


def for_readers(notebook: Notebook, name: str) -> Notebook:
    """A clean notebook as a page wants it, in place; `name` is what messages call it.

    Papermill's cell of injected values is hidden, a picture without a description is described
    by its section, links to pages are those of the site, and each exercise has an address, as
    `exercise-10-3`. Raises `RunError` naming the cell if an output is an error, or if the cell was
    not run.
    """
    again = f"Run it again with: python -m s1lib run --only {name[:2]}"
    section = name
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "markdown":
            heading = re.search(r"^#+ +(.+)$", cell["source"], flags=re.MULTILINE)
            section = heading[1] if heading else section
            cell["source"] = cell["source"].replace("](../jupyter_book/", "](../")
            if cell["source"].startswith("## Exercises\n"):
                place = rf"(exercise-{name[:2]}-\1)=\n"
                cell["source"] = _EXERCISE.sub(place, cell["source"])
        elif cell["source"].strip() and not cell.get("execution_count"):
            raise RunError(f"{name}, cell {number}, has not been run. {again}")
        if "injected-parameters" in tags(cell):
            cell["metadata"]["tags"] = [*tags(cell), "remove-cell"]
        for output in cell.get("outputs", ()):
            if output["output_type"] == "error":
                what = f"{output['ename']}: {output['evalue']}".splitlines()[0]
                raise RunError(f"{name}, cell {number}, holds an error ({what}). {again}")
            if any("image/" in kind for kind in output.get("data", ())):
                image = cell["metadata"].setdefault("mystnb", {}).setdefault("image", {})
                image.setdefault("alt", f"Plot: {section}")
    return notebook


def not_run(source: Notebook, name: str, profile: str, seconds: float | None) -> Notebook:
    """The page of a chapter that has not run: its promise, the command that makes it, and the
    equations that other chapters may refer to."""
    prose = [cell["source"] for cell in source["cells"][1:] if cell["cell_type"] == "markdown"]
    equations = "\n\n".join(_LABELLED.findall("\n\n".join(prose)))
    took = f" It took {duration(seconds)} when it last ran." if seconds else ""
    note = (
        f"\n\n:::{{important}}\nThis run has not come to this chapter yet.{took} Make it with "
        f"`python -m s1lib run --profile {profile} --to {name[:2]} --site`.\n:::\n"
    )
    if equations:
        note += f"\nEquations that other chapters refer to:\n\n{equations}\n"
    promise = source["cells"][0]
    return for_readers({**source, "cells": [{**promise, "source": promise["source"] + note}]}, name)
