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
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from s1lib import figures, speed, tables
from s1lib.artifacts import RunError, read_json, replace_folder, write_text
from s1lib.claims import ledger, markdown
from s1lib.profile import NAMES, load_profile
from s1lib.results import read_all
from s1lib.run.notebooks import Notebook, clean, plain, read_notebook, tags, write_notebook

PAGES = Path(__file__).parents[1] / "jupyter_book"
_NEEDED_OF_MATHJAX = ("tex-chtml.js", "output", "input")
_HEAD = re.compile(
    r"\A\s*(?:<!doctype[^>]*>)?\s*(?:<html[^>]*>)?\s*(?:<head[^>]*>)?", re.IGNORECASE
)
_CHAPTER = re.compile(r"\[([^\]]*)\]\(([\w-]+\.ipynb)\)")
# Scripts and styles within a page are the theme's and the outputs' own. From disk a page's own
# files have the scheme `file:`, on a server its host.
_OWN = "'self' file: data: blob:"
POLICY = f"default-src {_OWN} 'unsafe-inline'; base-uri 'none'; form-action 'self' file:"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="laptop", help=f"{', '.join(NAMES)} or a .yaml file")
    parser.add_argument("--run", default="", help="run folder (default: results/<profile>)")


def main(args: argparse.Namespace) -> int:
    page = build(args.profile, load_profile(args.profile, args.run).run)
    print(f"The book is built. Open it in a browser: {page}")
    return 0


def build(profile: str, run: Path, pages: Path = PAGES) -> Path:
    """Build the site of `run` and return its first page, `<run>/site/index.html`.

    The old site stays in place until the new one is finished. Raises `RunError` when there is no
    executed notebook, when one holds an error, when Jupyter Book warns about anything (a broken
    link, a missing picture, an unknown reference).
    """
    executed = sorted((run / "notebooks").glob("*.ipynb"))
    notebooks = [path for path in executed if not path.stem.endswith(".failed")]
    if not notebooks:
        command = f"python -m s1lib run --profile {profile}"
        raise RunError(f"{run / 'notebooks'} has no executed notebook. Make them with: {command}")
    stage = run / ".site"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        _stage(profile, run, notebooks, pages, stage)
        site = _jupyter_book(stage)
        _prune(site)
        fence(site)
        replace_folder(site, run / "site")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return run / "site" / "index.html"


def for_readers(notebook: Notebook, name: str, absent: Collection[str] = ()) -> Notebook:
    """A clean notebook as a page wants it, in place; `name` is what messages call it.

    Papermill's cell of injected values is hidden, a picture without a description is described
    by its section, links to pages are those of the site, and a link to an `absent` notebook, which
    this run has not made, is its text. Raises `RunError` naming the cell if an output is an error.
    """
    section = name
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "markdown":
            heading = re.search(r"^#+ +(.+)$", cell["source"], flags=re.MULTILINE)
            section = heading[1] if heading else section
            text = cell["source"].replace("](../jupyter_book/", "](../")
            cell["source"] = _CHAPTER.sub(lambda m: m[1] if m[2] in absent else m[0], text)
        if "injected-parameters" in tags(cell):
            cell["metadata"]["tags"] = [*tags(cell), "remove-cell"]
        for output in cell.get("outputs", ()):
            if output["output_type"] == "error":
                what = f"{output['ename']}: {output['evalue']}".splitlines()[0]
                raise RunError(
                    f"{name}, cell {number}, holds an error ({what}). "
                    f"Run it again with: python -m s1lib run --only {name[:2]}"
                )
            if any("image/" in kind for kind in output.get("data", ())):
                image = cell["metadata"].setdefault("mystnb", {}).setdefault("image", {})
                image.setdefault("alt", f"Plot: {section}")
    return notebook


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


def _stage(profile: str, run: Path, notebooks: list[Path], pages: Path, stage: Path) -> None:
    """Put everything that the book is made of into one folder."""
    if not (pages / "_config.yml").is_file():
        raise RunError(f"{pages / '_config.yml'} is missing. Restore it with: git checkout {pages}")
    shutil.copytree(pages, stage, ignore=shutil.ignore_patterns("_build", ".*"))
    absent = {file.name for file in (pages.parent / "notebooks").glob("*.ipynb")}
    absent -= {file.name for file in notebooks}
    for file in notebooks:
        page = for_readers(clean(read_notebook(file)), file.name, absent)
        write_notebook(page, stage / "notebooks" / file.name)
    from s1lib import fidelity  # brings torch along

    facts = read_all(run)
    generated = stage / "generated"
    write_text(generated / "status.md", status_table(run))
    write_text(generated / "claims.md", markdown(ledger(facts)))
    write_text(generated / "fidelity.md", fidelity.markdown(run))
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


def _jupyter_book(stage: Path) -> Path:
    call = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", call, "build", str(stage)]
    flags = ["-W", "-n", "--keep-going", "--path-output", str(stage)]
    done = subprocess.run([*command, *flags], capture_output=True, text=True)
    if done.returncode:
        log = plain(done.stdout + done.stderr)
        trouble = [line for line in log.splitlines() if re.search(r"WARNING|ERROR|Error", line)]
        first = (trouble or log.splitlines() or ["it said nothing"])[0].strip()
        first = first.replace(f"{stage}/", "").replace(f"{stage.resolve()}/", "")
        raise RunError(f"Jupyter Book stopped ({len(trouble)} warnings); the first: {first}")
    return stage / "_build" / "html"


def _prune(site: Path) -> None:
    """Leave out what no page uses: most of MathJax, and Sphinx's book-keeping."""
    mathjax = site / "_static" / "mathjax"
    for part in mathjax.iterdir() if mathjax.is_dir() else ():
        if part.name not in _NEEDED_OF_MATHJAX:
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    (site / ".buildinfo").unlink(missing_ok=True)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _versions(versions: Any) -> str:
    if isinstance(versions, dict):
        return ", ".join(f"{name} {version}" for name, version in versions.items())
    return str(versions or "–")
