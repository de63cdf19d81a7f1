"""The built book in a real browser: nothing broken, nothing missing, nothing from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from made_up import BENCHMARKS, chapter_06
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from websocket import create_connection

from s1lib import site
from s1lib.artifacts import RunError, write_facts, write_json

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
browser_needed = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine: pages were not opened in a browser"
)

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-port=0",
)

# What a page says about itself once it has finished drawing.
INSPECT = """
(async () => {
  const RAW = /:{3,}|\\{(cite|doc|ref|eq)\\}/g;
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  const all = (selector) => [...document.querySelectorAll(selector)];
  all("img").forEach(i => i.loading = "eager");
  await Promise.allSettled(all("img").map(i => i.decode()));
  return JSON.stringify({
    title: document.title,
    images: all("img").filter(i => !i.naturalWidth).map(i => i.src),
    undescribed: all("article img").filter(i => !i.alt).map(i => i.src),
    math: all(".math").filter(m => !m.querySelector("mjx-container")).map(m => m.textContent)
      .concat(all("mjx-merror").map(m => m.textContent)),
    rendered: all("mjx-container").length,
    raw: document.querySelector("article")?.innerText.match(RAW) || [],
    links: all("a[href]").map(a => a.href),
    ids: all("[id]").map(e => e.id).concat(all("a[name]").map(a => a.name)),
    wide: document.documentElement.scrollWidth - window.innerWidth,
  });
})()
"""


class Browser:
    """Headless Chromium over the DevTools protocol: open a page, hear what it complains about."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        port_file = folder / "DevToolsActivePort"
        for _ in range(600):
            if port_file.exists() and len(lines := port_file.read_text().splitlines()) == 2:
                break
            time.sleep(0.1)
        else:
            raise RuntimeError("chromium did not start within a minute")
        self.socket = create_connection(
            f"ws://127.0.0.1:{lines[0]}{lines[1]}", timeout=60, suppress_origin=True
        )
        self.events: list[dict] = []
        self.calls = 0
        self.session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params):
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.calls:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def size(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def open(self, page: Path) -> dict:
        """Load a page and return what it says, with `complaints` and `requests` added."""
        self.events = []
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.socket.recv()))
        told = json.loads(self.run(INSPECT))
        told["complaints"] = [c for c in map(_complaint, self.events) if c]
        told["requests"] = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return told

    def run(self, script: str):
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def close(self) -> None:
        self.socket.close()
        os.killpg(self.process.pid, 9)
        self.process.wait()


def _complaint(event: dict) -> str:
    params = event.get("params", {})
    if event["method"] == "Runtime.exceptionThrown":
        return str(params["exceptionDetails"])
    if event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
        return str([argument.get("value") for argument in params["args"]])
    if event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
        return f"{params['entry']['text']} {params['entry'].get('url', '')}"
    if event["method"] == "Network.loadingFailed" and not params.get("canceled"):
        return f"not loaded: {params.get('errorText')}"
    return ""


PLOT = """<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40"
height="20" fill="teal"/></svg>"""


def executed(title: str) -> nbformat.NotebookNode:
    """A small notebook with every kind of output that chapters have, as papermill leaves it."""
    display = {"output_type": "display_data", "metadata": {}}
    outputs = [
        new_output("stream", name="stderr", text="\rdrawing: 10%\rdrawing: 99%\r            \r"),
        new_output("stream", name="stdout", text="working: 1 of 2\rworking: 2 of 2\ndone\n"),
        nbformat.from_dict({**display, "data": {"image/svg+xml": PLOT, "text/plain": "plot"}}),
        nbformat.from_dict(
            {**display, "data": {"text/html": "<table><tr><td>4</td></tr></table>"}}
        ),
    ]
    cells = [
        new_markdown_cell(f"# {title}\n\nA chapter {{cite:p}}`muennighoff2025s1` with $x^2$."),
        new_code_cell('profile = "laptop"  # str', metadata={"tags": ["parameters"]}),
        new_code_cell('run = "/somewhere/else"', metadata={"tags": ["injected-parameters"]}),
        new_markdown_cell("## What it shows\n\n$$\\sum_{i=1}^n \\frac{x_i}{n}$$"),
        new_code_cell("plot()", outputs=outputs, execution_count=1),
        new_markdown_cell("## Exercises\n\n:::{dropdown} Solution\nIt is $4$.\n:::"),
    ]
    for cell in cells:
        cell.metadata["papermill"] = {"start_time": "2026-01-01T00:00:00", "duration": 1.5}
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "papermill": {"start_time": "2026-01-01T00:00:00", "output_path": "/somewhere/else"},
    }
    return new_notebook(cells=cells, metadata=metadata)


