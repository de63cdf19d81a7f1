"""`python -m s1lib ask "..."`: one question, its thinking under budget forcing, as it is written.

Forced tokens stand between ⟦ and ⟧, and in reverse video on a terminal. The torch backend shows
each token as it comes, the others the whole at its end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from s1lib.chat import S1, THINK_TAGS, Delimiters
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.sampling import Sampling

KNOWN = {"s1": S1, "think": THINK_TAGS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question")
    parser.add_argument("--max-thinking", type=int, metavar="N", help="thinking tokens at most")
    parser.add_argument("--wait", type=int, default=0, metavar="N", help="ends to ignore")
    parser.add_argument("--string", default="Wait", help="what to append instead (may be empty)")
    parser.add_argument("--model", default="results/laptop/models/s1", help="folder or hub id")
    parser.add_argument("--backend", default="torch", help="torch (default), vllm or server")
    parser.add_argument("--dtype", default="", help="float32 (default), bfloat16 or auto")
    parser.add_argument("--window", type=int, default=0, metavar="N", help="context in tokens")
    parser.add_argument("--answer-tokens", type=int, default=256, metavar="N")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--delimiters", choices=sorted(KNOWN), help="of thinking; default: found in the tokenizer"
    )


def main(args: argparse.Namespace) -> int:
    forcing = Forcing(args.max_thinking, args.wait, args.string)
    sampling = Sampling(args.temperature, args.top_p, seed=args.seed)
    from s1lib.decoding.load import load_decoder

    options = {name: vars(args)[name] for name in ("backend", "window", "answer_tokens", "dtype")}
    decoder = load_decoder(args.model, rows=1, delimiters=KNOWN.get(args.delimiters), **options)
    print(told(decoder.delimiters), file=sys.stderr)
    tokens = decoder.stream(args.question, forcing, sampling)
    counts = [0, 0]
    for text, forced, size in pieces(tokens, lambda ids: str(decoder.tokenizer.decode(ids))):
        counts[forced] += size
        print(_shown(text, forced), end="", flush=True)
    print(f"\n\n{counts[0]} tokens sampled, {counts[1]} forced", file=sys.stderr)
    return 0


def told(delimiters: Delimiters) -> str:
    """How a decoder finds thinking, in a line."""
    return f"thinking stands between {delimiters.think!r} and {delimiters.answer!r}"


def pieces(
    tokens: Iterable[tuple[int, bool]], decode: Callable[[list[int]], str]
) -> Iterator[tuple[str, bool, int]]:
    """Text as soon as it is whole: forced tokens that follow each other at once, sampled ones
    when their bytes make up characters. With each, whether it was forced, and its tokens."""
    for forced, run in groupby(tokens, key=lambda pair: pair[1]):
        held: list[int] = []
        for token, _ in run:
            held.append(token)
            if not forced and not decode(held).endswith("\ufffd"):
                yield decode(held), False, len(held)
                held = []
        if held:
            yield decode(held), forced, len(held)


def _shown(text: str, forced: bool) -> str:
    if not forced:
        return text
    start, stop = ("\x1b[7m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    return f"{start}⟦{text}⟧{stop}"
