"""Which backend decodes: the one place that knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1lib.artifacts import RunError, digest
from s1lib.chat import Delimiters, load_tokenizer, model_path
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.jobs import end_ids

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
    delimiters: Delimiters | None = None,
    **options: Any,
) -> Decoder:
    """A decoder for the model `name` (see `s1lib.chat.model_path`).

    What is not given comes from `book`; without a book, from the model (window) or from
    defaults: the torch backend, 64 rows, answers of 256 tokens, and fp32 in torch, the dtype of
    the weights in vLLM. `dtype="auto"` is that of the weights in both. Without `delimiters` those
    that the tokenizer has tokens for are taken.

    `options` go to the backend: to `from_pretrained` (`device_map`, `gguf_file`,
    `quantization_config`; `device` alone is CUDA if there is one), to `vllm.LLM`
    (`tensor_parallel_size`), or to the server (`url`). With a book, the backends for large models
    keep what they have decoded in `<run>/store/decoded`.
    """
    given = {"window": window, "answer_tokens": answer_tokens, "rows": rows, "dtype": dtype}
    backend = backend or (book.roles.decoder if book is not None else "torch")
    settings: dict[str, Any] = {"window": 0, "answer_tokens": 256, "rows": 64}
    settings["dtype"] = "float32" if backend == "torch" else "auto"
    if book is not None:
        settings = {key: getattr(book.evaluation, key) for key in settings}
    settings |= {key: value for key, value in given.items() if value}
    settings["delimiters"] = delimiters
    if backend == "torch":
        return _torch(name, settings, **options)
    if backend not in ("server", "vllm"):
        raise RunError(f"no decoder {backend!r}: use torch, vllm or server")
    from transformers import AutoConfig

    path, tokenizer = model_path(name), load_tokenizer(name)
    config = AutoConfig.from_pretrained(path)
    settings["window"] = settings["window"] or window_of(config)
    settings["ends"] = _ends(path, config)
    decoder: Decoder
    if backend == "server":
        from s1lib.decoding.server import ServerDecoder

        size = config.get_text_config().vocab_size
        beyond = range(len(tokenizer), size)  # its padded vocabulary
        decoder = ServerDecoder(name, tokenizer, beyond=beyond, **settings, **options)
    else:
        from s1lib.decoding.vllm import VllmDecoder

        decoder = VllmDecoder(name, tokenizer, **settings, **options)
    if book is not None:  # hours of decoding survive what may happen to a server
        made_from = Path(path) / "job.json"  # of a model of ours; one of the hub goes by its name
        decoder.weights = digest(made_from) if made_from.is_file() else name
        decoder.keep = book.run / "store" / "decoded"
    return decoder


def window_of(config: Any) -> int:
    """The context length of a model, in tokens; 4,096 for one that names no limit."""
    return getattr(config.get_text_config(), "max_position_embeddings", None) or 4096


def _ends(path: str, config: Any) -> list[int]:
    """The ends that the model's generation config names, or without one its configuration."""
    from transformers import GenerationConfig

    try:
        return end_ids(GenerationConfig.from_pretrained(path))
    except OSError:
        return end_ids(config)


def _torch(name: str, settings: dict[str, Any], device: str = "", **options: Any) -> Decoder:
    import torch
    from transformers import AutoModelForCausalLM

    from s1lib.decoding.local import TorchDecoder

    file = {key: options[key] for key in options.keys() & {"gguf_file"}}
    tokenizer = load_tokenizer(name, **file)
    dtype = settings.pop("dtype")
    kind = dtype if dtype == "auto" else getattr(torch, dtype)
    model: Any = AutoModelForCausalLM.from_pretrained(model_path(name), dtype=kind, **options)
    if "device_map" not in options and getattr(model, "hf_quantizer", None) is None:
        model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    most = window_of(model.config)
    settings["window"] = min(settings["window"] or most, most)
    return TorchDecoder(model.eval(), tokenizer, name=name, **settings)
