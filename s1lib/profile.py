"""The one dial of the book: a typed, validated profile loaded from a small YAML file.

A profile says who plays each role (teacher, students, grader, classifier, decoder) and how
large everything is. Notebooks, filters, training script, decoder and figures are the same code
in every profile.
"""

from __future__ import annotations

import argparse
import json
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from s1lib.artifacts import RunError

NAMES = ("smoke", "laptop", "gpu", "paper", "paper-today")
_GRAPH = Path("notebooks") / "chapters.yaml"
_FOLDER = resources.files("s1lib") / "profiles"
_CLIENTS = Path(str(resources.files("s1lib") / "providers" / "clients"))
PROVIDERS = tuple(sorted(file.stem for file in _CLIENTS.glob("[a-z]*.py")))


class Section(BaseModel):
    """A part of a profile: no unknown keys, no silent conversions, no later changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Questions(Section):
    """Chapter 01: where questions come from and how many."""

    origin: Literal["world", "hub", "published"]
    pool: int = Field(ge=60, description="questions asked for, split over sources as in Table 7")
    sources: tuple[str, ...] = Field(default=(), description="names of sources; empty means all")
    benchmarks: tuple[str, ...] = Field(description="names of benchmarks, the hardest first")
    optional: tuple[str, ...] = Field(
        default=(), description="benchmarks that a run does without if they cannot be read"
    )
    problems: int = Field(ge=4, description="problems per benchmark (world only)")
    folder: str = Field(default="", description="local copies `<folder>/<hub id>`; empty: hub")
    ngram: int = Field(default=8, ge=2, description="words per decontamination n-gram")
    whole: bool = Field(default=True, description="compare shorter questions as a whole")
    near_dedup: bool = Field(default=True, description="drop 8-gram overlaps across sources too")
    spared: tuple[str, ...] = Field(default=(), description="sources that are not compared")


class Roles(Section):
    """Who plays what: somebody here, or a provider, which is a module of `s1lib.providers.clients`.

    Nothing outside `s1lib.roles` reaches them.
    """

    teacher: Literal["scripted", "published", *PROVIDERS]  # type: ignore[valid-type]
    grader: Literal["local", *PROVIDERS]  # type: ignore[valid-type]
    classifier: Literal["local", "student", *PROVIDERS]  # type: ignore[valid-type]
    decoder: Literal["torch", "vllm", "server"]


class Limits(Section):
    """Chapters 02 to 04: the most tokens that an answer may have, thinking included."""

    teacher: int = Field(default=65_536, ge=1)
    student: int = Field(default=32_768, ge=1)
    grader: int = Field(default=1_024, ge=1)
    classifier: int = Field(default=512, ge=1)


class Models(Section):
    """Model folders or hub ids; `world:small` and `world:base` are the models we ship."""

    base: str
    students: tuple[str, str]
    teacher: str = "scripted"
    grader: str = "local"
    classifier: str = "local"
    limits: Limits = Limits()


class Calls(Section):
    """Chapter 02-04: calls that cost money."""

    max_dollars: float = Field(default=0.0, ge=0)
    concurrency: int = Field(default=8, ge=1)
    batch_api: bool = False
    again: Literal["", "invalid", "unclaimed"] = Field(default="", description="ask these again")


class Selection(Section):
    """Chapters 03-04: the funnel's thresholds and the two-phase sampling."""

    size: int = Field(ge=10, description="questions in the final set (s1K: 1000)")
    uniform: int = Field(ge=0, description="size up to which domains are drawn uniformly (700)")
    direct_tokens: int = Field(ge=0, description="MATH rows longer than this are taken (5600)")
    mode: Literal["reference", "paper", "published"] = "reference"
    patterns: Literal["default", "reference"] = "default"


class Training(Section):
    """Chapter 05: the recipe. Defaults are the paper's (appendix D)."""

    launcher: str = Field(description="file in s1lib/training/configs, without .yaml")
    processes: int = Field(ge=1, description="processes (GPUs) that must really start")
    epochs: int = Field(default=5, ge=1)
    batch: int = Field(default=16, ge=1, description="sequences per optimizer step, all processes")
    learning_rate: float = Field(default=1e-5, gt=0)
    warmup: float = Field(default=0.05, ge=0, le=1, description="share of all steps")
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.95)
    max_length: int = Field(default=32768, ge=32, description="tokens; nothing may be cut")
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    loss: Literal["sequence", "token"] = "sequence"
    micro_batch: int = Field(default=1, ge=1, description="sequences per row, on average")
    sequence_parallel: int = Field(default=1, ge=1, description="processes that share a row")
    overlong: Literal["error", "cut"] = "error"
    lora: int = Field(default=0, ge=0, description="rank of LoRA's adapters; 0 trains all weights")
    checkpointing: bool = True
    save_every: int = Field(default=100, ge=1, description="steps between checkpoints")
    seeds: int = Field(default=1, ge=1, description="trainings of each model that is compared")
    at_once: int = Field(default=1, ge=1, description="trainings side by side, sharing the cores")


