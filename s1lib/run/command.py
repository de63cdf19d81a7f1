"""`python -m s1lib run`: bring a run folder up to date."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from s1lib.artifacts import RunError, write_json
from s1lib.profile import Profile, add_profile, load_profile
from s1lib.run import parameters, state
from s1lib.run.environment import settled
from s1lib.run.graph import GRAPH, Chapter, read_graph, writer_of
from s1lib.run.notebooks import refresh
from s1lib.run.processes import exclusive, sentences

FIRST_RESULT = "06"  # the chapter that measures Figure 1


def add_common(parser: argparse.ArgumentParser) -> None:
    add_profile(parser)
    parser.add_argument(
        "-p", action="append", default=[], metavar="name=value", help="set a notebook parameter"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", metavar="NN", help="run this chapter again, and no other")
    which.add_argument(
        "--from", metavar="NN", dest="first", help="run this and all later ones again"
    )
    parser.add_argument("--to", metavar="NN", dest="last", help="stop after this chapter")
    parser.add_argument(
        "--site",
        action="store_true",
        help=f"build the book when chapter {FIRST_RESULT} is done, and at the end",
    )


def main(args: argparse.Namespace) -> int:
    """Returns 0 when the run folder is up to date, 1 when a chapter or the site failed."""
    profile = load_profile(args.profile, args.run)
    code = bring_up_to_date(args, profile)
    return code or (build_site(args.profile, profile.run) if args.site else 0)


def build_site(profile: str, run: Path) -> int:
    """`python -m s1lib site`, which says in one line where the book is; returns its exit code.

    In a process of its own: the site's libraries are many, and its failure is not the run's.
    """
    command = [sys.executable, "-m", "s1lib", "site", "--profile", profile, "--run", str(run)]
    return subprocess.run(command, env={**os.environ, "MPLBACKEND": "agg"}).returncode


def bring_up_to_date(args: argparse.Namespace, profile: Profile) -> int:
    """Run the chosen chapters that need it; 1 when one failed."""
    root = Path.cwd()
    book = read_graph(root)
    given = parameters.parse(args.p, book)
    chosen = choose(book, args.only, args.first, args.last)
    forced = bool(args.only or args.first)
    check_inputs(chosen, book, profile.run)
    with sentences(profile.run), exclusive(profile.run) as environment:
        reasons = {c.number: state.reason_to_run(c, profile, given[c.number]) for c in chosen}
        for chapter in chosen:
            if not reasons[chapter.number]:
                refresh(chapter.notebook, profile.run / "notebooks" / chapter.notebook.name)
        if not forced and not any(reasons.values()):
            print(f"{profile.run}: all {len(chosen)} chapters are up to date")
            return 0
        arguments = ["--profile", args.profile, "--run", str(profile.run)]
        arguments += ["--force"] * forced + ["--site"] * args.site
        arguments += [part for setting in args.p for part in ("-p", setting)]
        settings = {
            "root": str(root),
            "python": sys.executable,
            "book": GRAPH.dump_python(book, mode="json"),
            "chapters": [chapter.number for chapter in chosen],
            "arguments": shlex.join(arguments),
        }
        again = "python -m s1lib run" if forced else "The same command"
        return snakemake(root, profile.run, settings, environment, again)


def choose(
    book: list[Chapter], only: str | None, first: str | None, last: str | None = None
) -> list[Chapter]:
    """All chapters, one, or those from `first` to `last`, both included.

    Raises `RunError` on a number that is not there, or if `last` comes before the others.
    """
    numbers = [chapter.number for chapter in book]
    for wanted in (only, first, last):
        if wanted and wanted not in numbers:
            raise RunError(f"no chapter {wanted}: there are {', '.join(numbers)}")
    start = numbers.index(only or first or numbers[0])
    stop = numbers.index(only or last or numbers[-1])
    if last and numbers.index(last) < start:
        raise RunError(
            f"chapter {last} comes before chapter {numbers[start]}: swap --to and --from"
        )
    return book[start : stop + 1]


def check_inputs(chosen: list[Chapter], book: list[Chapter], folder: Path) -> None:
    """Raise `RunError` if an artifact is missing that none of the chosen chapters makes."""
    for chapter in chosen:
        for name in chapter.reads:
            writer = writer_of(name, book)
            if writer and writer not in chosen and not (folder / name).exists():
                raise RunError(
                    f"{folder / name} is missing, and chapter {chapter.number} reads it:"
                    f" make it with: python -m s1lib run --from {writer.number}"
                )


def snakemake(
    root: Path, folder: Path, settings: dict[str, Any], environment: dict[str, str], again: str
) -> int:
    """Run the graph. Snakemake's own words go to a file, those of the chapters to the terminal.

    `again` is what goes on after a failure: a forced chapter would be run anew each time.

    Snakemake starts in an empty folder: what it keeps for itself (locks, marks of incomplete
    files) would only be in the way of a run after one that was killed.
    """
    home = folder / ".state" / "snakemake"
    shutil.rmtree(home, ignore_errors=True)
    log = home / "log.txt"
    file = home.resolve() / "settings.json"
    write_json(file, {**settings, "file": str(file)})
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile")]
    command += ["--configfile", str(file), "--directory", str(home)]
    command += ["--profile", "none", "--workflow-profile", "none"]  # whatever the user's others say
    own = settled(root, folder, environment)
    command += ["--cores", own["OMP_NUM_THREADS"], "--scheduler", "greedy"]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with open(log, "w", encoding="utf-8") as words:
        # A session of its own: Ctrl-C reaches this process only, which then ends all the others.
        process = subprocess.Popen(command, env=own, stderr=words, start_new_session=True)
        code = process.wait()
    if code and shutil.disk_usage(folder).free < 2**20:  # Snakemake would not say so
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    if code:
        said = log.read_text(encoding="utf-8", errors="replace").split("\n")
        if not any(line.startswith("Error in rule") for line in said):
            last = next((line.strip() for line in reversed(said) if line.strip()), "no word")
            print(f"Snakemake stopped before any chapter: {last}", file=sys.stderr)
        print(f"{again} goes on from here. Snakemake's log: {log}", file=sys.stderr)
    return 1 if code else 0
