"""What a page may load: its own files, and nothing from another host.

A browser holds each page to it, whatever a notebook's outputs may try to load.
"""

from __future__ import annotations

import re
from pathlib import Path

from s1lib.artifacts import write_text

_HEAD = re.compile(
    r"\A\s*(?:<!doctype[^>]*>)?\s*(?:<html[^>]*>)?\s*(?:<head[^>]*>)?", re.IGNORECASE
)
# Scripts and styles within a page are the theme's and the outputs' own. From disk a page's own
# files have the scheme `file:`, on a server its host.
_OWN = "'self' file: data: blob:"
POLICY = f"default-src {_OWN} 'unsafe-inline'; base-uri 'none'; form-action 'self' file:"


def fence(site: Path) -> None:
    """Put the policy into every page, before anything that a page could load."""
    tag = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        write_text(page, _HEAD.sub(lambda head: f"{head[0]}{tag}", text, count=1))