class Evaluation(Section):
    """Chapter 06: benchmarks under budget forcing."""

    budgets: tuple[int, ...] = Field(description="maximum thinking tokens, ascending")
    waits: tuple[int, ...] = Field(description="how many ends of thinking are ignored")
    wait: str = "Wait"
    window: int = Field(ge=64, description="context window in tokens")
    answer_tokens: int = Field(ge=4, description="maximum tokens of the answer phase")
    rows: int = Field(ge=1, description="sequences decoded side by side")
    dtype: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _ascending(self) -> Evaluation:
        if list(self.budgets) != sorted(set(self.budgets)):
            raise ValueError("budgets must ascend without repeats")
        return self


class Methods(Section):
    """Chapters 07-08: the rivals of budget forcing. Bounds are upper bounds of thinking."""

    tokens: tuple[int, ...] = Field(description="bounds that token-conditional prompts name")
    steps: tuple[int, ...] = Field(description="bounds that step-conditional prompts name")
    step_tokens: int = Field(ge=1, description="tokens that a step may have (Control; paper: 100)")
    rejection: tuple[int, ...] = Field(description="bounds of rejection sampling, in tokens")
    samples: int = Field(ge=2, description="samples per problem, shared by rejection and votes")
    temperature: float = Field(default=1.0, gt=0, description="of these samples")


class Search(Section):
    """Chapter 08: votes of the base model, and REBASE with its process reward model."""

    votes: int = Field(ge=2, description="samples of the base model per problem")
    width: int = Field(ge=1, description="traces of a search tree (16)")
    balance: float = Field(default=0.2, gt=0, description="temperature of the shares of the width")
    step: str = Field(default="\n\n", min_length=1, description="what ends a step of a trace")
    temperature: float = Field(default=0.5, gt=0, description="of the search's samples")
    reward: str = Field(default="", description="reward model of the hub; empty: train one")
    questions: int = Field(default=400, ge=8, description="questions to train it on")
    samples: int = Field(default=4, ge=2, description="traces of each of these questions")


class Ablations(Section):
    """Chapter 09: rivals of the selected set, trained like it."""

    examples: tuple[int, ...] = Field(description="sizes of the parts of the set, ascending")
    cut: float = Field(default=0.74, gt=0, lt=1, description="share of traces cut (Table 8)")
    full_epochs: int = Field(default=5, ge=1, description="passes over the whole pool")
    budget: int | None = Field(default=None, ge=1, description="of thinking; none: the window's")


class Profile(Section):
    """One run of the book. `run` is the folder that all artifacts live in."""

    name: str
    seed: int = 0
    run: Path
    questions: Questions
    roles: Roles
    models: Models
    calls: Calls = Calls()
    selection: Selection
    training: Training
    evaluation: Evaluation
    methods: Methods
    search: Search
    ablations: Ablations


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Which profile, and where: the same for all commands that work on a run."""
    parser.add_argument("--profile", default="laptop", help=f"{', '.join(NAMES)} or a .yaml file")
    parser.add_argument("--run", default="", help="run folder (default: results/<profile>)")


def load_profile(name: str, run: str | Path = "", **changes: Any) -> Profile:
    """Read `s1lib/profiles/<name>.yaml` (or a path to such a file).

    A file that says `extends: paper` holds only what is different from that profile.
    `run` defaults to `results/<name>`. `changes` maps a dotted key, written with a double
    underscore, to a value; `None` leaves the profile's: `load_profile("laptop",
    selection__size=500)`. Raises `RunError`, in one sentence, on anything unknown or ill-typed.
    """
    file, data = _read(name)
    data.setdefault("name", file.stem)
    data["run"] = Path(run) if run else _book() / "results" / data["name"]
    for key, value in changes.items():
        if value is not None:
            for part in reversed(key.split("__")):
                value = {part: value}
            data = _over(data, value)
    try:  # as JSON, whose lists may become tuples
        return Profile.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{file.name}: {where}: {first['msg']}") from None


def _read(name: str) -> tuple[Path, dict[str, Any]]:
    """The file of a profile, and what it says together with the profile that it extends."""
    file = Path(name) if name.endswith((".yaml", ".yml")) else Path(str(_FOLDER / f"{name}.yaml"))
    if not file.is_file():
        raise RunError(f"no profile {name!r}: use one of {', '.join(NAMES)} or a path to a .yaml")
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise RunError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise RunError(f"{file} holds a {type(data).__name__}: a profile is `name: value` lines")
    if (base := data.pop("extends", None)) is None:
        return file, data
    if base not in NAMES:
        raise RunError(f"{file.name}: extends is {base!r}: use one of {', '.join(NAMES)}")
    return file, _over(_read(base)[1], data)


def _over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with the changes in it, section by section."""
    common = {key: (base[key], changes[key] or {}) for key in base.keys() & changes.keys()}
    sections = {key for key, sides in common.items() if all(isinstance(s, dict) for s in sides)}
    return {**base, **changes, **{key: _over(*common[key]) for key in sections}}


def _book() -> Path:
    """The folder of the book, also for a notebook whose kernel starts in `notebooks/`."""
    here = Path.cwd()
    is_book = (folder for folder in (here, *here.parents) if (folder / _GRAPH).is_file())
    home = next(is_book, here)
    return Path() if home == here else home
