"""Links of a built site that lead nowhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from s1lib.artifacts import RunError


def check(site: Path) -> None:
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
            lost = there and unquote(parts.fragment) not in there.places
            if lost or not target.exists():
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
