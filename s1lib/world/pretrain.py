"""Pretrain the two base models of the laptop world: `python -m s1lib pretrain`.

Qwen2 architecture, a byte-level BPE tokenizer of our own with ChatML tokens, bf16 safetensors. The
whole recipe is here; the corpus is `s1lib.world.corpus`.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from s1lib.artifacts import read_json, write_json, write_text
from s1lib.world.corpus import WAYS, documents

WEIGHTS = Path(__file__).parent / "weights"
VOCABULARY = 704
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_pad|>")
HEADER = " steps left"  # of step-conditional traces: no document has it, so BPE would spell it out
PHRASES = (
    *(" + ", " - ", " · ", " = ", " / ", ") ", ", ", "x^", "So the answer is ", "So it is "),
    *("This takes long, so by a shortcut", "another way", "once more", ": option "),
    *("Now ", ", before ", " and ", "the same", "not the same", "more often ", "I keep "),
    *("Twice at once: ", " twice"),
)
"""What a trace consists of costs one token. BPE alone would never join words and spaces."""
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WINDOW = 704


@dataclass(frozen=True)
class Recipe:
    """Size and schedule of one base model."""

    hidden: int
    layers: int
    heads: int
    mlp: int
    tokens: int
    batch: int = 8192
    workers: int = 0
    lengths: tuple[int, ...] = (128, 320, 704)
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    warmup: float = 0.01
    decay: float = 0.5
    seed: int = 0
    ways: dict[str, float] = field(default_factory=lambda: WAYS)


RECIPES = {
    "small": Recipe(
        hidden=96, layers=3, heads=3, mlp=256, tokens=24_000_000, batch=32768, workers=16
    ),
    "base": Recipe(
        hidden=192, layers=5, heads=6, mlp=432, tokens=240_000_000, batch=32768, workers=16
    ),
}


def further(recipe: Recipe) -> Recipe:
    """How a trained model goes on: other documents, lower rates, smaller batches."""
    rates = {"muon_rate": 0.3 * recipe.muon_rate, "adam_rate": 0.3 * recipe.adam_rate}
    return replace(recipe, batch=8192, warmup=0.02, decay=0.9, seed=100, **rates)  # type: ignore[arg-type]


def train_tokenizer(seed: int = 0, sample: int = 20_000) -> Qwen2Tokenizer:
    """Byte-level BPE on a sample of the corpus, split into digits as Qwen2's own tokenizer is."""
    texts = (text.replace("<|", "< |") for text in islice(documents(seed), sample))
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(
        texts, VOCABULARY - 64, new_special_tokens=list(SPECIAL[1:])
    )
    tokenizer.add_tokens([HEADER, *PHRASES])
    tokenizer.chat_template = TEMPLATE
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|fim_pad|>"
    return tokenizer


class Stream(IterableDataset[list[torch.Tensor]]):
    """Endless chunks of 256 tokenized documents, int16 ids for each of the recipe's lengths.

    A document goes to the shortest length that holds it; every worker has documents of its own.
    """

    def __init__(self, tokenizer: Qwen2Tokenizer, recipe: Recipe) -> None:
        self.tokenizer, self.recipe = tokenizer, recipe

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        worker, lengths = get_worker_info(), self.recipe.lengths
        seed = f"{self.recipe.seed + 1}/{worker.id if worker else 0}"
        stream = documents(seed, self.recipe.ways)
        while True:
            texts = list(islice(stream, 256))
            parts: dict[int, list[int]] = {length: [] for length in lengths}
            for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]:
                parts[next((n for n in lengths if len(ids) <= n), lengths[-1])] += ids
            yield [torch.tensor(ids, dtype=torch.int16) for ids in parts.values()]


def batches(tokenizer: Qwen2Tokenizer, recipe: Recipe) -> Iterator[torch.Tensor]:
    """Endless batches of ids, shape (rows, length + 1), dtype int64: documents end to end.

    Rows of several lengths, because attention over short rows is cheaper. Every batch has about
    `recipe.batch` targets. Workers take turns, so that their number, not their speed, decides
    what comes when.
    """
    chunks = DataLoader(Stream(tokenizer, recipe), batch_size=None, num_workers=recipe.workers)
    waiting = [torch.empty(0, dtype=torch.int16) for _ in recipe.lengths]
    for chunk in chunks:
        for k, (length, ids) in enumerate(zip(recipe.lengths, chunk, strict=True)):
            waiting[k] = torch.cat([waiting[k], ids])
            need = recipe.batch // length * (length + 1)
            while len(waiting[k]) >= need:
                yield waiting[k][:need].long().view(-1, length + 1)
                waiting[k] = waiting[k][need:]


def new_model(recipe: Recipe, tokenizer: Qwen2Tokenizer) -> Qwen2ForCausalLM:
    torch.manual_seed(recipe.seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=1,
        max_position_embeddings=recipe.lengths[-1],
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.pad_token_id,  # type: ignore[arg-type]
        use_cache=False,
    )
    return Qwen2ForCausalLM(config)


