"""The built book in a real browser: nothing broken, nothing missing, nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import socketserver
import subprocess
import threading
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

OWN = "browser.invalid"
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
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints",
    # What the browser asks for on its own account goes to a name that can be told apart.
    f"--component-updater=url-source=http://{OWN}/",
    f"--gaia-url=http://{OWN}",
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
    formulas: window.MathJax ? [...MathJax.startup.document.math].map(m => m.math) : [],
    text: document.body.innerText,
    raw: document.querySelector("article")?.innerText.match(RAW) || [],
    links: all("a[href]").map(a => a.href),
    ids: all("[id]").map(e => e.id).concat(all("a[name]").map(a => a.name)),
    wide: document.documentElement.scrollWidth - window.innerWidth,
  });
})()
"""


class Network:
    """All of the network there is: a proxy that answers nothing and remembers what was asked."""

    def __init__(self) -> None:
        heard: list[str] = []

        class Ask(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline().decode("latin-1").strip()
                if OWN not in line:
                    heard.append(line)

        self.heard = heard
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Ask)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Browser:
    """Headless Chromium over the DevTools protocol: open a page, hear what it complains about."""

    def __init__(self, folder: Path) -> None:
        self.network = Network()
        proxy = f"--proxy-server=127.0.0.1:{self.network.server.server_address[1]}"
        self.process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS, proxy, f"--user-data-dir={folder}", "about:blank"],
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
        self.network.server.shutdown()


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
        nbformat.from_dict(
            {**display, "data": {"text/html": "<table><tr><td>$2 and $3, $x^2$</td></tr></table>"}}
        ),
    ]
    prices = "About $620, by batches $310 ($0.50 each), so $5 or $6."
    cells = [
        new_markdown_cell(f"# {title}\n\nA chapter {{cite:p}}`muennighoff2025s1` with $x^2$."),
        new_code_cell('profile = "laptop"  # str', metadata={"tags": ["parameters"]}),
        new_code_cell('run = "/somewhere/else"', metadata={"tags": ["injected-parameters"]}),
        new_markdown_cell("## What it shows\n\n$$\\sum_{i=1}^n \\frac{x_i}{n}$$"),
        new_code_cell("plot()", outputs=outputs, execution_count=1),
        new_markdown_cell("## Exercises\n\n:::{dropdown} Solution\nIt is $4$.\n:::"),
        new_markdown_cell(prices),
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


@browser_needed
def test_no_page_complains_in_the_console(visits):
    assert {page: v["complaints"] for page, v in visits.items() if v["complaints"]} == {}


@browser_needed
def test_no_page_asks_the_network_for_anything(visits, browser):
    asked = {url for v in visits.values() for url in v["requests"]}
    assert asked
    assert {url for url in asked if not url.startswith(("file:", "data:", "blob:"))} == set()
    assert browser.network.heard == []


def test_every_page_carries_the_policy(book):
    pages = [path.read_text(encoding="utf-8") for path in book.rglob("*.html")]
    assert pages and all(text.count(f'content="{site.POLICY}"') == 1 for text in pages)
    assert all(text.index(site.POLICY) < text.find("<script") % len(text) for text in pages)


THERE = "http://elsewhere.example"
WAYS = {
    "script": '<script src="URL"></script>',
    "module": '<script type="module">import "URL"</script>',
    "imported": "<script>import('URL')</script>",
    "style": '<link rel="stylesheet" href="URL">',
    "preload": '<link rel="preload" as="image" href="URL">',
    "imports": "<style>@import url(URL);</style>",
    "font": "<style>@font-face{font-family:f;src:url(URL)} p{font-family:f}</style><p>text</p>",
    "block": '<style>.b{background:url(URL)}</style><p class="b">text</p>',
    "attribute": '<p style="background:url(URL)">text</p>',
    "img": '<img src="URL">',
    "srcset": '<img srcset="URL 1x, URL 2x">',
    "picture": '<picture><source srcset="URL"><img></picture>',
    "button": '<input type="image" src="URL">',
    "svg": '<svg><image href="URL" width="9" height="9"/></svg>',
    "video": '<video src="URL"></video>',
    "poster": '<video poster="URL"></video>',
    "audio": '<audio src="URL" preload="auto"></audio>',
    "iframe": '<iframe src="URL"></iframe>',
    "embed": '<embed src="URL">',
    "object": '<object data="URL"></object>',
    "added": "<script>document.head.append(Object.assign(document.createElement('script'), "
    "{src: 'URL'}))</script>",
    "fetched": "<script>fetch('URL', {mode: 'no-cors'})</script>",
    "xhr": "<script>x = new XMLHttpRequest(); x.open('GET', 'URL'); x.send()</script>",
    "beacon": "<script>navigator.sendBeacon('URL')</script>",
    "stream": "<script>new EventSource('URL')</script>",
    "form": '<form action="URL" target="t"></form><iframe name="t"></iframe>'
    "<script>document.forms[0].submit()</script>",
}


@browser_needed
def test_the_policy_stops_every_way_of_loading_that_a_page_without_it_has(tmp_path, browser):
    """A pattern saw 3 of 18; here whoever asks is heard on the wire."""
    body = "\n".join(way.replace("URL", f"{THERE}/{name}") for name, way in WAYS.items())
    page = f"<!DOCTYPE html>\n<html><head><title>t</title></head><body>{body}</body></html>"
    for name in ("open.html", "fenced/fenced.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(page)
    site.fence(tmp_path / "fenced")
    heard = browser.network.heard
    browser.open(tmp_path / "fenced" / "fenced.html")
    time.sleep(2)
    assert heard == []
    browser.open(tmp_path / "open.html")
    missing = set(WAYS)
    end = time.monotonic() + 30
    while missing and time.monotonic() < end:
        missing = {n for n in WAYS if not any(re.search(rf"/{n}\b", line) for line in heard)}
        time.sleep(0.1)
    heard.clear()
    assert missing == set()


@browser_needed
def test_dollars_are_money_and_formulas_hold_no_prose(visits):
    words = re.compile(r"[A-Za-z]{3,} [A-Za-z]{2,}")
    named = re.compile(r"\\(?:text|mathrm|operatorname)\{[^}]*\}")
    prose = [
        tex for v in visits.values() for tex in v["formulas"] if words.search(named.sub("", tex))
    ]
    assert prose == []
    chapter = visits["notebooks/06_budget_forcing.html"]
    if "S1_TEST_SITE" not in os.environ:
        assert "About $620, by batches $310 ($0.50 each), so $5 or $6." in chapter["text"]
        assert "$2 and $3" in chapter["text"]
    assert "$620, by batches $310" in visits["cluster.html"]["text"]


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


def test_a_described_picture_keeps_its_description():
    notebook = executed("Title")
    notebook.cells[4].metadata["mystnb"] = {"image": {"alt": "a teal box"}}
    described = site.for_readers(notebook, "x")["cells"][4]["metadata"]
    assert described["mystnb"]["image"]["alt"] == "a teal box"
    other = site.for_readers(executed("Title"), "x")["cells"][4]
    assert other["metadata"]["mystnb"]["image"]["alt"] == "Plot: What it shows"


def test_links_work_in_jupyter_and_on_the_site_and_none_leads_to_a_chapter_that_was_not_run():
    notebook = executed("Title")
    pages = "See [choices](../jupyter_book/choices.md), "
    notebook.cells[0].source += f"{pages}[six](06_forcing.ipynb) and [A2](A2_planning.ipynb)."
    text = site.for_readers(notebook, "x", {"A2_planning.ipynb"})["cells"][0]["source"]
    assert text.endswith("See [choices](../choices.md), [six](06_forcing.ipynb) and A2.")


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


def test_the_status_page_adds_the_chapters_up(tmp_path):
    for number, seconds in (("05", 61.0), ("06", 9.4)):
        write_json(tmp_path / "status" / f"{number}.json", {"seconds": seconds, "device": "cpu"})
    table = site.status_table(tmp_path)
    assert "| 05 | 1 min 01 s | cpu |" in table
    assert "| **all** | **1 min 10 s** |" in table
    assert "No chapter" in site.status_table(tmp_path / "empty")
