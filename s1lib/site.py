"""The published book: executed notebooks and pages become one static site that opens from disk.

`python -m s1lib site` builds it from a run folder.

`build` stages what a run has (its executed notebooks, status, figures and claims) together with
the pages in `jupyter_book/`, calls Jupyter Book with warnings fatal, and publishes the finished
site as `<run>/site`, whole or not at all. No page asks another host for anything: each carries a
policy that a browser holds it to, whatever a notebook's outputs may try to load.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from s1lib import explore, figures, speed, tables
from s1lib.artifacts import RunError, read_json, replace_folder, write_text
from s1lib.claims import ledger, markdown
from s1lib.profile import NAMES, load_profile
from s1lib.results import read_all
from s1lib.run.notebooks import Notebook, clean, plain, read_notebook, tags, write_notebook
from s1lib.students import for_students

PAGES = Path(__file__).parents[1] / "jupyter_book"
_LABELLED = re.compile(r"^\$\$\n(?:.+\n)+?\$\$ \([\w-]+\)$", re.MULTILINE)
_NEEDED_OF_MATHJAX = ("tex-chtml.js", "output", "input")
_HEAD = re.compile(
    r"\A\s*(?:<!doctype[^>]*>)?\s*(?:<html[^>]*>)?\s*(?:<head[^>]*>)?", re.IGNORECASE
)
# Scripts and styles within a page are the theme's and the outputs' own. From disk a page's own
# files have the scheme `file:`, on a server its host.
_OWN = "'self' file: data: blob:"
POLICY = f"default-src {_OWN} 'unsafe-inline'; base-uri 'none'; form-action 'self' file:"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="laptop", help=f"{', '.join(NAMES)} or a .yaml file")
    parser.add_argument("--run", default="", help="run folder (default: results/<profile>)")
    parser.add_argument(
        "--repository", default="", metavar="URL", help="where source, edit and launch links lead"
    )
    parser.add_argument(
        "--single", action="store_true", help="make one page of it, to print, in <run>/single"
    )
    parser.add_argument("--whole", action="store_true", help="fail if a chapter has not been run")


def main(args: argparse.Namespace) -> int:
    run = load_profile(args.profile, args.run).run
    wanted = {"repository": args.repository, "whole": args.whole, "single": args.single}
    page = build(args.profile, run, **wanted)
    there, chapters = len(_executed(run)), len(_sources(PAGES))
    print(f"The book is built, {there} of {chapters} chapters. Open it in a browser: {page}")
    return 0


def build(
    profile: str,
    run: Path,
    pages: Path = PAGES,
    repository: str = "",
    whole: bool = False,
    single: bool = False,
) -> Path:
    """Build the site of `run` and return its first page, `<run>/site/index.html`, or the `single`
    page that holds all others, `<run>/single/intro.html`.

    A chapter that has not run is a page that says so, and an error if the `whole` book is wanted.
    With the address of a `repository`, pages lead to their source there and can be launched.
    The old site stays in place until the new one is finished. Raises `RunError` when there is no
    executed notebook, when one holds an error or a cell that was not run, when Jupyter Book warns
    about anything (a missing picture, an unknown reference), when a link leads nowhere.
    """
    notebooks = _executed(run)
    command = f"python -m s1lib run --profile {profile}"
    if not notebooks:
        raise RunError(f"{run / 'notebooks'} has no executed notebook. Make them with: {command}")
    absent = sorted({file.name for file in _sources(pages)} - {file.name for file in notebooks})
    if whole and absent:
        raise RunError(f"{run / 'notebooks'} has no {absent[0]}. Make it with: {command}")
    stage = run / ".site"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        _stage(profile, run, notebooks, pages, stage)
        if repository:
            _link_to(repository, stage)
        site = _jupyter_book(stage, "singlehtml" if single else "html")
        _prune(site)
        if not single:  # whose theme leads to the search and index that one page has not
            check_links(site)
        fence(site)
        replace_folder(site, run / ("single" if single else "site"))
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return run / "single" / "intro.html" if single else run / "site" / "index.html"


def for_readers(notebook: Notebook, name: str) -> Notebook:
    """A clean notebook as a page wants it, in place; `name` is what messages call it.

    Papermill's cell of injected values is hidden, a picture without a description is described
    by its section, and links to pages are those of the site. Raises `RunError` naming the cell if
    an output is an error, or if the cell was not run.
    """
    again = f"Run it again with: python -m s1lib run --only {name[:2]}"
    section = name
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "markdown":
            heading = re.search(r"^#+ +(.+)$", cell["source"], flags=re.MULTILINE)
            section = heading[1] if heading else section
            cell["source"] = cell["source"].replace("](../jupyter_book/", "](../")
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
    took = f" It took {_duration(seconds)} when it last ran." if seconds else ""
    note = (
        f"\n\n:::{{important}}\nThis run has not come to this chapter yet.{took} Make it with "
        f"`python -m s1lib run --profile {profile} --to {name[:2]} --site`.\n:::\n"
    )
    if equations:
        note += f"\nEquations that other chapters refer to:\n\n{equations}\n"
    promise = source["cells"][0]
    return for_readers({**source, "cells": [{**promise, "source": promise["source"] + note}]}, name)


def status_table(run: Path) -> str:
    """`status/NN.json` of every chapter as a Markdown table, with a row for the sum."""
    files = sorted((run / "status").glob("*.json"))
    if not files:
        return "No chapter of this run has reported its status.\n"
    rows, total = [], 0.0
    for file in files:
        status = read_json(file)
        seconds = status.get("seconds")
        total += seconds or 0
        rows.append(
            (
                file.stem,
                _duration(seconds),
                str(status.get("device", "–")),
                str(status.get("date", "–"))[:10],
                _versions(status.get("versions")),
            )
        )
    rows.append(("**all**", f"**{_duration(total)}**", "", "", ""))
    head = ("Chapter", "Time", "Device", "Date", "Versions")
    lines = [head, ("---", "---:", "---", "---", "---"), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def fence(site: Path) -> None:
    """Put the policy into every page, before anything that a page could load."""
    tag = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        write_text(page, _HEAD.sub(lambda head: f"{head[0]}{tag}", text, count=1))


def check_links(site: Path) -> None:
    """Raise `RunError` where a page leads to a file, or a place on a page, that is not there."""
    files = [page for page in site.rglob("*.html") if "_static" not in page.parts]
    pages = {page.resolve(): _Page(page) for page in files}
    for page, read in pages.items():
        for link in read.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            there = pages.get(target)
            if not target.exists() or (there and parts.fragment and not there.has(parts.fragment)):
                raise RunError(
                    f"{page.relative_to(site.resolve())} has a link that leads nowhere ({link}): "
                    "mend it in the page or notebook that it is made from"
                )


class _Page(HTMLParser):
    """What a page links to, and the places on it that can be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = {"", "#"}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.places.add(value)

    def has(self, fragment: str) -> bool:
        return unquote(fragment) in self.places


