"""Which backend decodes: the one place that knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1lib.artifacts import RunError, digest
from s1lib.chat import S1, Delimiters, load_tokenizer, model_path
from s1lib.decoding.decoder import Decoder

if TYPE_CHECKING:
    from s1lib.profile import Profile


def load_decoder(
    name: str,
    book: Profile | None = None,
    *,
    backend: str = "",
    window: int = 0,
    answer_tokens: int = 0,
    rows: int = 0,
    dtype: str = "",
    device: str = "",
    delimiters: Delimiters = S1,
) -> Decoder:
    """A decoder for the model `name` (see `s1lib.chat.model_path`).

    What is not given comes from `book`; without a book, from the model (window) or from
    defaults: the torch backend, 64 rows, fp32, answers of 256 tokens, CUDA if there is one. With
    a book, the backends for large models keep what they have decoded in `<run>/store/decoded`.
    """
    given = {"window": window, "answer_tokens": answer_tokens, "rows": rows, "dtype": dtype}
    settings: dict[str, Any] = {"window": 0, "answer_tokens": 256, "rows": 64, "dtype": "float32"}
    if book is not None:
        ours = book.evaluation
        settings |= {"window": ours.window, "answer_tokens": ours.answer_tokens}
        settings |= {"rows": ours.rows, "dtype": ours.dtype}
    settings |= {key: value for key, value in given.items() if value}
    backend = backend or (book.roles.decoder if book is not None else "torch")
    if backend == "torch":
        return _torch(name, device, delimiters, **settings)
    if backend not in ("server", "vllm"):
        raise RunError(f"no decoder {backend!r}: use torch, vllm or server")
    tokenizer, config = load_tokenizer(name), _config(name)
    settings["window"] = settings["window"] or config.max_position_embeddings
    decoder: Decoder
    if backend == "server":
        from s1lib.decoding.server import ServerDecoder

        beyond = range(len(tokenizer), config.vocab_size)  # its padded vocabulary
        decoder = ServerDecoder(name, tokenizer, delimiters=delimiters, beyond=beyond, **settings)
    else:
        from s1lib.decoding.vllm import VllmDecoder

        decoder = VllmDecoder(name, tokenizer, delimiters=delimiters, **settings)
    if book is not None:  # hours of decoding survive what may happen to a server
        decoder.keep, decoder.weights = book.run / "store" / "decoded", _weights(name)
    return decoder


def _weights(name: str) -> str:
    """What a model of ours was made from; a model of the hub goes by its name."""
    made_from = Path(model_path(name)) / "job.json"
    return digest(made_from) if made_from.is_file() else name


def _config(name: str) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(model_path(name))


def _torch(
    name: str,
    device: str,
    delimiters: Delimiters,
    *,
    window: int,
    answer_tokens: int,
    rows: int,
    dtype: str,
) -> Decoder:
    import torch
    from transformers import AutoModelForCausalLM

    from s1lib.decoding.engine import TorchDecoder

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model: Any = AutoModelForCausalLM.from_pretrained(model_path(name), dtype=getattr(torch, dtype))
    return TorchDecoder(
        model.to(where).eval(),
        load_tokenizer(name),
        window=min(window or 10**9, model.config.max_position_embeddings),
        answer_tokens=answer_tokens,
        rows=rows,
        name=name,
        delimiters=delimiters,
    )
