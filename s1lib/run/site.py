"""`python -m s1lib site`: build the book from the executed notebooks of a run folder."""

from __future__ import annotations

import argparse

from s1lib.profile import load_profile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="laptop", help="smoke, laptop, paper or a .yaml file")
    parser.add_argument("--run", default="", help="run folder (default: results/<profile>)")


def main(args: argparse.Namespace) -> int:
    from s1lib.site import build

    page = build(args.profile, load_profile(args.profile, args.run).run)
    print(f"The book is built. Open it in a browser: {page}")
    return 0
