"""Slides of a chapter, from the tags of its cells: nbconvert's, with reveal.js beside them.

A cell tagged `slide` begins one, `slide-more` goes on with it, and of one tagged `slide-output`
only what it shows goes on with it, or begins one if it is tagged `slide`, too. A heading inside
prose begins one in any case, and a slide that brings none stands under that of its section. Cells
without a tag are for reading, and exercises for afterwards.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from html import escape
from importlib.resources import as_file, files
from pathlib import Path

from s1lib.artifacts import write_text
from s1lib.run.notebooks import Notebook, tags

_TAGS = {"slide", "slide-more", "slide-output"}
_INSIDE = re.compile(r"\n\n(?=#{2,} )")  # before a heading inside prose
_TITLE = {"cell_type": "markdown", "metadata": {}}
_PAGE = re.compile(r"\]\((?:(\.\./)|(?=[0-9A-Z]\d_))([\w/]+)\.(?:md|ipynb)")


def slides(notebook: Notebook) -> Notebook:
    """The tagged cells of a notebook, as nbconvert wants them; without cells if none is tagged."""
    cells: list[Notebook] = []
    section = ""
    for cell in notebook["cells"]:
        tagged = _TAGS & set(tags(cell))
        prose = cell["cell_type"] == "markdown"
        parts = _INSIDE.split(cell["source"]) if prose else [cell["source"]]
        for place, part in enumerate(parts):
            opens = prose and part.startswith("#")
            section = part.partition("\n")[0] if opens else section
            if not tagged or section == "## Exercises":
                continue
            begins = "slide" in tagged or place > 0
            if begins and not opens:
                cells.append(_piece(_TITLE, section, begins))
            cells.append(_piece(cell, part, begins and opens, "slide-output" in tagged))
    named = [{**cell, "id": f"piece-{place}"} for place, cell in enumerate(cells)]
    return {**notebook, "cells": named}


def contents(titles: Mapping[str, str]) -> str:
    """Links to the slides of chapters, by their name, as HTML."""
    links = (f'<li><a href="slides/{n}.html">{escape(t)}</a></li>' for n, t in titles.items())
    return "<ul>\n" + "\n".join(links) + "\n</ul>\n" if titles else "<p>No chapter has any.</p>\n"


def title(notebook: Notebook) -> str:
    """The heading of a notebook."""
    return notebook["cells"][0]["source"].partition("\n")[0].lstrip("# ")


def write(decks: Mapping[str, Notebook], pages: Path, site: Path) -> None:
    """Write `site/slides/<name>.html`, for each name the `slides` of a notebook.

    `pages` has the template; styles, MathJax and reveal.js are in the site's `_static`.
    """
    import nbformat
    from nbconvert.exporters import SlidesExporter

    reveal = site / "_static" / "reveal"
    reveal.mkdir(parents=True, exist_ok=True)
    with as_file(files("sphinx_revealjs") / "_static" / "revealjs" / "dist") as dist:
        for name in ("reveal.js", "reveal.css"):
            shutil.copy(dist / name, reveal)
    exporter = SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(pages / "_templates")],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    for name, deck in decks.items():
        about = {"metadata": {"name": name, "title": title(deck)}}
        whole = nbformat.reads(json.dumps(deck), as_version=4)  # text in one piece, not in lines
        page, _ = exporter.from_notebook_node(whole, about)
        write_text(site / "slides" / f"{name}.html", page)


def _piece(cell: Notebook, source: str, begins: bool, hidden: bool = False) -> Notebook:
    """A cell as nbconvert wants it: `source` in place of its own, on a slide of its own or not."""
    slide = {"slideshow": {"slide_type": "slide" if begins else "-"}}
    metadata = {**cell["metadata"], **slide, "transient": {"remove_source": hidden}}
    return {**cell, "source": _PAGE.sub(_on_the_site, source), "metadata": metadata}


def _on_the_site(link: re.Match[str]) -> str:
    """A link of a page or notebook to another, from where the slides are."""
    return f"](../{'' if link[1] else 'notebooks/'}{link[2]}.html"
