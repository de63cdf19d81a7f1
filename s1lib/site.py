"""The published book: executed notebooks and pages become one static site that opens from disk.

`python -m s1lib site` builds it from a run folder.

`build` stages what a run has (its executed notebooks, status, figures and claims) together with
the pages in `jupyter_book/`, calls Jupyter Book with warnings fatal, and publishes the finished
site as `<run>/site`, whole or not at all.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from s1lib import explore, figures, links, slides, speed, tables, times
from s1lib.artifacts import RunError, replace_folder, write_text
from s1lib.claims import ledger, markdown
from s1lib.explore import PAGES
from s1lib.policy import fence
from s1lib.profile import add_profile, load_profile
from s1lib.readers import for_readers, not_run
from s1lib.results import read_all
from s1lib.run.graph import read_graph, writer_of
from s1lib.run.notebooks import Notebook, clean, plain, read_notebook, write_notebook
from s1lib.run.state import last_run
from s1lib.students import for_a_host, for_students

_NEEDED_OF_MATHJAX = ("tex-chtml.js", "output", "input")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_profile(parser)
    parser.add_argument(
        "--repository", default="", metavar="URL", help="where source, edit and launch links lead"
    )
    parser.add_argument(
        "--single", action="store_true", help="make one page of it, to print, in <run>/single"
    )
    parser.add_argument("--whole", action="store_true", help="fail if a chapter has not been run")


def main(args: argparse.Namespace) -> None:
    run = load_profile(args.profile, args.run).run
    page = build(args.profile, run, PAGES, args.repository, args.whole, args.single)
    there, chapters = len(_executed(run)), len(_sources(PAGES))
    print(f"The book is built, {there} of {chapters} chapters. Open it in a browser: {page}")


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
        decks = _stage(profile, run, notebooks, pages, stage)
        if repository:
            _link_to(repository, stage)
            _for_hosts(repository, pages, stage)
        site = _jupyter_book(stage, "singlehtml" if single else "html")
        _prune(site)
        slides.write(decks, pages, site)
        if not single:  # whose theme leads to the search and index that one page has not
            links.check(site)
        fence(site)
        replace_folder(site, run / ("single" if single else "site"))
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return run / "single" / "intro.html" if single else run / "site" / "index.html"


def _executed(run: Path) -> list[Path]:
    """The notebooks of a run, without what is left of those that failed."""
    found = sorted((run / "notebooks").glob("*.ipynb"))
    return [path for path in found if not path.stem.endswith(".failed")]


def _sources(pages: Path) -> list[Path]:
    """The chapters of the book, run or not."""
    return sorted((pages.parent / "notebooks").glob("[0-9A-Z][0-9]_*.ipynb"))


def _link_to(repository: str, stage: Path) -> None:
    """Links from each page to its source, to an editor and to a machine that runs the book."""
    file = stage / "_config.yml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    buttons = ("repository", "edit_page", "issues", "source")
    config["sphinx"]["config"]["html_theme_options"] |= {
        "repository_url": repository,
        "repository_branch": "main",
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        },
        **{f"use_{name}_button": True for name in buttons},
    }
    write_text(file, yaml.safe_dump(config, sort_keys=False))


def _for_hosts(repository: str, pages: Path, stage: Path) -> None:
    """Notebooks to hand out get ready by themselves where nothing is installed."""
    chapters = read_graph(pages.parent)
    for chapter in chapters:
        file = stage / "students" / chapter.notebook.name
        writers = (writer_of(name, chapters) for name in chapter.reads)
        before = max((writer.number for writer in writers if writer), default="")
        write_notebook(for_a_host(read_notebook(file), repository, before), file)


def _stage(
    profile: str, run: Path, notebooks: list[Path], pages: Path, stage: Path
) -> dict[str, Notebook]:
    """Put everything that the book is made of into one folder; the slides of its chapters."""
    if not (pages / "_config.yml").is_file():
        raise RunError(f"{pages / '_config.yml'} is missing. Restore it with: git checkout {pages}")
    shutil.copytree(pages, stage, ignore=shutil.ignore_patterns("_build", ".*"))
    run_at = {file.name: file for file in notebooks}
    for source in (pages.parent / "notebooks").glob("*.ipynb"):  # one of them is no chapter
        write_notebook(for_students(read_notebook(source)), stage / "students" / source.name)
    for source in _sources(pages):
        if source.name not in run_at:
            took = last_run(source.name[:2], run).get("seconds")
            page = not_run(read_notebook(source), source.name, profile, took)
            write_notebook(page, stage / "notebooks" / source.name)
    decks = {}
    for name, file in run_at.items():
        page = for_readers(clean(read_notebook(file)), name)
        if took := last_run(name[:2], run).get("seconds"):
            said = f"*This run took {times.duration(took)}.*"
            cell = {"cell_type": "markdown", "id": "took", "metadata": {}, "source": said}
            page["cells"].insert(1, cell)
        write_notebook(page, stage / "notebooks" / name)
        deck = slides.slides(for_students(page))
        if deck["cells"]:
            decks[file.stem] = deck
    from s1lib import fidelity, worlds  # bring torch along

    facts = read_all(run)
    generated = stage / "generated"
    handed_out = [f"{{download}}`{s.stem} </students/{s.name}>`" for s in _sources(pages)]
    write_text(generated / "students.md", ",\n".join(handed_out) + ".\n")
    titles = {name: slides.title(deck) for name, deck in decks.items()}
    write_text(generated / "slides.html", slides.contents(titles))
    write_text(generated / "status.md", times.table(run))
    rows = ledger(facts)
    write_text(generated / "claims.md", markdown(rows))
    parts = {
        "budgets": {"benchmarks": explore.budgets(run, facts)},
        "traces": explore.traces(run),
        "ledger": {"rows": rows, "worlds": worlds.by_claim()},
    }
    for name, data in parts.items():
        write_text(generated / f"{name}.html", explore.render(pages, name, **data))
    write_text(generated / "fidelity.md", fidelity.markdown(run))
    write_text(generated / "worlds.md", worlds.markdown())
    write_text(generated / "ledgers.md", worlds.ledgers(rows))
    write_text(generated / "run.md", times.about(profile, run))
    write_text(generated / "speed.md", speed.markdown(speed.measured()))
    figures.style()
    figures.save(figures.draw_scaling(tables.scaling(facts)), generated / "figure_1.svg")
    toc = yaml.safe_load((stage / "_toc.yml").read_text(encoding="utf-8"))
    write_text(stage / "_toc.yml", yaml.safe_dump(existing(toc, stage), sort_keys=False))
    return decks


def existing(toc: dict[str, Any], stage: Path) -> dict[str, Any]:
    """The table of contents without entries and parts for which there is no file."""

    def is_there(entry: dict[str, str]) -> bool:
        return any(stage.glob(f"{entry['file']}.*" if "file" in entry else entry["glob"]))

    parts = [{**part, "chapters": [*filter(is_there, part["chapters"])]} for part in toc["parts"]]
    return {**toc, "parts": [part for part in parts if part["chapters"]]}


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
