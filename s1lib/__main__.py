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
    "status": ("s1lib.run.status", "say which chapters are up to date, and why others are not"),
    "site": ("s1lib.run.site", "build the book from the executed notebooks"),
    "ask": ("s1lib.decoding.ask", "ask a model, its thinking under budget forcing"),
    "serve": ("s1lib.decoding.server", "start the vLLM server that a profile decodes with"),
    "bench": ("s1lib.bench", "measure speed against other libraries"),
    "pretrain": ("s1lib.world.pretrain", "train the base models that ship with the package"),
}


def main(arguments: list[str]) -> int:
    """Run one command; its exit code. A `RunError` is one line on stderr and code 1."""
    parser = argparse.ArgumentParser(prog="python -m s1lib", description="s1, the book.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        if name in arguments[:1]:
            import_module(module).add_arguments(command)
    args = parser.parse_args(arguments)
    try:
        return import_module(COMMANDS[args.command][0]).main(args) or 0
    except RunError as error:
        print(f"s1lib: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ns1lib: stopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
