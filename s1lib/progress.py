"""Progress bars that also read well in a log: plain text, never a widget."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a bar."""
    yield from bar(what, total, iterable=items)


def bar(what: str, total: int | None, **how: Any) -> tqdm:
    """A bar. In a log or a stored notebook it speaks every five seconds only.

    `TQDM_DISABLE=1` in the environment silences it.
    """
    interval = 0.2 if sys.stderr.isatty() else 5.0
    return tqdm(desc=what, total=total, mininterval=interval, leave=False, **how)
