"""Fine-tuning: trained on what was meant, the recipe's mathematics, and nothing lost."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from s1lib.artifacts import RunError
from s1lib.chat import thinking_text, training_text
from s1lib.profile import Profile, load_profile
from s1lib.training import attention
from s1lib.training.balance import lpt
from s1lib.training.data import (
    IGNORED,
    cuts,
    encode,
    header_ids,
    load_samples,
    mask_html,
    mask_pairs,
)
from s1lib.training.launch import (
    Job,
    _start,
    config_file,
    launch,
    launch_all,
    seeded,
)
from s1lib.training.recipe import deviations, layout
from s1lib.training.sft import _check_disk, train
from s1lib.training.trainer import collate, make_trainer, row_loss

ROOT = Path(__file__).parents[1]
QWEN_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' %}{{- '<|im_start|>system\nYou are Qwen, created by "
    "Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}{%- endif %}"
    "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def trace(rng: random.Random) -> str:
    count = rng.randint(1, 9)
    steps = [f"x={rng.randint(1, 99)}:7*{rng.randint(1, 9)}=35 no." for _ in range(count)]
    return "\n\n".join(steps)


@pytest.fixture(scope="module")
def samples(tiny_tokenizer) -> pd.DataFrame:
    """40 samples of very different length: two full steps of 16 and one of 8."""
    rng = random.Random(0)
    rows = [
        (f"{n:016x}", training_text(tiny_tokenizer, f"Find x, {n}x=3.", trace(rng), str(n)))
        for n in range(40)
    ]
    return pd.DataFrame(rows, columns=["id", "text"])


@pytest.fixture(scope="module")
def data(samples: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "s1K.parquet"
    samples.to_parquet(path)
    return path


def book_for(model: Path, **training: object) -> Profile:
    changes = {"epochs": 2, "micro_batch": 4, "save_every": 2, **training}
    return load_profile(
        "smoke", models__base=str(model), **{f"training__{k}": v for k, v in changes.items()}
    )


@pytest.fixture(scope="module")
def finished(tiny_model_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory):
    """One undisturbed run: its log and its folder."""
    output = tmp_path_factory.mktemp("runs") / "models" / "s1"
    return launch(book_for(tiny_model_path), data, output), output


# The mask


@pytest.mark.parametrize("template", ["own", "Qwen2.5"])
def test_labels_decode_to_exactly_the_trace_and_the_answer(tiny_tokenizer, template):
    tokenizer = tiny_tokenizer
    before = tokenizer.chat_template
    tokenizer.chat_template = before if template == "own" else QWEN_TEMPLATE
    try:
        text = training_text(tokenizer, "What is 7*5?", "x=35 yes.\n\nWait, check.", "35")
        ids, labels = encode(tokenizer, text)
    finally:
        tokenizer.chat_template = before
    trained = [label for label in labels if label != IGNORED]
    expected = thinking_text("x=35 yes.\n\nWait, check.", "35") + "<|im_end|>\n"
    assert tokenizer.decode(trained) == expected
    assert tokenizer.decode(ids) == text
    assert labels[len(ids) - len(trained) :] == trained == ids[-len(trained) :]


def test_every_sample_trains_on_something(data, tiny_tokenizer):
    for labels in load_samples(data, tiny_tokenizer)["labels"]:
        assert any(label != IGNORED for label in labels)


def test_the_pairs_join_to_the_text_and_say_what_is_trained(tiny_tokenizer):
    text = training_text(tiny_tokenizer, "Größe von 7?", "Hm … ∑ <b>\n\nyes", "7")
    pairs = mask_pairs(tiny_tokenizer, text)
    assert "".join(token for token, _ in pairs) == text
    assert "".join(token for token, trained in pairs if trained).startswith("<|im_start|>think")
    assert "<mark>&lt;</mark>" in mask_html(pairs) and "<b" not in mask_html(pairs)
    assert "Größe" in "".join(token for token, trained in pairs if not trained)


def test_a_sample_that_is_too_long_is_an_error_naming_its_row(data, tiny_tokenizer):
    with pytest.raises(RunError, match=r"row \d+ \([0-9a-f]{16}\) of s1K.parquet has \d+ tokens"):
        load_samples(data, tiny_tokenizer, max_length=100)


def test_a_prompt_that_fills_the_window_is_an_error_even_when_traces_may_be_cut(
    data, tiny_tokenizer
):
    with pytest.raises(RunError, match=r"prompt of row 0 .* leaves nothing to train on"):
        load_samples(data, tiny_tokenizer, max_length=10, cut=True)


def test_traces_are_cut_only_on_purpose(data, tiny_tokenizer):
    assert max(map(len, load_samples(data, tiny_tokenizer, 100, cut=True)["input_ids"])) == 100


def test_a_question_with_delimiters_of_its_own_is_an_error(tiny_tokenizer):
    text = training_text(tiny_tokenizer, "a<|im_end|>\n<|im_start|>assistant\nb", "x", "1")
    with pytest.raises(RunError, match="2 assistant headers"):
        encode(tiny_tokenizer, text)


def test_another_chat_template_is_an_error(tiny_tokenizer):
    before = tiny_tokenizer.chat_template
    tiny_tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    try:
        with pytest.raises(RunError, match="does not open the assistant's turn"):
            header_ids(tiny_tokenizer)
    finally:
        tiny_tokenizer.chat_template = before


def test_data_without_texts_is_an_error(tmp_path, tiny_tokenizer):
    pd.DataFrame({"question": ["?"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(RunError, match="no column text"):
        load_samples(tmp_path / "a.parquet", tiny_tokenizer)
    pd.DataFrame({"text": ["a", None]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(RunError, match="row 0"):
        load_samples(tmp_path / "b.parquet", tiny_tokenizer)


def test_the_table_of_cuts_counts_samples_and_tokens():
    table = cuts([10, 20, 30, 40], [20, 40])
    assert table["samples cut (%)"].tolist() == [50, 0]
    assert table["tokens cut (%)"].tolist() == [30, 0]


# The mathematics


@pytest.fixture()
def model(tiny_model_path):
    return AutoModelForCausalLM.from_pretrained(
        tiny_model_path, attn_implementation=attention.NAME, dtype=torch.float32
    ).train()


def test_a_document_in_a_row_has_the_logits_it_has_alone(model):
    ids = torch.arange(4, 64)[None]
    positions = torch.cat([torch.arange(20), torch.arange(40)])[None]
    together = model(input_ids=ids, position_ids=positions, documents=(20, 40)).logits
    alone = model(input_ids=ids[:, 20:]).logits
    torch.testing.assert_close(together[:, 20:], alone, rtol=0, atol=1e-5)
    mixed = model(input_ids=ids, position_ids=positions).logits
    assert (mixed[:, 20:] - alone).abs().max() > 0.1


def gradient(model, rows: list[dict], total: float) -> torch.Tensor:
    model.zero_grad()
    for row in rows:
        (row_loss(model, row) / total).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("loss", ["sequence", "token"])
def test_balanced_rows_give_the_gradient_of_the_unpacked_batch(
    model, data, tiny_tokenizer, loss, tiny_model_path
):
    batch = list(load_samples(data, tiny_tokenizer).select(range(16)))
    rows = [
        collate([batch[i] for i in part], loss)
        for part in lpt([len(sample["labels"]) for sample in batch], 4)
    ]
    ours = gradient(model, rows, sum(float(row["weights"].sum()) for row in rows))

    # The reference: one sequence at a time, transformers' own loss and attention.
    plain = AutoModelForCausalLM.from_pretrained(tiny_model_path, dtype=torch.float32).train()
    trained = [sum(label != IGNORED for label in sample["labels"]) for sample in batch]
    for sample, count in zip(batch, trained, strict=True):
        ids, labels = torch.tensor([sample["input_ids"]]), torch.tensor([sample["labels"]])
        weight = 1 / 16 if loss == "sequence" else count / sum(trained)
        (plain(input_ids=ids, labels=labels).loss * weight).backward()
    theirs = torch.cat([p.grad.flatten() for p in plain.parameters()])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_the_two_losses_differ_in_what_a_long_trace_weighs():
    short = {"id": "a", "input_ids": [1] * 3, "labels": [IGNORED, 1, 1]}
    long = {"id": "b", "input_ids": [1] * 9, "labels": [IGNORED, *[1] * 8]}
    for loss, share in (("sequence", 1 / 2), ("token", 8 / 10)):
        weights = collate([short, long], loss)["weights"][0]
        assert float(weights[3:].sum() / weights.sum()) == pytest.approx(share)


def test_processes_that_share_a_row_hold_it_between_them():
    sample = {"id": "a", "input_ids": [*range(1, 8)], "labels": [IGNORED, *range(2, 8)]}
    slices = [collate([sample], part=part, parts=4) for part in range(4)]
    joined = torch.cat([piece["input_ids"] for piece in slices], dim=1)
    assert joined.tolist() == [[1, 2, 3, 4, 5, 6, 7, 0]]
    assert {piece["documents"] for piece in slices} == {(7, 1)}
    assert float(sum(piece["weights"].sum() for piece in slices)) == pytest.approx(1)


# Runs


def test_a_run_leaves_weights_tokenizer_card_and_log_and_nothing_else(finished, data):
    log, output = finished
    assert log["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert log["loss"].iloc[-1] < log["loss"].iloc[0]
    assert log["learning_rate"].iloc[1] == pytest.approx(1e-3)
    names = {path.name for path in output.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "README.md", "log.parquet"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pth")) for name in names)
    assert {path.name for path in output.parent.iterdir()} == {"s1", "tensorboard"}
    job = json.loads((output / "job.json").read_text())
    assert job["data"] in (output / "README.md").read_text()


def start(book: Profile, data: Path, output: Path, **kwargs) -> subprocess.Popen[str]:
    import yaml

    profile = output.parent.parent / "profile.yaml"
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_text(yaml.safe_dump(book.model_dump(mode="json")))
    line = [sys.executable, "-m", "s1lib.training.sft", "--profile", str(profile)]
    line += ["--data", str(data), "--output", str(output)]
    return subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **kwargs,
    )


def test_adapters_are_merged_when_the_model_is_saved(tiny_model_path, data, tmp_path):
    """Every matrix of the layers has moved by one of rank four; nothing else has."""
    book = book_for(tiny_model_path, lora=4, learning_rate=1e-2, dtype="bfloat16")
    assert "lora: 4 instead of 0 (changes the result)" in deviations(book)
    train(book, data, tmp_path / "s1")
    before, after = (
        load_file(folder / "model.safetensors") for folder in (tiny_model_path, tmp_path / "s1")
    )
    assert before.keys() == after.keys()
    moves = {name: after[name] - before[name].bfloat16().float() for name in after}
    moved = {name: move for name, move in moves.items() if move.abs().max() > 0}
    assert moved.keys() == {name for name in before if name.endswith("proj.weight")}
    for move in moved.values():
        sizes = torch.linalg.svdvals(move)
        assert sizes[4] < 1e-3 * sizes[0]
    log = pd.read_parquet(tmp_path / "s1" / "log.parquet")["loss"]
    assert log.iloc[-1] < log.iloc[0]
    assert not list((tmp_path / "s1").glob("adapter*"))


def test_adapters_are_for_one_process(tiny_model_path):
    with pytest.raises(RunError, match=r"set training\.processes to 1, or training\.lora to 0"):
        layout(book_for(tiny_model_path, lora=4, processes=2), 40)


def test_a_killed_run_goes_on_and_ends_in_the_same_weights(
    finished, tiny_model_path, data, tmp_path
):
    log, undisturbed = finished
    output = tmp_path / "models" / "s1"
    process = start(book_for(tiny_model_path), data, output)
    for line in process.stdout:
        if line.startswith("step 5/"):  # a checkpoint of step 4 is there
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    torn = output.with_name(".s1.training") / "checkpoint-5"
    torn.mkdir()  # as if the kill had come while saving

    again = start(book_for(tiny_model_path), data, output)
    said = again.stdout.read()
    assert again.wait() == 0, said
    assert "resuming from checkpoint-4" in said and "step 4/" not in said
    ours, theirs = (load_file(path / "model.safetensors") for path in (output, undisturbed))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    pd.testing.assert_frame_equal(pd.read_parquet(output / "log.parquet"), log)


def test_two_rows_side_by_side_give_the_weights_of_one_after_the_other(
    tiny_model_path, data, tmp_path, monkeypatch
):
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        output = tmp_path / threads
        log = launch(book_for(tiny_model_path, micro_batch=8), data, output)
        found.append((log, (output / "model.safetensors").read_bytes()))
    (one, alone), (two, beside) = found
    pd.testing.assert_frame_equal(one, two)
    assert alone == beside


def test_a_row_that_fails_beside_another_fails_the_step(tiny_model, data, tiny_tokenizer, tmp_path):
    book = book_for(tmp_path, micro_batch=8)
    samples_ = load_samples(data, tiny_tokenizer)
    folder = tmp_path / "model"
    tiny_model.save_pretrained(folder)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        plan = layout(book, len(samples_))
        trainer = make_trainer(book, plan, samples_, tiny_tokenizer, str(folder), tmp_path / "t")
        next(trainer.model.parameters()).data.fill_(float("nan"))
        with pytest.raises(RunError, match="the loss of step 1 is nan"):
            trainer.train()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_training_ends_with_the_notebook_that_started_it(tiny_model_path, data, tmp_path):
    code = (
        "import sys; from s1lib.profile import load_profile; from s1lib.training import launch\n"
        f"model = {str(tiny_model_path)!r}\n"
        "book = load_profile('smoke', models__base=model, training__epochs=999)\n"
        f"launch.launch(book, {str(data)!r}, {str(tmp_path / 'm')!r})"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    for line in parent.stdout:
        if line.startswith("m: step "):
            break
    children = [pid for pid in _processes() if str(tmp_path / "m") in _line(pid)]
    assert len(children) >= 2  # the accelerate command and the script
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while any(str(tmp_path / "m") in _line(pid) for pid in children):
        assert time.monotonic() < deadline, "the training script outlived its notebook"
        time.sleep(0.2)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@pytest.mark.parametrize("sharing", [1, 2])
def test_two_processes_with_fsdp2_give_the_loss_curve_of_one(
    finished, tiny_model_path, data, tmp_path, sharing
):
    log, undisturbed = finished
    book = book_for(tiny_model_path, launcher="cpu-2", processes=2, sequence_parallel=sharing)
    two = launch(book, data, tmp_path / "s1")
    pd.testing.assert_series_equal(two["loss"], log["loss"], rtol=0, atol=1e-4)
    ours = load_file(tmp_path / "s1" / "model.safetensors")
    theirs = load_file(undisturbed / "model.safetensors")
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) < 1e-4


# Again


def test_a_model_that_is_there_is_not_trained_again(finished, tiny_model_path, data):
    log, output = finished
    before = (output / "model.safetensors").stat().st_mtime_ns
    seen = []
    again = launch(book_for(tiny_model_path), data, output, watch=seen.append)
    pd.testing.assert_frame_equal(again, log)
    pd.testing.assert_frame_equal(seen.pop(), log)
    assert not seen and (output / "model.safetensors").stat().st_mtime_ns == before


# Bad input


@pytest.fixture()
def no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_NUM_NODES", raising=False)


def test_without_slurm_trainings_on_several_machines_are_as_many_commands(
    tiny_model_path, data, tmp_path, no_slurm
):
    """`launch_all` once started the first of them, with an address called None."""
    book = book_for(tiny_model_path, launcher="gpu-2x8", processes=16, sequence_parallel=8, seeds=2)
    with pytest.raises(RunError, match="gpu-2x8 is for several machines") as caught:
        launch_all([*seeded(book, data, tmp_path / "a"), *seeded(book, data, tmp_path / "b")])
    _, *commands = str(caught.value).splitlines()
    assert [line.split("--output ")[1] for line in commands] == [
        str(tmp_path / name) for name in ("a", "a-1", "b", "b-1")
    ]
    start = "sbatch --nodes=2 --gpus-per-node=8 s1lib/training/configs/train.sbatch 2 python "
    assert all(line.startswith(f"{start}--config_file s1lib/training/") for line in commands)
    profile = commands[1].split("--profile ")[1].split()[0]
    assert load_profile(profile).seed == book.seed + 1


def test_heads_that_cannot_be_dealt_out_are_an_error_before_training():
    """Qwen2.5-7B has 28 heads, and eight processes that share a row once failed at step one."""
    attention.check_heads(40, 8, 8)
    attention.check_heads(28, 4, 4)
    with pytest.raises(RunError, match=r"28 attention heads.*8 processes.*one of 1, 2, 4, 28"):
        attention.check_heads(28, 4, 8)


def test_fewer_processes_than_asked_for_is_an_error(tiny_model_path, data, tmp_path):
    with pytest.raises(RunError, match="processes is 2, but 1 started"):
        launch(book_for(tiny_model_path, processes=2), data, tmp_path / "s1")


def test_an_unknown_launcher_is_an_error(tiny_model_path):
    with pytest.raises(RunError, match="use one of cpu, cpu-2, cpu-2x1, gpu-1"):
        config_file(book_for(tiny_model_path, launcher="tpu"))


def test_a_loss_that_is_no_number_stops_and_names_step_and_samples(
    tiny_model, tiny_tokenizer, data, tmp_path
):
    import copy

    broken = copy.deepcopy(tiny_model)
    with torch.no_grad():
        broken.lm_head.weight[7] = float("nan")
    broken.save_pretrained(tmp_path / "broken")
    tiny_tokenizer.save_pretrained(tmp_path / "broken")
    with pytest.raises(RunError, match=r"loss of step 1 is nan \(samples [0-9a-f]{16}"):
        launch(book_for(tmp_path / "broken"), data, tmp_path / "s1")
    assert not (tmp_path / "s1").exists()


def test_a_full_disk_is_one_sentence_and_the_run_can_go_on(tiny_model_path, data, tmp_path):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))  # less than the weights

    output = tmp_path / "models" / "s1"
    process = start(book_for(tiny_model_path), data, output, preexec_fn=limit)
    said = process.stdout.read()
    assert process.wait() == 3, said
    assert "RunError: no room to save" in said
    assert not output.exists()

    again = start(book_for(tiny_model_path), data, output)
    assert again.communicate()[0].count("step ") == 6 and again.returncode == 0


def test_a_disk_too_small_for_the_checkpoints_is_found_before_the_first_step(tmp_path):
    with pytest.raises(RunError, match=r"GB free and training needs 1000000\.0 GB for checkpoints"):
        _check_disk(tmp_path, 1e15)
    _check_disk(tmp_path, 1.0)


# Several models


def test_models_trained_side_by_side_are_those_trained_alone(
    finished, tiny_model_path, data, tmp_path
):
    log, alone = finished
    models = tmp_path / "models"
    book = book_for(tiny_model_path, seeds=2)
    shown: list[pd.DataFrame] = []
    logs = launch_all(seeded(book, data, models / "s1"), at_once=2, watch=shown.append)
    assert list(logs) == ["s1", "s1-1"]
    pd.testing.assert_frame_equal(logs["s1"], log)
    ours, theirs, other = (
        load_file(path / "model.safetensors") for path in (models / "s1", alone, models / "s1-1")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert any(not torch.equal(other[name], theirs[name]) for name in theirs)
    assert shown[-1]["step"].tolist() == shown[-1]["steps"].tolist() == [6, 6]


def test_a_training_that_is_alone_has_all_cores(tiny_model_path, data, tmp_path, monkeypatch):
    """The last of several models to be trained had one core of two."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    given: list[int] = []

    def train(job, threads, stream):
        given.append(threads)
        raise RunError("no")

    monkeypatch.setattr("s1lib.training.launch._train", train)
    for seeds in (1, 2):
        jobs = seeded(book_for(tiny_model_path, seeds=seeds), data, tmp_path / "s1")
        with pytest.raises(RunError, match="no"):
            launch_all(jobs, at_once=2)
    assert given[:2] == [0, 1]  # 0 is no limit


