"""The built book in a real browser: nothing broken, nothing missing, nothing from elsewhere."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import time
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from browser import browser_needed
from made_up import BENCHMARKS, chapter_06
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from s1lib import links, policy, site, slides, times
from s1lib.__main__ import COMMANDS
from s1lib.artifacts import RunError, write_json
from s1lib.decoding.record import Generation
from s1lib.decoding.timeline import timeline
from s1lib.readers import for_readers, not_run
from s1lib.results import write_facts
from s1lib.training.data import mask_html

REPOSITORY = "https://github.com/someone/s1"
PLOT = """<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40"
height="20" fill="teal"/></svg>"""

SECTION = """## What it shows

:::{{math}}
:label: {mean}
\\sum_{{i=1}}^n \\frac{{x_i}}{{n}}
:::

By {{eq}}`{mean}`,

:::{{admonition}} Where people go wrong
:class: warning

- There.
:::"""


class Letters:
    """As much of a tokenizer as a timeline asks for."""

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(96 + one) for one in ids)


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
    generation = Generation("a", (1,), (5, 6), (1, 2), (3, 4), forced=(0, 1))
    for html in (timeline(generation, Letters()), mask_html([("masked", False), ("not", True)])):
        outputs.append(nbformat.from_dict({**display, "data": {"text/html": html}}))
    prices = "About $620, by batches $310 ($0.50 each), so $5 or $6."
    cells = [
        new_markdown_cell(
            f"# {title}\n\nA chapter {{cite:p}}`muennighoff2025s1` with $x^2$, held to "
            "[choices](../jupyter_book/choices.md) and [six](06_budget_forcing.ipynb).",
            metadata={"tags": ["slide"]},
        ),
        new_code_cell('profile = "laptop"  # str', metadata={"tags": ["parameters"]}),
        new_code_cell('run = "/somewhere/else"', metadata={"tags": ["injected-parameters"]}),
        new_markdown_cell(SECTION.format(mean=f"mean-{title[:2]}"), metadata={"tags": ["slide"]}),
        new_code_cell("plot()", outputs=outputs, metadata={"tags": ["slide-output"]}),
        new_markdown_cell("## Exercises\n\n**1.** And?\n\n:::{dropdown} Solution\nIt is $4$.\n:::"),
        new_markdown_cell(prices),
    ]
    for place, cell in enumerate(cells):
        if cell.cell_type == "code":
            cell.execution_count = place
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
    for number in ("06", "07"):  # the second as in a clone, from the reference run
        status_of = {**status, "versions": {"torch": "2.13.0"}}
        write_json(folder / "status" / f"{number}.json", status_of)
    return folder


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """A site built from two small executed notebooks (or, for a closer look, from S1_TEST_SITE)."""
    given = os.environ.get("S1_TEST_SITE")
    if given:
        return Path(given)
    run = a_run(tmp_path_factory.mktemp("run"))
    return site.build("laptop", run, repository=REPOSITORY).parent


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
    assert pages and all(text.count(f'content="{policy.POLICY}"') == 1 for text in pages)
    assert all(text.index(policy.POLICY) < text.find("<script") % len(text) for text in pages)


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
    policy.fence(tmp_path / "fenced")
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
            anchor = unquote(parts.fragment).partition("/")[0]  # behind it: reveal's own, a slide
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


# Elements whose own text is fainter than WCAG's 4.5 to 1 against what is behind it.
FAINT = """JSON.stringify([...document.querySelectorAll("article *")].filter(e => {
  const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  return own && e.checkVisibility() && !e.closest("svg, mjx-container, .headerlink");
}).map(e => {
  const rgba = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (some) => some.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = e;
  const background = () => rgba(getComputedStyle(behind).backgroundColor);
  while (behind.parentElement && background()[3] === 0) behind = behind.parentElement;
  const [low, high] = [light(rgba(getComputedStyle(e).color)), light(background())].sort();
  return [e.outerHTML.slice(0, 80), (high + 0.05) / (low + 0.05)];
}).filter(([_, ratio]) => ratio < 4.5))"""


@browser_needed
@pytest.mark.parametrize("dark", [False, True])
def test_what_notebooks_wrote_as_html_is_readable_in_both_modes(book, browser, dark):
    """In dark mode the timeline's caption stood at 1.7 to 1, masked tokens at 2.5."""
    browser.dark(dark)
    try:
        browser.size(1280, 900)
        told = browser.open(book / "notebooks" / "06_budget_forcing.html")
        assert browser.run("document.documentElement.dataset.theme") == ["light", "dark"][dark]
        if "S1_TEST_SITE" not in os.environ:
            assert "tokens: sampled" in told["text"] and "masked" in told["text"]
        assert json.loads(browser.run(FAINT)) == []
    finally:
        browser.dark(False)