def a_run(folder: Path) -> Path:
    (folder / "notebooks").mkdir(parents=True)
    for name, title in (("05_sft", "05. Fine-tuning"), ("06_budget_forcing", "06. Forcing")):
        nbformat.write(executed(title), folder / "notebooks" / f"{name}.ipynb")
    write_facts(folder, "06", chapter_06(BENCHMARKS))
    status = {"seconds": 71.4, "device": "cpu", "date": "2026-01-01T00:00:00"}
    write_json(folder / "status" / "06.json", {**status, "versions": {"torch": "2.13.0"}})
    return folder


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """A site built from two small executed notebooks (or, for a closer look, from S1_TEST_SITE)."""
    given = os.environ.get("S1_TEST_SITE")
    if given:
        return Path(given)
    return site.build("laptop", a_run(tmp_path_factory.mktemp("run"))).parent


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def visits(book, browser) -> dict[str, dict]:
    """What every page of the site says in the browser, by its path."""
    browser.size(1280, 900)
    pages = sorted({str(page.relative_to(book)) for page in book.rglob("*.html")})
    pages = [page for page in pages if page != "index.html" and "_static" not in page]
    return {page: browser.open(book / page) for page in pages}


def test_the_first_page_chapters_and_appendices_are_all_there(book):
    pages = {str(page.relative_to(book)) for page in book.rglob("*.html")}
    assert {"index.html", "intro.html", "notebooks/05_sft.html", "cluster.html"} <= pages
    assert {"how_to_read.html", "status.html", "bibliography.html", "house.html"} <= pages


def test_the_index_leads_to_the_first_page(book):
    assert "url=intro.html" in (book / "index.html").read_text(encoding="utf-8")


def test_no_page_or_style_names_a_file_on_another_host(book):
    assert list(site.foreign_loads(book)) == []


@browser_needed
def test_no_page_complains_in_the_console(visits):
    assert {page: v["complaints"] for page, v in visits.items() if v["complaints"]} == {}


@browser_needed
def test_no_page_asks_the_network_for_anything(visits):
    asked = {url for v in visits.values() for url in v["requests"]}
    assert asked
    assert {url for url in asked if not url.startswith(("file:", "data:", "blob:"))} == set()


@browser_needed
def test_every_formula_is_rendered(visits):
    assert {page: v["math"] for page, v in visits.items() if v["math"]} == {}
    assert sum(v["rendered"] for v in visits.values()) >= 3


@browser_needed
def test_every_picture_is_there_and_described(visits):
    assert {page: v["images"] for page, v in visits.items() if v["images"]} == {}
    assert {page: v["undescribed"] for page, v in visits.items() if v["undescribed"]} == {}


@browser_needed
def test_no_markup_is_left_raw(visits):
    assert {page: v["raw"] for page, v in visits.items() if v["raw"]} == {}


@browser_needed
def test_every_internal_link_and_anchor_leads_somewhere(book, visits):
    broken = []
    for page, visit in visits.items():
        for link in visit["links"]:
            parts = urlsplit(link)
            if parts.scheme != "file":
                continue
            file = Path(unquote(parts.path))
            inside = str(file.relative_to(book.resolve()))
            anchor = unquote(parts.fragment)
            if not file.is_file() or (
                anchor and inside in visits and anchor not in visits[inside]["ids"]
            ):
                broken.append((page, link))
    assert broken == []


@browser_needed
@pytest.mark.parametrize("width", [375, 820])
def test_no_page_is_wider_than_a_small_screen(book, browser, width):
    browser.size(width, 800)
    pages = ("intro.html", "status.html", "notebooks/06_budget_forcing.html")
    assert [page for page in pages if browser.open(book / page)["wide"] > 0] == []


def test_a_page_shows_neither_times_nor_half_drawn_bars_nor_injected_paths(book):
    text = (book / "notebooks" / "06_budget_forcing.html").read_text(encoding="utf-8")
    if "S1_TEST_SITE" not in os.environ:
        assert "working: 2 of 2" in text
        assert "working: 1 of 2" not in text
        assert "drawing" not in text
    assert "/somewhere/else" not in text
    assert "start_time" not in text


