"""Every page of the whole book in a real browser: three widths, light and dark, and axe.

The site is built from an executed smoke book; S1_TEST_SITE names another to look at, S1_AXE
another axe.min.js than the one of axe-core-python.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from browser import Browser, browser_needed
from toybook import ROOT

from s1lib import site
from s1lib.run.graph import read_graph

WIDTHS = (390, 1280, 1920)
# Axe takes ten seconds on a long page, and what it finds hangs on colours, hardly on widths.
AXE_AT = {False: 390, True: 1280}  # in light and in dark mode
LONG = ("notebooks/", "slides/")  # dark only, where outputs have met colours that they are not for
# What is folded is unfolded, up to a length that can still be looked at in time.
UNFOLD = "[...document.querySelectorAll('details')].slice(0, 40).forEach(d => d.open = true)"
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What could be TeX or markup of MyST in text that is no code, and what says that it is missing.
RAW = r"""(() => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    const code = "pre, code, script, style, mjx-container, .s1-explore";
    if (node.parentElement.closest(code)) continue;
    if (/\\[a-z]+\{|\$\$|\\[(\[]|:{3,}|\{(cite|doc|ref|eq|math)\}|\[\?\]/.test(node.data))
      found.push(node.data.trim().slice(0, 80));
  }
  return JSON.stringify(found);
})()"""
SCROLLED = """(() => {
  const found = [];
  for (let place = 0; place < deck.getTotalSlides(); place++) {
    deck.slide(place);
    const one = deck.getCurrentSlide();
    if (one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth + 1)
      found.push(`${place + 1}: ${one.innerText.slice(0, 60)}`);
  }
  return JSON.stringify([found, deck.getTotalSlides()]);
})()"""
CUT = """JSON.stringify([...document.querySelectorAll("div.cell_input pre")]
  .filter(pre => pre.scrollWidth > pre.clientWidth).map(pre => pre.innerText.slice(0, 60)))"""
AXE = """axe.run(document, {
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice",
            "experimental"],
  resultTypes: ["violations"],
}).then(found => JSON.stringify(found.violations
  .filter(one => ["serious", "critical"].includes(one.impact))
  .map(one => [one.id, one.nodes.length, one.nodes[0].html.slice(0, 160)])))"""


def axe() -> str:
    """The source of axe-core."""
    if given := os.environ.get("S1_AXE"):
        return Path(given).read_text(encoding="utf-8")
    package = find_spec("axe_core_python")
    if package is None:
        pytest.skip("no axe-core-python here: install requirements.lock")
    return (Path(str(package.origin)).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def book(request, tmp_path_factory) -> Path:
    if given := os.environ.get("S1_TEST_SITE"):
        return Path(given)
    executed = request.getfixturevalue("smoke_run")
    run = tmp_path_factory.mktemp("pages") / "smoke"
    shutil.copytree(executed, run, ignore=shutil.ignore_patterns(".s*", "store", "site"))
    return site.build("smoke", run, whole=True).parent


@pytest.fixture(scope="module")
def seen(book, browser) -> dict[str, list[tuple]]:
    """What is wrong, by kind: (page, mode, width, what) of every page in every state."""
    source = axe()
    kinds = ("console", "network", "links", "pictures", "formulas", "raw", "overflow", "axe")
    found: dict[str, list[tuple]] = {kind: [] for kind in kinds}
    for page in every_page(book):
        for dark in (False, True):
            spared = page.startswith(LONG) and not dark
            for kind, *rest in look(browser, book / page, dark, "" if spared else source):
                found[kind].append((page, "dark" if dark else "light", *rest))
    return found


def every_page(book: Path) -> list[str]:
    pages = (path.relative_to(book) for path in book.rglob("*.html"))
    leads_on = Path("index.html")  # to the first page, at once
    return sorted(str(p) for p in pages if p.parts[0] != "_static" and p != leads_on)


def look(browser: Browser, page: Path, dark: bool, axe: str):
    """(kind, what) and (kind, width, what) for all that is wrong with a page in one mode; without
    the source of axe all but what axe finds."""
    browser.dark(dark)
    browser.size(1280, 900)
    told = browser.open(page)
    yield from (("console", what) for what in told["complaints"])
    own = ("file:", "data:", "blob:")
    yield from (("network", url) for url in told["requests"] if not url.startswith(own))
    yield from (("pictures", what) for what in told["images"] + told["undescribed"])
    yield from (("formulas", what) for what in told["math"])
    yield from (("raw", what) for what in json.loads(browser.run(RAW)))
    yield from (("links", link) for link in told["links"] if leads_nowhere(link))
    browser.run(f"{axe}; {UNFOLD}")
    for width in WIDTHS:
        browser.size(width, 900)
        time.sleep(0.5)  # the theme looks anew at what can be scrolled, a moment after
        wide = browser.run(WIDE)
        if wide > 0:
            yield "overflow", width, f"{wide} pixels"
        if axe and width == AXE_AT[dark]:
            yield from (("axe", width, *what) for what in json.loads(browser.run(AXE)))


def leads_nowhere(link: str) -> bool:
    """Whether a link to a file of ours has none. (`site.build` looks at places on pages.)"""
    return (
        link.startswith("file:") and not Path(link.removeprefix("file://").split("#")[0]).exists()
    )


@browser_needed
def test_all_chapters_appendices_and_pages_are_looked_at(book):
    pages = set(every_page(book))
    sources = {f"notebooks/{chapter.notebook.stem}.html" for chapter in read_graph(ROOT)}
    written = {f"{path.stem}.html" for path in (ROOT / "jupyter_book").glob("*.md")}
    assert len(sources) >= 13 and sources | written <= pages


@browser_needed
@pytest.mark.parametrize(
    "kind", ["console", "network", "links", "pictures", "formulas", "raw", "overflow", "axe"]
)
def test_no_page_has_a_fault_at_any_width_in_either_mode(kind, seen):
    assert seen[kind] == []


@browser_needed
def test_no_line_of_code_is_cut_at_1280_pixels(book, browser):
    browser.size(1280, 900)
    cut = {}
    for page in (book / "notebooks").glob("*.html"):
        browser.open(page)
        cut[page.stem] = json.loads(browser.run(CUT))
    assert cut and {name: lines for name, lines in cut.items() if lines} == {}


@browser_needed
@pytest.mark.parametrize("number", [chapter.number for chapter in read_graph(ROOT)])
def test_no_slide_of_a_chapter_has_to_be_scrolled(number, book, browser):
    (page,) = (book / "slides").glob(f"{number}_*.html")
    browser.size(1280, 800)
    browser.open(page)
    scrolled, slides = json.loads(browser.run(SCROLLED))
    assert scrolled == [] and 8 <= slides <= 24


@browser_needed
def test_these_tests_see_what_they_look_for(tmp_path, browser):
    """A page with each fault; without this, a look that sees nothing would pass."""
    page = tmp_path / "page.html"
    page.write_text(
        "<!DOCTYPE html><html lang=en><title>t</title>"
        "<meta name=viewport content='width=device-width'><body><main><h1>Faults</h1>"
        "<p style='width: 1500px; color: #ccc'>\\frac{1}{2} of it</p>"
        "<img src=gone.png alt=''><a href=gone.html>gone</a><span class=math>x</span>"
        "<script>console.error('no')</script></main></body></html>"
    )
    found = list(look(browser, page, False, axe()))
    kinds = {kind for kind, *_ in found}
    assert kinds == {"console", "links", "pictures", "formulas", "raw", "overflow", "axe"}
    assert {width for kind, width, *_ in found if kind == "overflow"} == {390, 1280}
