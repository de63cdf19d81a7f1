"""One job of the graph: `python -m s1lib.run.job 06 --profile laptop --run results/laptop`.

A chapter that is up to date is left alone. What counts is content (`s1lib.run.state`): if an
earlier chapter has written the same bytes again, the later ones rest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from s1lib.artifacts import RunError, read_json
from s1lib.profile import load_profile
from s1lib.run import parameters, state
from s1lib.run.command import FIRST_RESULT, add_common, build_site
from s1lib.run.graph import GRAPH, read_graph
from s1lib.run.processes import sentences


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m s1lib.run.job", description=__doc__)
    parser.add_argument("number", help="of the chapter")
    add_common(parser)
    parser.add_argument("--site", action="store_true", help="build the first site, if it is time")
    parser.add_argument("--force", action="store_true", help="run even if up to date")
    parser.add_argument("--settings", type=Path, help="of a run, which keeps its chapters there")
    args = parser.parse_args()
    profile = load_profile(args.profile, args.run)
    began_with = args.settings and read_json(args.settings)["book"]
    chapters = GRAPH.validate_python(began_with) if began_with else read_graph(Path.cwd())
    chapter = next(chapter for chapter in chapters if chapter.number == args.number)
    given = parameters.parse(args.p, chapters)[chapter.number]
    reason = "asked for" if args.force else state.reason_to_run(chapter, profile, given)
    print(f"{chapter.label}  {reason or 'up to date'}", flush=True)
    if not reason:
        return 0
    from s1lib.run.execute import execute  # papermill takes a second to import

    with sentences(profile.run):
        done = execute(chapter, profile, {"profile": args.profile, "run": args.run, **given})
    if done and args.site and chapter.number == FIRST_RESULT:
        build_site(args.profile, profile.run)
    return 0 if done else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RunError as error:
        sys.exit(f"s1lib: {error}")