def test_a_bar_that_came_in_pieces_is_not_published():
    """On the laptop a bar takes minutes, and each of its states once was a line of the page."""
    notebook = executed("Title")
    states = [f"\rdecode:  {n}%|█▎        | {n}/100 [00:05<00:33, 41.36run/s]" for n in (0, 13, 94)]
    pieces = [
        "before\n",
        *states,
        "\r        \r",
        "\x1b[A",
        "\rready: 12it [00:05, 2.4it/s]\n",
        "99%|\n",
    ]
    notebook.cells[4].outputs = [new_output("stream", name="stderr", text=text) for text in pieces]
    (output,) = site.clean(notebook, "x").cells[4].outputs
    assert output.text == "before\n99%|"


def test_a_described_picture_keeps_its_description():
    notebook = executed("Title")
    notebook.cells[4].metadata["mystnb"] = {"image": {"alt": "a teal box"}}
    assert site.clean(notebook, "x").cells[4].metadata["mystnb"]["image"]["alt"] == "a teal box"
    other = site.clean(executed("Title"), "x").cells[4]
    assert other.metadata["mystnb"]["image"]["alt"] == "Plot: What it shows"


def test_an_error_in_a_notebook_stops_the_build_and_keeps_the_old_site(tmp_path):
    run = a_run(tmp_path / "run")
    (run / "site").mkdir()
    (run / "site" / "index.html").write_text("old")
    notebook = executed("06. Forcing")
    error = new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
    notebook.cells[4].outputs.append(error)
    nbformat.write(notebook, run / "notebooks" / "06_budget_forcing.ipynb")
    with pytest.raises(RunError, match=r"06_budget_forcing.ipynb, cell 5, .*ValueError: no"):
        site.build("laptop", run)
    assert (run / "site" / "index.html").read_text() == "old"
    assert not (run / ".site").exists()


def test_a_warning_of_jupyter_book_stops_the_build(tmp_path):
    run = a_run(tmp_path / "run")
    notebook = executed("06. Forcing")
    notebook.cells[0].source += "\n\nSee [there](99_nowhere.ipynb)."
    nbformat.write(notebook, run / "notebooks" / "06_budget_forcing.ipynb")
    with pytest.raises(RunError, match="99_nowhere"):
        site.build("laptop", run)
    assert not (run / "site").exists()


def test_a_run_without_notebooks_is_told_how_to_make_them(tmp_path):
    with pytest.raises(RunError, match="python -m s1lib run --profile smoke"):
        site.build("smoke", tmp_path)


def test_the_table_of_contents_lists_only_what_exists(tmp_path):
    toc = yaml.safe_load((site.PAGES / "_toc.yml").read_text())
    (tmp_path / "notebooks").mkdir()
    for name in ("intro.md", "status.md", "notebooks/03_filtering.ipynb"):
        (tmp_path / name).touch()
    listed = site.existing(toc, tmp_path)
    entries = [entry for part in listed["parts"] for entry in part["chapters"]]
    assert entries == [{"glob": "notebooks/[0-9]*"}, {"file": "status"}]


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        '<img src="http://example.org/x.png">',
    ],
)
def test_a_load_from_elsewhere_is_found_and_a_plain_link_is_not(tmp_path, markup):
    (tmp_path / "a.html").write_text('<a href="https://arxiv.org">paper</a>')
    assert list(site.foreign_loads(tmp_path)) == []
    (tmp_path / "b.html").write_text(markup)
    (tmp_path / "c.css").write_text("@import url(https://fonts.example/y.css);")
    assert [page for page, _ in site.foreign_loads(tmp_path)] == ["b.html", "c.css"]


def test_the_status_page_adds_the_chapters_up(tmp_path):
    for number, seconds in (("05", 61.0), ("06", 9.4)):
        write_json(tmp_path / "status" / f"{number}.json", {"seconds": seconds, "device": "cpu"})
    table = site.status_table(tmp_path)
    assert "| 05 | 1 min 01 s | cpu |" in table
    assert "| **all** | **1 min 10 s** |" in table
    assert "No chapter" in site.status_table(tmp_path / "empty")