def test_the_bibliography_is_no_list_without_items(book):
    """Of its entries none is an item, which is a serious fault to axe."""
    page = (book / "bibliography.html").read_text(encoding="utf-8")
    assert 'class="citation-list"' in page and not re.search('role="list"[^>]*citation', page)


def test_a_page_shows_neither_times_nor_half_drawn_bars_nor_injected_paths(book):
    text = (book / "notebooks" / "06_budget_forcing.html").read_text(encoding="utf-8")
    if "S1_TEST_SITE" not in os.environ:
        assert "working: 2 of 2" in text
        assert "working: 1 of 2" not in text
        assert "drawing" not in text
    assert "/somewhere/else" not in text
    assert "start_time" not in text


def test_a_page_says_how_long_its_chapter_took_and_an_exercise_has_an_address(book):
    text = (book / "notebooks" / "06_budget_forcing.html").read_text(encoding="utf-8")
    assert re.search(r"This run took (\d+ min )?\d+ s\.", text)
    assert 'id="exercise-06-1"' in text


def test_a_described_picture_keeps_its_description():
    notebook = executed("Title")
    notebook.cells[4].metadata["mystnb"] = {"image": {"alt": "a teal box"}}
    described = for_readers(notebook, "x")["cells"][4]["metadata"]
    assert described["mystnb"]["image"]["alt"] == "a teal box"
    other = for_readers(executed("Title"), "x")["cells"][4]
    assert other["metadata"]["mystnb"]["image"]["alt"] == "Plot: What it shows"


def test_links_work_in_jupyter_and_on_the_site():
    notebook = executed("Title")
    notebook.cells[0].source = "[Choices](../jupyter_book/choices.md), [six](06_forcing.ipynb)."
    text = for_readers(notebook, "x")["cells"][0]["source"]
    assert text == "[Choices](../choices.md), [six](06_forcing.ipynb)."


def test_a_chapter_that_has_not_run_is_a_page_that_says_so_and_what_makes_it(book):
    if "S1_TEST_SITE" in os.environ:
        pytest.skip("the chapters of another site may all have run")
    page = (book / "notebooks" / "07_conditional_control.html").read_text(encoding="utf-8")
    page = re.sub(r"<[^>]+>", "", page)
    assert "This run has not come to this chapter yet. It took 1 min 11 s when it last" in page
    assert "python -m s1lib run --profile laptop --to 07 --site" in page
    assert "parameters" not in page and "Traceback" not in page


def test_the_equations_of_a_chapter_that_has_not_run_can_be_referred_to():
    chapter = new_notebook(
        cells=[
            new_markdown_cell("# 06. Forcing\n\nA promise."),
            new_markdown_cell("So\n\n$$\na = b\n$$\n\nand\n\n$$\nc\n= d\n$$ (scaling)\n\nso."),
        ]
    )
    (page,) = not_run(chapter, "06_forcing.ipynb", "laptop", None)["cells"]
    assert page["source"].endswith("refer to:\n\n$$\nc\n= d\n$$ (scaling)\n")
    assert "a = b" not in page["source"]


def test_the_book_is_one_page_to_print(tmp_path):
    page = site.build("laptop", a_run(tmp_path / "run"), single=True)
    text = page.read_text(encoding="utf-8")
    assert (page.parent / "slides" / "05_sft.html").is_file()
    assert page == tmp_path / "run" / "single" / "intro.html" and policy.POLICY in text
    for part in ("05. Fine-tuning", "06. Forcing", "Bibliography", "Troubleshooting"):
        assert len(re.findall(rf"<h2>{part}", text)) == 1
    pictures = re.findall(r'<img[^>]* src="([^"]+)"', text)
    assert pictures and all((page.parent / name).is_file() for name in pictures)


def test_the_whole_book_is_not_built_from_a_part(tmp_path):
    with pytest.raises(RunError, match=r"has no 01_collection.ipynb\. Make it with: python -m s1"):
        site.build("laptop", a_run(tmp_path / "run"), whole=True)


def test_a_cell_that_was_not_run_is_named():
    notebook = executed("06. Forcing")
    notebook.cells[4].execution_count = None
    with pytest.raises(RunError, match=r"06_forcing.ipynb, cell 5, has not been run. .* --only 06"):
        for_readers(notebook, "06_forcing.ipynb")


@pytest.mark.parametrize(
    "link", ["gone.html", "other.html#gone", "#gone", "pictures/gone.png", "../outside.html"]
)
def test_a_link_that_leads_nowhere_stops_the_build(tmp_path, link):
    good = '<a href="other.html#here">1</a><a href="#me" id="me">2</a><a href="https://x.y/z">3</a>'
    (tmp_path / "page.html").write_text(good)
    (tmp_path / "other.html").write_text('<p id="here">There.</p>')
    links.check(tmp_path)
    tag = f'<img src="{link}">' if link.endswith("png") else f'<a href="{link}">4</a>'
    (tmp_path / "page.html").write_text(good + tag)
    with pytest.raises(RunError, match=rf"page.html has a link that leads nowhere \({link}\)"):
        links.check(tmp_path)


