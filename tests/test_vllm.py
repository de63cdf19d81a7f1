"""vLLM in this process beside the torch backend, where vLLM (or a CPU build of it) is installed."""

import pytest
from conftest import make_tiny
from test_engine import ANSWER, WINDOW, prompts

from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.sweep import cells

__all__ = ["prompts"]


@pytest.fixture(scope="module")
def both(tiny_tokenizer, tmp_path_factory):
    """The same model in both backends. Its heads have size 32: vLLM on a CPU knows no smaller."""
    pytest.importorskip("vllm")
    from s1lib.decoding.vllm import VllmDecoder

    model = make_tiny(tiny_tokenizer, heads=2)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    sizes = {"window": WINDOW, "answer_tokens": ANSWER}
    theirs = VllmDecoder(str(folder), tiny_tokenizer, **sizes, dtype="float32", enforce_eager=True)
    return theirs, TorchDecoder(model, tiny_tokenizer, **sizes)


def test_a_sweep_in_vllm_gives_the_ids_of_the_torch_backend(both, prompts):
    theirs, ours = (one.sweep(prompts, cells([0, 8, 16], [1, 2])) for one in both)
    assert [one.ids for one in theirs] == [one.ids for one in ours]


def test_ids_beyond_the_tokenizer_are_never_sampled_in_vllm(both, prompts, tiny_tokenizer):
    found = both[0].generate(prompts, None, Sampling(2.0, seed=1, max_new_tokens=24))
    assert max(max(one.ids, default=0) for one in found) < len(tiny_tokenizer)