def pretrain(
    name: str, recipe: Recipe, folder: Path, device: str, start: Path | None = None
) -> None:
    """Train one model, from the one in `start` if given; save it with its card in `folder`/`name`.

    What goes on keeps its tokenizer, which else is `folder`'s.
    """
    tokenizer = load_tokenizer(start or folder)
    model = new_model(recipe, tokenizer)
    command = f"python -m s1lib pretrain {name} --tokens {recipe.tokens}"
    command += f" --folder {shlex.quote(str(folder))}" * (folder != WEIGHTS)
    command += f" --start {shlex.quote(str(start))}" if start else ""
    facts: dict[str, Any] = {"recipe": asdict(recipe), "command": command}
    if start:
        model = Qwen2ForCausalLM.from_pretrained(start / name, dtype=torch.float32)
        model.config.max_position_embeddings = recipe.lengths[-1]
        facts["before"] = read_json(start / name / "training.json")  # as recorded then
    model.to(device)  # type: ignore[arg-type]
    if device == "cpu":  # the fused CPU kernel's backward pass is slower than plain matrix products
        model.set_attn_implementation("eager")
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    muon = torch.optim.Muon(matrices, lr=recipe.muon_rate, weight_decay=0.01)
    adam = torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0)
    forward = torch.compile(model, dynamic=False) if device == "cpu" else model
    steps = recipe.tokens // recipe.batch
    log, began = [], time.time()
    for step, batch in enumerate(islice(batches(tokenizer, recipe), steps)):
        scale = schedule(step / steps, recipe)
        for optimizer, rate in ((muon, recipe.muon_rate), (adam, recipe.adam_rate)):
            optimizer.param_groups[0]["lr"] = rate * scale
        ids = batch.to(device)
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = forward(input_ids=ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in (muon, adam):
            optimizer.step()
            optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            tokens = (step + 1) * recipe.batch
            log.append({"step": step, "tokens": tokens, "loss": round(loss.item(), 4)})
            rate = tokens / (time.time() - began)
            left = (recipe.tokens - tokens) / rate / 60
            said = f"loss {loss:.4f}, {rate:,.0f} tokens/s, {left:.0f} min left"
            print(f"{name} {step}/{steps}: {said}", flush=True)
        if step % 500 == 499 or step == steps - 1:
            facts |= {"log": log, "minutes": round((time.time() - began) / 60, 1)}
            save(folder / name, model, tokenizer, facts)


def schedule(done: float, recipe: Recipe) -> float:
    """Warm up, hold, then decay linearly to zero."""
    return min(1.0, done / recipe.warmup, (1 - done) / recipe.decay)


def save(
    target: Path, model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, facts: dict[str, Any]
) -> None:
    """Save weights as bf16 safetensors, the tokenizer, the facts with the log, and a model card."""
    device = model.device.type
    target.mkdir(parents=True, exist_ok=True)
    state = Qwen2ForCausalLM(model.config)
    state.load_state_dict({k: v.cpu() for k, v in model.state_dict().items()})
    state.config.use_cache = True
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    state.generation_config.eos_token_id = ends  # of a turn, and of plain text
    state.to(torch.bfloat16).save_pretrained(target)  # type: ignore[arg-type]
    tokenizer.save_pretrained(target)
    facts |= {
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": device if device == "cuda" else f"cpu ({torch.get_num_threads()} threads)",
        "dtype": "bf16 autocast, fp32 weights",
        "torch": torch.__version__,
    }
    write_json(target / "training.json", facts)
    write_text(target / "README.md", card(target.name, facts))


def card(name: str, facts: dict[str, Any]) -> str:
    """The model card, from what `save` recorded."""
    text = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    window, loss = facts["recipe"]["lengths"][-1], facts["log"][-1]["loss"]
    return text.format(name=name, window=window, loss=loss, began=_began(facts), **facts)


def _began(facts: dict[str, Any]) -> str:
    said = ""
    while facts := facts.get("before", {}):
        said += f"""
- **Went on from** a model of {facts["recipe"]["tokens"]:,} tokens ({facts["minutes"]} minutes,
  {facts["device"]}), whose corpus was an earlier one."""
    return said


def load_tokenizer(folder: Path) -> Qwen2Tokenizer:
    """The tokenizer of the models in `folder`, trained if there is none, with today's window.

    One that was trained for a larger window would write that beside models that go on from it.
    """
    if not (folder / "tokenizer" / "tokenizer.json").is_file():
        train_tokenizer().save_pretrained(folder / "tokenizer")
    tokenizer = Qwen2Tokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.model_max_length = WINDOW
    return tokenizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", choices=list(RECIPES), help="default: both")
    parser.add_argument("--folder", type=Path, default=WEIGHTS, help="where the models go")
    parser.add_argument("--tokens", type=int, help="tokens to train on, instead of the recipe's")
    parser.add_argument(
        "--start", type=Path, help="go on from the models in this folder, at lower rates"
    )


def main(args: argparse.Namespace) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_flush_denormal(True)  # subnormals make the backward pass on a CPU ten times slower
    for name in [args.model] if args.model else RECIPES:
        recipe = RECIPES[name]
        if args.tokens:
            recipe = replace(recipe, tokens=args.tokens)
        if args.start:
            recipe = further(recipe)
        pretrain(name, recipe, args.folder, device, args.start)