def _executed(run: Path) -> list[Path]:
    """The notebooks of a run, without what is left of those that failed."""
    found = sorted((run / "notebooks").glob("*.ipynb"))
    return [path for path in found if not path.stem.endswith(".failed")]


def _sources(pages: Path) -> list[Path]:
    """The notebooks of the book, run or not."""
    return sorted((pages.parent / "notebooks").glob("*.ipynb"))


def _link_to(repository: str, stage: Path) -> None:
    """Links from each page to its source, to an editor and to a machine that runs the book."""
    file = stage / "_config.yml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["repository"] = {"url": repository, "path_to_book": "", "branch": "main"}
    names = ("use_repository_button", "use_edit_page_button", "use_issues_button")
    config["html"] |= dict.fromkeys(names, True)
    config["sphinx"]["config"]["html_theme_options"] |= {
        "repository_url": repository,
        "repository_branch": "main",
        **dict.fromkeys((*names, "use_source_button"), True),
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        },
    }
    write_text(file, yaml.safe_dump(config, sort_keys=False))


def _stage(profile: str, run: Path, notebooks: list[Path], pages: Path, stage: Path) -> None:
    """Put everything that the book is made of into one folder."""
    if not (pages / "_config.yml").is_file():
        raise RunError(f"{pages / '_config.yml'} is missing. Restore it with: git checkout {pages}")
    shutil.copytree(pages, stage, ignore=shutil.ignore_patterns("_build", ".*"))
    run_at = {file.name: file for file in notebooks}
    for source in _sources(pages):
        write_notebook(for_students(read_notebook(source)), stage / "students" / source.name)
        if source.name not in run_at:
            seconds = _status(run, source.name[:2]).get("seconds")
            page = not_run(read_notebook(source), source.name, profile, seconds)
            write_notebook(page, stage / "notebooks" / source.name)
    for name, file in run_at.items():
        page = for_readers(clean(read_notebook(file)), name)
        write_notebook(page, stage / "notebooks" / name)
    from s1lib import fidelity, worlds  # bring torch along

    facts = read_all(run)
    generated = stage / "generated"
    handed_out = [f"{{download}}`{s.stem} </students/{s.name}>`" for s in _sources(pages)]
    write_text(generated / "students.md", ",\n".join(handed_out) + ".\n")
    write_text(generated / "status.md", status_table(run))
    rows = ledger(facts)
    write_text(generated / "claims.md", markdown(rows))
    parts = {
        "budgets": {"benchmarks": explore.budgets(run, facts)},
        "traces": explore.traces(run),
        "ledger": {"rows": rows},
    }
    for name, data in parts.items():
        write_text(generated / f"{name}.html", explore.render(pages, name, **data))
    write_text(generated / "fidelity.md", fidelity.markdown(run))
    write_text(generated / "worlds.md", worlds.markdown())
    write_text(generated / "run.md", _about(profile, run))
    write_text(generated / "speed.md", speed.markdown(speed.measured()))
    figures.style()
    figure = figures.draw_scaling(tables.scaling(facts))
    figures.save(figure, generated / "figure_1.svg")
    toc = yaml.safe_load((stage / "_toc.yml").read_text(encoding="utf-8"))
    write_text(stage / "_toc.yml", yaml.safe_dump(existing(toc, stage), sort_keys=False))