def test_pages_and_notebooks_lead_to_their_source_and_notebooks_can_be_launched(book):
    if "S1_TEST_SITE" in os.environ:
        pytest.skip("another site may have no repository")
    page = (book / "cluster.html").read_text(encoding="utf-8")
    assert f'href="{REPOSITORY}/edit/main/jupyter_book/cluster.md"' in page
    chapter = (book / "notebooks" / "06_budget_forcing.html").read_text(encoding="utf-8")
    assert f'href="{REPOSITORY}/edit/main/notebooks/06_budget_forcing.ipynb"' in chapter
    assert f'"{REPOSITORY}/blob/main/notebooks/06_budget_forcing.ipynb?plain=1"' in chapter
    handed_out = list(book.glob("_downloads/*/06_budget_forcing.ipynb"))
    assert len(handed_out) == len(list(book.glob("_downloads/*/compare_runs.ipynb"))) == 1
    cells = json.loads(handed_out[0].read_text(encoding="utf-8"))["cells"]
    assert f'"{REPOSITORY}", "s1"' in cells[1]["source"] and '"--to", "05"' in cells[1]["source"]
    launch = "https://mybinder.org/v2/gh/someone/s1/main?urlpath=lab/tree/notebooks/06_budget"
    assert launch in chapter and 'href="../_sources/notebooks/06_budget_forcing.ipynb"' in chapter


def test_the_workflow_that_publishes_calls_commands_that_there_are():
    workflow = yaml.safe_load((site.PAGES.parent / ".github/workflows/book.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    calls = [step["run"].split(" -m s1lib ")[1] for step in steps if " -m s1lib " in str(step)]
    assert [call.split()[0] for call in calls] == ["run", "site"]
    for call in calls:
        command, *arguments = shlex.split(call)
        parser = argparse.ArgumentParser()
        import_module(COMMANDS[command][0]).add_arguments(parser)
        parser.parse_args(arguments)


def test_the_tagged_cells_of_a_chapter_are_slides(book):
    if "S1_TEST_SITE" in os.environ:
        pytest.skip("another site has other slides")
    page = (book / "slides" / "05_sft.html").read_text(encoding="utf-8")
    assert "<title>05. Fine-tuning: slides</title>" in page and policy.POLICY in page
    assert page.count("<section") == 2 * 2  # reveal stands slides on each other, too
    assert "plot()" not in page and 'alt="Plot: What it shows"' in page
    assert "Exercises" not in page and "$620" not in page
    assert 'href="../choices.html"' in page
    assert 'href="../notebooks/06_budget_forcing.html"' in page
    assert "Where people go wrong." in page and ":::" not in page
    assert 'href="slides/05_sft.html"' in (book / "teaching.html").read_text(encoding="utf-8")


@browser_needed
def test_slides_are_turned_by_keyboard_and_complete_without_a_network(book, browser):
    told = browser.open(book / "slides" / "05_sft.html")
    assert told["complaints"] == [] and told["rendered"] >= 1
    now = "document.querySelector('section section.present :is(h1, h2)').innerText"
    assert browser.run(now).startswith("05")
    browser.press("ArrowRight")
    assert browser.run(now).startswith("What it shows")


def test_a_slide_stands_under_a_heading_and_exercises_are_on_none():
    """Prose that closes one section and opens the next made one long slide, which was scrolled."""
    cells = [
        new_markdown_cell("# 05. Title", metadata={"tags": ["slide"]}),
        new_markdown_cell("## First\n\nTo read."),
        new_code_cell("plot()", metadata={"tags": ["slide", "slide-output"]}),
        new_markdown_cell("It rises.\n\n## Second\n\nA guess?", metadata={"tags": ["slide-more"]}),
        new_code_cell("table()", metadata={"tags": ["slide-output"]}),
        new_markdown_cell(
            "## Summary\n\n- So.\n\n## Exercises\n\n**1.**", metadata={"tags": ["slide"]}
        ),
    ]
    deck = slides.slides({"cells": [{**cell} for cell in cells]})["cells"]
    begins = [cell["metadata"]["slideshow"]["slide_type"] == "slide" for cell in deck]
    told = ["# 05. Title", "## First", "plot()", "It rises.", "## Second\n\nA guess?", "table()"]
    assert [cell["source"] for cell in deck] == [*told, "## Summary\n\n- So."]
    assert begins == [True, True, False, False, True, False, True]
    hidden = [cell["source"] for cell in deck if cell["metadata"]["transient"]["remove_source"]]
    assert hidden == ["plot()", "table()"]


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
    table = times.table(tmp_path)
    assert "| 05 | 1 min 01 s | cpu |" in table
    assert "| **all** | **1 min 10 s** |" in table
    assert "No chapter" in times.table(tmp_path / "empty")
