"""One generation as a line of tokens, sampled and forced told apart (as Figure 3 of the paper).

Plain HTML that is complete without a script and without colour: forced tokens stand in `<mark>`
with a solid frame and a leading ▸, for the eye and for a screen reader alike.
"""

from __future__ import annotations

from html import escape
from itertools import groupby

from transformers import PreTrainedTokenizerBase

from s1lib.decoding.record import Generation

_STYLE = """
<style>
.s1-timeline { line-height: 1.9; max-width: 60rem; margin: 0 }
.s1-timeline dt { font-weight: 600; margin-top: .5rem }
.s1-timeline dd { margin: 0 0 0 1rem; font-family: monospace; overflow-wrap: anywhere }
.s1-timeline span { border-bottom: 1px dotted #767676; margin-right: 1px; padding: 0 1px }
.s1-timeline mark { color: #1a1a1a; background: #ffe6c7; border: 2px solid #b34700;
  border-radius: 3px; margin: 0 2px; padding: 0 2px }
.s1-timeline mark::before { content: "▸"; speak: never }
.s1-timeline small { font-weight: 400 }
</style>
"""
_ENDS = {
    "delimiter": "the model ended it",
    "eos": "the model ended its turn",
    "steps": "the countdown reached 0",
    "budget": "the budget was used up",
    "window": "the context window was full",
    "length": "the answer's limit was reached",
    "stopped": "the caller's own criteria were met",
}


def timeline(one: Generation, tokenizer: PreTrainedTokenizerBase) -> str:
    """HTML of one generation, text escaped; newlines are shown as ↵."""
    thought, said = (_ENDS.get(end, "as it ended") for end in (one.thinking_end, one.answer_end))
    titles = {
        "opening": "thinking opens",
        "thinking": f"thinking <small>({len(one.thinking)} tokens; {thought})</small>",
        "closing": "thinking closes",
        "answer": f"answer <small>({said})</small>",
    }
    mask, place, parts = one.mask, 0, []
    for role in titles:
        ids = getattr(one, role)
        if ids:
            runs = _runs(ids, mask[place : place + len(ids)], tokenizer)
            parts.append(f"<dt>{titles[role]}</dt>\n<dd>{runs}</dd>")
        place += len(ids)
    legend = (
        f"{len(mask)} tokens: <span>sampled</span> {mask.count(False)}, "
        f"<mark>forced</mark> {mask.count(True)}; ends of thinking ignored: {len(one.ignored)}"
    )
    return (
        f'{_STYLE}<figure class="s1-timeline mathjax_ignore tex2jax_ignore">\n'
        f"<figcaption>{legend}</figcaption>\n<dl>\n" + "\n".join(parts) + "\n</dl>\n</figure>"
    )


def shown(text: str) -> str:
    """Token text with its whitespace visible."""
    return text.replace("\n", "↵")


def _runs(ids: tuple[int, ...], mask: list[bool], tokenizer: PreTrainedTokenizerBase) -> str:
    """Sampled tokens one by one; forced ones that follow each other in one frame."""
    out = []
    for forced, run in groupby(zip(ids, mask, strict=True), key=lambda pair: pair[1]):
        tokens = [token for token, _ in run]
        frames = [tokens] if forced else [[token] for token in tokens]
        texts = [str(tokenizer.decode(ids)) for ids in frames]
        tag = "mark" if forced else "span"
        out += [f"<{tag}>{escape(shown(text))}</{tag}>" for text in texts]
        if not forced and texts[-1].endswith("\n"):
            out.append("<br>")
    return "".join(out)
