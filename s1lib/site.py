"""The published book: executed notebooks and pages become one static site that opens from disk.

`build` stages what a run has (its executed notebooks, status, figures and claims) together with
the pages in `jupyter_book/`, calls Jupyter Book with warnings fatal, and publishes the finished
site as `<run>/site`, whole or not at all. No page asks another host for anything.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import yaml

from s1lib import figures, speed, tables
from s1lib.artifacts import RunError, read_json, replace_folder, write_text
from s1lib.claims import ledger, markdown
from s1lib.results import read_all

PAGES = Path(__file__).parents[1] / "jupyter_book"
_BAR = re.compile(r"\d%\|.*\| |\d+[a-z]+ \[\d\d:\d\d")  # as tqdm draws it, with and without a total
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NEEDED_OF_MATHJAX = ("tex-chtml.js", "output", "input")
_LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


def build(profile: str, run: Path, pages: Path = PAGES) -> Path:
    """Build the site of `run` and return its first page, `<run>/site/index.html`.

    The old site stays in place until the new one is finished. Raises `RunError` when there is no
    executed notebook, when one holds an error, when Jupyter Book warns about anything (a broken
    link, a missing picture, an unknown reference), or when a page would load something from
    elsewhere.
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
        loads = list(foreign_loads(site))
        if loads:
            page, url = loads[0]
            raise RunError(f"{page} would load {url}: the book must not need a network")
        replace_folder(site, run / "site")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return run / "site" / "index.html"


def clean(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """A notebook as a reader wants it, in place: no times, no error, no progress bars.

    Papermill's times and its cell of injected values go; text streams read as a terminal would
    show them once all bars have gone; a picture without a description is described by its section.
    Raises `RunError` naming the cell if an output is an error.
    """
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    section = name
    for number, cell in enumerate(notebook.cells, start=1):
        for key in ("papermill", "execution", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "markdown":
            heading = re.search(r"^#+ +(.+)$", cell.source, flags=re.MULTILINE)
            section = heading[1] if heading else section
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.metadata["tags"] = [*tags, "remove-cell"]
        cell.outputs = [_tidied(output, name, number) for output in _joined(cell.outputs)]
        cell.outputs = [output for output in cell.outputs if output is not None]
        if any("image/" in kind for output in cell.outputs for kind in output.get("data", {})):
            image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
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


def foreign_loads(site: Path) -> Iterator[tuple[str, str]]:
    """Pairs of page and address for everything that a page would fetch from another host.

    A link that a reader may click is no load. Covers scripts, pictures, frames, style sheets
    and what these import.
    """
    for page in sorted(site.rglob("*.html")):
        finder = _Loads()
        finder.feed(page.read_text(encoding="utf-8"))
        yield from ((str(page.relative_to(site)), url) for url in finder.found)
    for sheet in sorted(site.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8")
        for url in re.findall(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""", text):
            yield str(sheet.relative_to(site)), url


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        url = values.get(_LOADS.get(tag, ""))
        if tag == "link" and {"stylesheet", "preload", "icon", "preconnect"} & set(
            (values.get("rel") or "").split()
        ):
            url = values.get("href")
        if url and url.startswith(("http:", "https:", "//")):
            self.found.append(url)


def _stage(profile: str, run: Path, notebooks: list[Path], pages: Path, stage: Path) -> None:
    """Put everything that the book is made of into one folder."""
    if not (pages / "_config.yml").is_file():
        raise RunError(f"{pages / '_config.yml'} is missing. Restore it with: git checkout {pages}")
    shutil.copytree(pages, stage, ignore=shutil.ignore_patterns("_build", ".*"))
    (stage / "notebooks").mkdir()
    for file in notebooks:
        notebook = nbformat.read(file, as_version=4)
        nbformat.write(clean(notebook, file.name), stage / "notebooks" / file.name)
    facts = read_all(run)
    generated = stage / "generated"
    write_text(generated / "status.md", status_table(run))
    write_text(generated / "claims.md", markdown(ledger(facts)))
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
        log = _ESCAPE.sub("", done.stdout + done.stderr)
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


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Outputs with the pieces of a stream put together: a kernel sends them as they come."""
    found: list[nbformat.NotebookNode] = []
    for output in outputs:
        before = found[-1] if found else output
        streams = output.output_type == before.output_type == "stream"
        if found and streams and output.name == before.name:
            before.text += output.text
        else:
            found.append(output)
    return found


def _tidied(output: nbformat.NotebookNode, name: str, number: int) -> nbformat.NotebookNode | None:
    if output.output_type == "error":
        what = f"{output.ename}: {output.evalue}".splitlines()[0]
        chapter = name[:2]
        raise RunError(
            f"{name}, cell {number}, holds an error ({what}). "
            f"Run it again with: python -m s1lib run --only {chapter}"
        )
    if output.output_type == "stream":
        text = _ESCAPE.sub("", output.text)
        lines = (line.rsplit("\r", 1)[-1].rstrip() for line in text.split("\n"))
        output.text = "\n".join(line for line in lines if not _BAR.search(line)).strip("\n")
        return output if output.text.strip() else None
    return output


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _versions(versions: Any) -> str:
    if isinstance(versions, dict):
        return ", ".join(f"{name} {version}" for name, version in versions.items())
    return str(versions or "–")
