"""`python -m s1lib <command>`: every command of the book.

A command is a module with `add_arguments(parser)` and `main(args)`, imported only when called.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from s1lib.artifacts import RunError

COMMANDS = {
    "run": ("s1lib.run.command", "run the chapters that are not up to date"),
    "check": ("s1lib.check", "say what a run of a profile needs, and whether it is there"),
    "status": ("s1lib.run.status", "say which chapters are up to date, and why others are not"),
    "readme": ("s1lib.readme", "bring the ledger, Figure 1 and the rates in README.md up to date"),
    "site": ("s1lib.site", "build the book from the executed notebooks"),
    "ask": ("s1lib.decoding.ask", "ask a model, its thinking under budget forcing"),
    "serve": ("s1lib.decoding.server", "start the vLLM server that a profile decodes with"),
    "fidelity": ("s1lib.fidelity", "hold the laptop world against what is published"),
    "pretrain": ("s1lib.world.pretrain", "train the base models that ship with the package"),
}


def main(arguments: list[str]) -> int:
    """Run one command; its exit code. A `RunError` is one line on stderr and code 1."""
    parser = argparse.ArgumentParser(prog="python -m s1lib", description="s1, the book.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    parsers = {
        name: commands.add_parser(name, help=purpose, description=purpose)
        for name, (_, purpose) in COMMANDS.items()
    }
    try:
        if arguments and arguments[0] in parsers:
            import_module(COMMANDS[arguments[0]][0]).add_arguments(parsers[arguments[0]])
        args = parser.parse_args(arguments)
        return import_module(COMMANDS[args.command][0]).main(args) or 0
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("s1lib"):
            raise
        print(
            f"s1lib needs its environment, and {sys.executable} has no {error.name}: "
            "make setup, then source .venv/bin/activate",
            file=sys.stderr,
        )
        return 1
    except RunError as error:
        print(f"s1lib: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ns1lib: stopped; what is finished stays", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
