"""`python -m s1lib ask "..."`: one question, its thinking under budget forcing, as it is written.

Forced tokens stand between ⟦ and ⟧, and in reverse video on a terminal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from s1lib.decoding.forcing import Forcing
from s1lib.decoding.sampling import GREEDY, Sampling

if TYPE_CHECKING:
    from s1lib.decoding.engine import TorchDecoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question")
    parser.add_argument("--max-thinking", type=int, metavar="N", help="thinking tokens at most")
    parser.add_argument("--wait", type=int, default=0, metavar="N", help="ends to ignore")
    parser.add_argument("--string", default="Wait", help="what to append instead (may be empty)")
    parser.add_argument("--model", default="results/laptop/models/s1", help="folder or hub id")
    parser.add_argument("--dtype", default="float32", help="bfloat16 halves the memory")
    parser.add_argument("--answer-tokens", type=int, default=256, metavar="N")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)


def main(args: argparse.Namespace) -> int:
    forcing = Forcing(args.max_thinking, args.wait, args.string)
    from s1lib.chat import prompt_ids
    from s1lib.decoding.load import load_decoder

    decoder = load_decoder(
        args.model, backend="torch", answer_tokens=args.answer_tokens, rows=1, dtype=args.dtype
    )
    prompt = prompt_ids(decoder.tokenizer, args.question)
    sampling = Sampling(args.temperature, seed=args.seed)
    tokens = stream(decoder, prompt, forcing, sampling)  # type: ignore[arg-type]
    counts = [0, 0]
    for text, forced, size in pieces(tokens, lambda ids: str(decoder.tokenizer.decode(ids))):
        counts[forced] += size
        print(_shown(text, forced), end="", flush=True)
    print(f"\n\n{counts[0]} tokens sampled, {counts[1]} forced", file=sys.stderr)
    return 0


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


def stream(
    decoder: TorchDecoder,
    prompt: Sequence[int],
    forcing: Forcing | None,
    sampling: Sampling = GREEDY,
) -> Iterator[tuple[int, bool]]:
    """Tokens of one generation as they come, each with whether it was forced.

    Equals `decoder.generate([prompt], forcing, ids=["0"], ...)`, one row and one token at a time:
    the shortest form of the decoding loop.
    """
    import numpy as np
    import torch

    from s1lib.decoding.draw import draw, key, uniform
    from s1lib.decoding.forcing import machine
    from s1lib.decoding.marks import marks
    from s1lib.decoding.network import Chunk

    found = marks(decoder.tokenizer, forcing, decoder.ends)
    limit = decoder.window if forcing is None else decoder.answer_tokens
    one = machine(prompt, forcing, found, decoder.window, limit)
    network, fed, banned = decoder.network.twin(), 0, sorted(found.banned)
    network.reserve(1, one.longest)
    stream_key = np.array([key(sampling.seed, "0", 0)], np.uint64)
    move = one.start()
    while True:
        yield from ((token, True) for token in move.force)
        if move.done:
            return
        fed = min(fed, len(one.ids) - 1)
        places = [len(one.ids) - 1, *range(fed, len(one.ids) - 1)]  # the last token comes first
        at = torch.tensor(places, device=network.device)
        ids = torch.tensor([one.ids[place] for place in places], device=network.device)
        chunks = [Chunk(0, fed, len(places) - 1, 1)] if len(places) > 1 else []
        with torch.inference_mode():
            logits = network.forward(ids, at, torch.zeros_like(at), 1, chunks, places[:1])
            if one.ban:
                logits[:, banned] = float("-inf")
            chance = uniform(stream_key, np.array([len(one.ids)]))
            seen = None
            if sampling.repetition_penalty != 1:
                seen = torch.zeros_like(logits, dtype=torch.bool)
                seen[0, one.ids] = True
            token = int(draw(logits, sampling, chance, seen)[0])
        fed = len(one.ids)
        move = one.push(token)
        fed = min(fed, len(one.ids) - len(move.force))
        if len(one.ids) - len(move.force) > places[0] + 1:
            yield token, False


def _shown(text: str, forced: bool) -> str:
    if not forced:
        return text
    start, stop = ("\x1b[7m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    return f"{start}⟦{text}⟧{stop}"