def existing(toc: dict[str, Any], stage: Path) -> dict[str, Any]:
    """The table of contents without entries and parts for which there is no file."""
    parts = []
    for part in toc["parts"]:
        chapters = [
            entry
            for entry in part["chapters"]
            if any(stage.glob(f"{entry['file']}.*" if "file" in entry else entry["glob"]))
        ]
        if chapters:
            parts.append({**part, "chapters": chapters})
    return {**toc, "parts": parts}


def _status(run: Path, number: str) -> dict[str, Any]:
    """What is known of a chapter's last run, here or on the reference machine."""
    file = run / "status" / f"{number}.json"
    return read_json(file) if file.is_file() else {}


def _about(profile: str, run: Path) -> str:
    """One line under the picture: what was measured, where and how long it took."""
    statuses = [read_json(file) for file in sorted((run / "status").glob("*.json"))]
    seconds = sum(status.get("seconds") or 0 for status in statuses)
    devices = ", ".join(sorted({str(s["device"]) for s in statuses if s.get("device")}))
    measured = f"Measured with the `{profile}` profile"
    if devices:
        measured += f" on {devices}"
    if seconds:
        measured += f", all chapters in {_duration(seconds)}"
    return measured + ".\n"


def _jupyter_book(stage: Path, builder: str) -> Path:
    call = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", call, "build", str(stage)]
    flags = ["--builder", builder, "-W", "-n", "--keep-going", "--path-output", str(stage)]
    done = subprocess.run([*command, *flags], capture_output=True, text=True)
    if done.returncode:
        log = plain(done.stdout + done.stderr)
        trouble = [line for line in log.splitlines() if re.search(r"WARNING|ERROR|Error", line)]
        first = (trouble or log.splitlines() or ["it said nothing"])[0].strip()
        first = first.replace(f"{stage}/", "").replace(f"{stage.resolve()}/", "")
        raise RunError(f"Jupyter Book stopped ({len(trouble)} warnings); the first: {first}")
    return stage / "_build" / builder


def _prune(site: Path) -> None:
    """Leave out what no page uses: most of MathJax, Sphinx's book-keeping, and the role of a list
    that Sphinx gives the bibliography, whose entries are no items of one."""
    mathjax = site / "_static" / "mathjax"
    for part in mathjax.iterdir() if mathjax.is_dir() else ():
        if part.name not in _NEEDED_OF_MATHJAX:
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    (site / ".buildinfo").unlink(missing_ok=True)
    for page in site.glob("bibliography.html"):
        text = page.read_text(encoding="utf-8")
        write_text(
            page, text.replace(' role="list" class="citation-list"', ' class="citation-list"')
        )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _versions(versions: Any) -> str:
    if isinstance(versions, dict):
        return ", ".join(f"{name} {version}" for name, version in versions.items())
    return str(versions or "–")
