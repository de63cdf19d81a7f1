"""vLLM in this process beside the torch backend, where vLLM (or a CPU build of it) is installed."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
from conftest import make_tiny
from test_engine import ANSWER, WINDOW, prompts

from s1lib.decoding import Forcing, give_back
from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.sweep import cells
from s1lib.decoding.vllm import VllmDecoder

__all__ = ["prompts"]


@pytest.fixture(scope="module")
def both(tiny_tokenizer, tmp_path_factory):
    """The same model in both backends. Its heads have size 32: vLLM on a CPU knows no smaller."""
    pytest.importorskip("vllm")
    model = make_tiny(tiny_tokenizer, heads=2)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    sizes = {"window": WINDOW, "answer_tokens": ANSWER}
    theirs = VllmDecoder(str(folder), tiny_tokenizer, **sizes, dtype="float32", enforce_eager=True)
    return theirs, TorchDecoder(model, tiny_tokenizer, **sizes)


def test_a_sweep_in_vllm_gives_the_ids_of_the_torch_backend(both, prompts):
    wanted = [*cells([0, 8, 16], [1, 2]), Forcing(20, 2, "Hmm"), Forcing(None, 1, "")]
    theirs, ours = (one.sweep(prompts, wanted) for one in both)
    assert [one.ids for one in theirs] == [one.ids for one in ours]


def test_where_thinking_ends_at_its_start_only_the_answers_are_paid(both, prompts):
    """The trunk's own answer was decoded, too, and belonged to nobody."""
    theirs, ours = (one.sweep(prompts, [Forcing(budget=0)]) for one in both)
    assert [one.ids for one in theirs] == [one.ids for one in ours]
    assert both[0].paid == both[1].paid == sum(one.sampled for one in theirs)


def test_ids_beyond_the_tokenizer_are_never_sampled_in_vllm(both, prompts, tiny_tokenizer):
    found = both[0].generate(prompts, None, Sampling(2.0, seed=1, max_new_tokens=24))
    assert max(max(one.ids, default=0) for one in found) < len(tiny_tokenizer)


def test_seeded_prompts_that_do_not_fit_one_step_are_decoded(both):
    """vLLM 0.32 on a CPU died of a seed where a prompt was read in two parts."""
    many = [[5 + (number + place) % 200 for place in range(40)] for number in range(200)]
    found = both[0].generate(many, None, Sampling(0.7, seed=1, max_new_tokens=4))
    assert len(found) == len(many)


def test_an_engine_that_was_given_back_is_started_again(both, prompts):
    before = both[0].generate(prompts, None, Sampling(max_new_tokens=8))
    give_back()
    assert [one.ids for one in both[0].generate(prompts, None, Sampling(max_new_tokens=8))] == [
        one.ids for one in before
    ]


# --- whose turn it is, with an engine that only says that it is there


@pytest.fixture
def engines(monkeypatch) -> list[str]:
    """The models whose engines run."""
    running: list[str] = []

    class LLM:
        def __init__(self, model: str, **options: object) -> None:
            assert not running, "two engines do not fit on one GPU"
            running.append(model)
            core = SimpleNamespace(shutdown=lambda: running.remove(model))
            sizes = SimpleNamespace(get_vocab_size=lambda: 400)
            self.llm_engine = SimpleNamespace(engine_core=core, model_config=sizes)

    module = ModuleType("vllm")
    module.__spec__ = ModuleSpec("vllm", None)
    module.LLM = LLM  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    yield running
    give_back()


def engine(name: str, tokenizer) -> VllmDecoder:
    return VllmDecoder(name, tokenizer, window=WINDOW, answer_tokens=ANSWER)


def test_engines_take_turns(engines, tiny_tokenizer):
    """Chapters hold several decoders at once; the second engine once found no memory."""
    s1, base = (engine(name, tiny_tokenizer) for name in ("s1", "base"))
    assert not engines
    for decoder in (s1, base, base, s1):
        list(decoder.run([], Sampling()))
        assert engines == [decoder.name]


def test_what_follows_decoding_finds_the_gpu_free(engines, tiny_tokenizer):
    with engine("s1", tiny_tokenizer) as decoder:
        list(decoder.run([], Sampling()))
    assert not engines
    list(decoder.run([], Sampling()))
    give_back()
    assert not engines
