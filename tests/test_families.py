"""Any causal language model: tiny random ones of many families, token for token in fp32.

Plain decoding is held against `transformers.generate`, budget forcing against the model's own
`forward`, one token after the other, with the state machine in charge.
"""

from __future__ import annotations

import copy
import logging

import pytest
import torch
import transformers
from test_engine import ANSWER, WINDOW, prompts, reference

from s1lib.artifacts import RunError
from s1lib.decoding.fast import Fast
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.general import General, Reread
from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.paths import network_for
from s1lib.decoding.sampling import Sampling

__all__ = ["prompts"]

PAUSED = Forcing(budget=24, waits=2)
COMMON = {
    "vocab_size": 400, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "initializer_range": 0.3, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 3,
    "tie_word_embeddings": False,
}  # fmt: skip
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LOCAL = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
ROPE = {"rope_theta": 1e4}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}

# family: the class's name, its settings, and the path that decodes it
FAMILIES = {
    "Qwen2": ("Qwen2", {}, Fast),
    "Llama": ("Llama", {}, Fast),
    "Llama, rope llama3": ("Llama", {"rope_parameters": ROPE | {
        "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}}, Fast),
    "Llama, rope dynamic": ("Llama", {"rope_parameters": ROPE | {
        "rope_type": "dynamic", "factor": 4.0}}, General),
    "Qwen2, sliding window": ("Qwen2", {
        "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0}, General),
    "Qwen2, gelu": ("Qwen2", {"hidden_act": "gelu"}, General),
    "Llama, biases": ("Llama", {"attention_bias": True, "mlp_bias": True}, General),
    "Qwen3": ("Qwen3", {"head_dim": 16}, General),
    "Qwen3-MoE": ("Qwen3Moe", {"head_dim": 16, **EXPERTS}, General),
    "Mistral, sliding window": ("Mistral", {"sliding_window": 16}, General),
    "Mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}, General),
    "Gemma 2": ("Gemma2", {"head_dim": 16, **LOCAL}, General),
    "Gemma 3": ("Gemma3", {"head_dim": 16, **LOCAL}, General),
    "Phi": ("Phi", {}, General),
    "Phi 3": ("Phi3", {}, General),
    "OLMo 2": ("Olmo2", {}, General),
    "gpt-oss, sinks": ("GptOss", {
        "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, **LOCAL}, General),
    "SmolLM3": ("SmolLM3", {}, General),
    "Granite": ("Granite", {}, General),
    "GPT-2": ("GPT2", GPT2, General),
    "GPT-NeoX": ("GPTNeoX", {}, General),
    "Bloom, alibi": ("Bloom", {"n_head": 4, "n_layer": 2}, General),
    "Mamba": ("Mamba", {"state_size": 8}, Reread),
    "Falcon-H1": ("FalconH1", {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16,
                               "mamba_d_state": 8, "mamba_n_groups": 1}, Reread),
}  # fmt: skip


def make(name: str, settings: dict, seed: int = 0):
    """A random model whose greedy text varies, and whose thinking ends now and then."""
    torch.manual_seed(seed)
    config_name = {"Gemma3": "Gemma3TextConfig"}.get(name, f"{name}Config")
    kind = {"GPT2": "GPT2LMHeadModel"}.get(name, f"{name}ForCausalLM")
    config = getattr(transformers, config_name)(**COMMON | settings)
    model = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith(("bias", "sinks")):
                parameter.normal_(0, 0.3)
    return model


def decoder_of(model, tokenizer, **settings) -> TorchDecoder:
    sizes = {"window": WINDOW, "answer_tokens": ANSWER, "rows": 5}
    return TorchDecoder(model, tokenizer, **sizes | settings)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_decoded_token_for_token(family, tiny_tokenizer, prompts):
    name, settings, path = FAMILIES[family]
    model = make(name, settings)
    ours = decoder_of(model, tiny_tokenizer)
    assert type(ours.network) is path
    check(model, ours, tiny_tokenizer, prompts[:7])


def check(model, ours, tokenizer, prompts):
    plain = ours.generate(prompts, None, Sampling(max_new_tokens=40))
    ends = sorted(ours.marks(None).ends)
    outside = list(range(len(tokenizer), model.config.get_text_config().vocab_size))
    width = max(map(len, prompts))
    ids = torch.tensor([[3] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    if isinstance(ours.network, Reread):  # padding would enter a recurrent state
        rows = [(torch.tensor([prompt]), None) for prompt in prompts]
    else:
        rows = [(ids, mask)]
    theirs = []
    for ids, mask in rows:
        out = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=40, do_sample=False,
            eos_token_id=ends, pad_token_id=3, suppress_tokens=outside,
        )  # fmt: skip
        theirs += out[:, ids.shape[1] :].tolist()
    for one, said in zip(plain, theirs, strict=True):
        stop = next((place for place, token in enumerate(said) if token in ends), len(said))
        assert one.ids == tuple(said[:stop])
    for prompt, one in zip(prompts, ours.generate(prompts, PAUSED), strict=True):
        ids = list(one.prompt + one.ids)
        assert reference(model, tokenizer, prompt, PAUSED, ids).ids == ids


def test_an_adapter_of_peft_is_part_of_the_model(tiny_model, tiny_tokenizer, prompts):
    """It once was left out without a word."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(3)
    bare = copy.deepcopy(tiny_model)
    settings = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted = peft.get_peft_model(bare, settings).eval()
    ours = decoder_of(adapted, tiny_tokenizer)
    assert type(ours.network) is General
    check(adapted, ours, tiny_tokenizer, prompts[:5])
    inside = decoder_of(adapted.base_model.model, tiny_tokenizer)
    assert type(inside.network) is General
    bare_ids = [one.ids for one in decoder_of(tiny_model, tiny_tokenizer).generate(prompts[:5])]
    assert [one.ids for one in inside.generate(prompts[:5])] != bare_ids
    whole = adapted.merge_and_unload()
    assert type(decoder_of(whole, tiny_tokenizer).network) is Fast


def test_a_trained_prompt_is_refused(tiny_model, tiny_tokenizer):
    peft = pytest.importorskip("peft")
    settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    model = peft.get_peft_model(copy.deepcopy(tiny_model), settings)
    with pytest.raises(RunError, match="trained prompt"):
        decoder_of(model, tiny_tokenizer)


def test_an_encoder_is_refused(tiny_tokenizer):
    config = transformers.T5Config(d_model=32, d_ff=32, num_layers=1, num_heads=2, vocab_size=400)
    model = transformers.T5ForConditionalGeneration(config)
    with pytest.raises(RunError, match="needs a decoder-only model"):
        decoder_of(model, tiny_tokenizer)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_positions_that_change_as_a_text_grows_are_refused_beyond_their_limit(kind, tiny_tokenizer):
    factors = {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "factor": 4.0}
    rope = ROPE | {"rope_type": kind, "original_max_position_embeddings": 64, **factors}
    model = make("Llama", {"rope_parameters": rope, "max_position_embeddings": 64})
    assert decoder_of(model, tiny_tokenizer, window=64).network
    with pytest.raises(RunError, match=f"rope_type={kind} changes all positions .* set window=64"):
        decoder_of(model, tiny_tokenizer, window=65)


class Whole(torch.nn.Linear):
    """A layer that keeps its weight as whole numbers, as 8-bit layers do."""

    def __init__(self, layer):
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None)
        self.scale = layer.weight.abs().amax(1, keepdim=True) / 127
        whole = (layer.weight / self.scale).round().to(torch.int8)
        self.weight = torch.nn.Parameter(whole, requires_grad=False)
        self.bias = layer.bias

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight * self.scale, self.bias)


def test_layers_of_whole_numbers_are_computed_by_themselves(tiny_model, tiny_tokenizer, prompts):
    """Their weights were once read as if they were not scaled."""
    model = copy.deepcopy(tiny_model)
    for layer in model.model.layers:
        layer.self_attn.q_proj = Whole(layer.self_attn.q_proj)
        layer.mlp.down_proj = Whole(layer.mlp.down_proj)
    ours = decoder_of(model, tiny_tokenizer)
    assert type(ours.network) is General
    check(model, ours, tiny_tokenizer, prompts[:4])


def test_a_model_on_the_disk_is_decoded_where_it_computes(
    tiny_model, tiny_tokenizer, prompts, tmp_path
):
    from accelerate import cpu_offload, disk_offload

    for offload in (lambda m: disk_offload(m, str(tmp_path)), lambda m: cpu_offload(m)):
        model = copy.deepcopy(tiny_model)
        offload(model)
        ours = decoder_of(model, tiny_tokenizer)
        assert type(ours.network) is General
        expected = decoder_of(tiny_model, tiny_tokenizer).generate(prompts[:4], PAUSED)
        assert [one.ids for one in ours.generate(prompts[:4], PAUSED)] == [
            one.ids for one in expected
        ]


def test_the_fast_path_is_left_with_a_word_if_it_disagrees(
    tiny_model, tiny_tokenizer, monkeypatch, caplog
):
    """Whatever else a model may do: it is asked before it is believed."""
    model = copy.deepcopy(tiny_model)
    monkeypatch.setattr(type(model.model.norm), "forward", lambda self, x: 0.9 * self.weight * x)
    with caplog.at_level(logging.WARNING):
        network = network_for(model, len(tiny_tokenizer), WINDOW)
    assert type(network) is General
    assert "the fast path does not agree with Qwen2ForCausalLM" in caplog.text


def test_a_hook_on_a_layer_is_not_passed_over(tiny_model, tiny_tokenizer):
    model = copy.deepcopy(tiny_model)
    model.model.layers[1].register_forward_hook(lambda *_: None)
    assert type(network_for(model, len(tiny_tokenizer), WINDOW)) is General


def test_large_weights_are_used_where_they_lie(tiny_model, tiny_tokenizer, prompts, monkeypatch):
    copied = decoder_of(tiny_model, tiny_tokenizer)
    monkeypatch.setattr("s1lib.decoding.fast.COPIED", 0)
    shared = decoder_of(tiny_model, tiny_tokenizer)
    theirs = {part.untyped_storage().data_ptr() for part in tiny_model.parameters()}
    held = [part for layer in shared.network.layers for part in (*layer.qkv, *layer.gate_up)]
    held += [part for layer in shared.network.layers for part in (layer.out, layer.down)]
    held += [shared.network.head, shared.network.embedding]
    assert all(part.untyped_storage().data_ptr() in theirs for part in held)
    assert [one.ids for one in shared.generate(prompts, PAUSED)] == [
        one.ids for one in copied.generate(prompts, PAUSED)
    ]


@pytest.mark.parametrize("path", [Fast, General])
def test_a_cache_grows_with_the_sequences(tiny_model, tiny_tokenizer, prompts, path, monkeypatch):
    """It once had room for the whole window in every row, before the first token."""
    expected = decoder_of(tiny_model, tiny_tokenizer).generate(prompts, PAUSED)
    monkeypatch.setattr("s1lib.decoding.engine.FIRST", 8)
    monkeypatch.setattr("s1lib.decoding.engine.BLOCK", 8)
    if path is General:
        monkeypatch.setattr("s1lib.decoding.paths.agrees", lambda n, _: type(n) is General)
    small = decoder_of(tiny_model, tiny_tokenizer, window=500)
    assert type(small.network) is path
    assert [one.ids for one in small.generate(prompts, PAUSED)] == [one.ids for one in expected]
    assert small.network.columns < 200
