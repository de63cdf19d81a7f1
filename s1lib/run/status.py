"""`python -m s1lib status`: which chapters are up to date, and why the others are not."""

from __future__ import annotations

import argparse
from pathlib import Path

from s1lib.profile import load_profile
from s1lib.run import parameters, state
from s1lib.run.command import add_common as add_arguments
from s1lib.run.graph import read_graph, writer_of

__all__ = ["add_arguments", "main"]


def main(args: argparse.Namespace) -> int:
    """Print a table: chapter, state, seconds and date of its last run."""
    profile = load_profile(args.profile, args.run)
    book = read_graph(Path.cwd())
    given = parameters.parse(args.p, book)
    waiting: set[str] = set()
    print(f"{profile.run}\n{'chapter':<24}{'seconds':>8}  {'date':<22}state")
    for chapter in book:
        reason = state.reason_to_run(chapter, profile, given[chapter.number])
        after = [w.number for name in chapter.reads if (w := writer_of(name, book))]
        if not reason and (stale := sorted(waiting & set(after))):
            reason = f"depends on {', '.join(stale)}"
        if reason:
            waiting.add(chapter.number)
        elif changed := state.changed_by_hand(chapter, profile.run):
            reason = f"up to date; since changed by hand: {', '.join(changed)}"
        last = {"seconds": "", "date": "", **state.last_run(chapter.number, profile.run)}
        name = f"{chapter.number} {chapter.title}"
        print(f"{name:<24}{last['seconds']:>8}  {last['date']:<22}{reason or 'up to date'}")
    return 0