def test_a_process_beside_another_keeps_to_its_threads_whatever_library_counts_them(monkeypatch):
    """Snakemake's MKL_NUM_THREADS=2 gave each of two trainings two threads, on two cores."""
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    say = "import os; print({os.environ[f'{n}_NUM_THREADS'] for n in ('OMP', 'MKL', 'OPENBLAS')})"
    assert _start([sys.executable, "-c", say], 1).communicate()[0] == "{'1'}\n"


def test_a_model_that_is_there_is_trained_again_only_if_it_would_be_another(
    finished, tiny_model_path, data
):
    log, output = finished
    before = (output / "model.safetensors").stat().st_mtime_ns
    logs = launch_all([Job(book_for(tiny_model_path), data, output)])
    pd.testing.assert_frame_equal(logs["s1"], log)
    assert (output / "model.safetensors").stat().st_mtime_ns == before
    more_seeds = book_for(tiny_model_path, seeds=3, at_once=2)
    assert Job(more_seeds, data, output).finished() is not None
    assert Job(book_for(tiny_model_path, epochs=3), data, output).finished() is None
    assert Job(more_seeds.model_copy(update={"seed": 1}), data, output).finished() is None


def test_one_failure_names_its_job_and_ends_the_others(tiny_model_path, data, samples, tmp_path):
    long = tmp_path / "long.parquet"
    samples.assign(text=samples["text"].str.replace("no.", "no. " * 400)).to_parquet(long)
    models = tmp_path / "models"
    jobs = [
        Job(book_for(tiny_model_path), long, models / "broken"),
        Job(book_for(tiny_model_path, epochs=500), data, models / "endless"),
    ]
    with pytest.raises(RunError, match=r"broken: .*tokens"):
        launch_all(jobs, at_once=2)
    assert not (models / "broken").exists() and not (models / "endless").exists()
    assert not [pid for pid in _processes() if str(models) in _line(pid)]


def test_two_jobs_may_not_write_one_model(tiny_model_path, data, tmp_path):
    job = Job(book_for(tiny_model_path), data, tmp_path / "s1")
    with pytest.raises(RunError, match="a name of its own"):
        launch_all([job, job])
