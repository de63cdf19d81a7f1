"""`python -m s1lib check`: what a run of a profile will need, and whether it is there.

Every line is one thing, the chapters that need it, and what to do where it is missing. Hired
models are asked for one word, and so is everything else that can answer: provider, hub, server,
queue. The same lines stop a paid chapter before its first call (`ready`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import psutil
from packaging.version import Version

from s1lib import roles
from s1lib.artifacts import RunError, read_json, read_table
from s1lib.profile import Profile, add_profile, load_profile
from s1lib.questions.collection import datasets
from s1lib.training import slurm
from s1lib.training.fit import GIB, Shape, disk, needed, read_shape
from s1lib.training.launch import machines
from s1lib.training.recipe import trained

PAID = {"02": "teacher", "03": "grader", "04": "classifier"}
TRAINING = ("05", "07", "09")
LATER = ("06", "07", "08", "09")
OLDEST = "0.10.2"  # vLLM that returns token ids
_SHARE = 0.95  # of a GPU's memory; the rest is the framework's
add_arguments = add_profile


@dataclass(frozen=True)
class Line:
    """One thing that a run uses: the chapters that cannot do without, and what is missing."""

    chapters: tuple[str, ...]
    what: str
    problem: str = ""

    def __str__(self) -> str:
        state, why = ("missing", f": {self.problem}") if self.problem else ("ok", "")
        return f"{state:<7}  {' '.join(self.chapters):<23}  {self.what}{why}"


def lines(book: Profile) -> Iterator[Line]:
    """All lines of a profile, in the order of the chapters."""
    yield from _data(book)
    yield from _models(book)
    yield from _hired(book, _pool(book))
    yield from _decoding(book)
    yield from _training(book)


def ready(book: Profile, chapter: str, rows: pd.DataFrame) -> None:
    """Raise `RunError`, with what is missing, before a chapter pays for answers about `rows`.

    A chapter that has nobody to pay, or nothing left to ask, begins in any case.
    """
    if not roles.estimate(book, PAID[chapter], rows).calls:
        return
    looked = (*_hired(book, rows, chapter), *_models(book), *_decoding(book))
    missing = [line for line in looked if line.problem and chapter in line.chapters]
    if missing:
        said = "; ".join(f"{line.what}: {line.problem}" for line in missing)
        raise RunError(f"chapter {chapter} does not begin to pay: {said}")


def _pool(book: Profile) -> pd.DataFrame:
    """The questions to price: the run's, or stand-ins while there are none."""
    file = book.run / "questions.parquet"
    return read_table(file) if file.is_file() else roles.stand_ins(book.questions.pool)


def _hired(book: Profile, rows: pd.DataFrame, only: str = "") -> Iterator[Line]:
    """Price of each paid chapter, all under one cap, and whether its model answers."""
    before = 0.0
    for chapter, role in PAID.items():
        if only not in ("", chapter):
            continue
        try:
            price = roles.estimate(book, role, rows)
        except RunError as error:  # a model that the list of prices does not have
            yield Line((chapter,), f"price of the {role}", str(error))
            continue
        if not price.calls:
            yield Line((chapter,), f"{role} {getattr(book.roles, role)}: {price}")
            continue
        problem = ""
        try:
            replace(price, spent=price.spent + before).afford()
        except RunError as error:
            problem = str(error)
        before += price.dollars
        yield Line((chapter,), f"{role}: {price}", problem)
        who = f"{getattr(book.models, role)} ({role} {getattr(book.roles, role)})"
        yield Line((chapter,), f"an answer of {who}", roles.trial(book, role))


def _data(book: Profile) -> Iterator[Line]:
    """Data sets of the hub, or their copies."""
    wanted = datasets(book)
    there = []
    for hub, must in wanted.items():
        try:
            problem = _away(hub, "dataset", book.questions.folder)
        except ConnectionError as error:
            yield Line(("01",), f"{len(wanted)} data sets of the hub", str(error))
            return
        if problem:
            yield Line(("01",) if must else (), f"data set {hub}", problem)
        else:
            there.append(hub)
    if wanted:
        yield Line(("01",), f"{len(there)} of {len(wanted)} data sets of the hub")


def _models(book: Profile) -> Iterator[Line]:
    """Models of the hub."""
    wanted = _played(book)
    wanted |= {book.search.reward: ("08",), book.models.base: ("02", "03", "04", "05", *LATER)}
    for name, chapters in wanted.items():
        if not name or name.startswith("world:") or Path(name).is_dir():
            continue
        try:
            problem = _away(name, "model")
        except ConnectionError as error:
            problem = str(error)
        yield Line(chapters, f"model {name}", problem)


def _played(book: Profile) -> dict[str, tuple[str, ...]]:
    """Models that play students, or the classifier, and the chapters in which they do."""
    played: dict[str, tuple[str, ...]] = dict.fromkeys(book.models.students, ("02",))
    if book.roles.classifier == "student":
        name = book.models.classifier
        played[name] = (*played.get(name, ()), "04")
    return played


def _away(name: str, kind: str, folder: str = "") -> str:
    """Why a repository of the hub cannot be read, or nothing. `ConnectionError`: no hub.

    A model that is in the cache here needs neither access nor a hub.
    """
    if folder:
        copy = Path(folder) / name
        return "" if copy.is_dir() else f"{copy} is not there: copy it, or leave questions.folder"
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if kind == "model" and _downloaded(name):
        return ""
    page = f"https://huggingface.co/{'datasets/' * (kind == 'dataset')}{name}"
    try:
        HfApi(os.environ.get("HF_ENDPOINT")).auth_check(name, repo_type=kind)
    except GatedRepoError:
        return f"it is gated: accept its terms at {page}, then hf auth login"
    except RepositoryNotFoundError:
        return f"the hub does not know it: look for it at {page}"
    except Exception as error:
        raise ConnectionError(
            f"the hub does not answer ({type(error).__name__}): mend the network, or copy it and "
            f"name the copy in {'questions.folder' if kind == 'dataset' else 'the profile'}"
        ) from None
    return ""


def _downloaded(model: str) -> bool:
    """Whether all weights of a model are in the hub's cache here."""
    from huggingface_hub import try_to_load_from_cache as known

    index = known(model, "model.safetensors.index.json")
    split = read_json(index)["weight_map"].values() if isinstance(index, str) else ()
    return all(isinstance(known(model, name), str) for name in {*split} or {"model.safetensors"})


def _decoding(book: Profile) -> Iterator[Line]:
    """vLLM and its GPU, or the servers of the models that are there already."""
    if book.roles.decoder == "vllm":
        chapters = (*sorted({n for some in _played(book).values() for n in some}), "05", *LATER)
        build = ""
        problem = f"it is not installed: pip install 's1lib[cluster]' ({OLDEST} or later)"
        with suppress(metadata.PackageNotFoundError):
            build = metadata.version("vllm")
            problem = _too_old(build)
        yield Line(chapters, "vLLM", problem)
        if not build.endswith("+cpu"):
            problem = "" if _gpus() else "no GPU is seen here: go where there is one"
            yield Line(chapters, "a GPU for vLLM", problem)
    if book.roles.decoder != "server":
        return
    s1 = book.run / "models" / "s1"
    wanted = _played(book)
    wanted[book.models.base] = (*wanted.get(book.models.base, ()), *LATER)
    wanted |= {s1.as_posix(): LATER} if s1.is_dir() else {}  # else it is still to be trained
    found: dict[str, str] = {}
    said, ports = [], _ports()
    from s1lib.decoding.server import addresses, served, shown, version

    for url in addresses():
        try:
            names = served(url)
        except RunError as error:
            said.append(str(error))
            continue
        known = version(url)
        found |= dict.fromkeys(names, _too_old(known) if known else "")
        said.append(f"{shown(url)} serves {', '.join(names)}")
    for name, chapters in wanted.items():
        start = f"python -m s1lib serve --model {name} --port {next(ports)}"
        problem = f"{'; '.join(said)}: start {start}, and add its address to S1_SERVER"
        yield Line(chapters, f"a server of {name}", found.get(name, problem))


def _too_old(version: str) -> str:
    old = Version(version) < Version(OLDEST)
    return f"{version} returns no token ids: install {OLDEST} or later" if old else ""


def _training(book: Profile) -> Iterator[Line]:
    """Processes, memory by count, and disk."""
    recipe = book.training
    nodes, gpus = machines(book), recipe.launcher.startswith("gpu")
    what = f"{recipe.processes} x {'GPU' if gpus else 'CPU process'}"
    if nodes > 1:
        known = max(slurm.held(), slurm.size())
        problem = f"Slurm has {known} nodes here: run this where it has {nodes} of them"
        problem = "" if known >= nodes else problem
        yield Line(TRAINING, f"{what} on {nodes} nodes, from Slurm", problem)
    elif gpus:
        seen = len(_gpus())
        problem = f"{seen} seen here: go where they are, or take another training.launcher"
        yield Line(TRAINING, what, "" if seen >= recipe.processes else problem)
    if recipe.lora:
        problem = "" if find_spec("peft") else "it is not installed: pip install 's1lib[cluster]'"
        yield Line(TRAINING, "peft, for adapters", problem)
    try:
        shape = read_shape(book.models.base)
    except RunError as error:
        yield Line(TRAINING, "memory and disk of training", str(error))
        return
    yield _memory(book, shape, nodes, gpus)
    yield _disk(book, shape)


def _memory(book: Profile, shape: Shape, nodes: int, gpus: bool) -> Line:
    processes = book.training.processes
    needs, less = needed(book, shape, gpus).total, "fewer processes"
    what = f"{needs / GIB:,.1f} GiB of memory for each process, by count"
    if nodes > 1:
        return Line(TRAINING, f"{what} (the nodes' own cannot be seen from here)")
    if gpus:
        free, less = _SHARE * min(_gpus(), default=0), "more processes"
        if processes == 1:
            lora = book.training.model_copy(update={"lora": 32})
            small = needed(book.model_copy(update={"training": lora}), shape).total
            less = f"training.lora: 32 ({small / GIB:,.1f} GiB)"
    else:
        needs, free = needs * processes, psutil.virtual_memory().available
    problem = f"{free / GIB:,.1f} GiB are here: take a smaller models.base, or {less}"
    return Line(TRAINING, what, problem if needs > free else "")


def _disk(book: Profile, shape: Shape) -> Line:
    left = sum(not (book.run / "models" / name).is_dir() for name in trained(book))
    needs = disk(shape, book.training, left)
    folder = book.run.resolve()
    here = next(one for one in (folder, *folder.parents) if one.is_dir())
    free = shutil.disk_usage(here).free
    problem = f"{free / 1e9:,.0f} GB are free: choose another --run, or delete what is done with"
    what = f"{needs / 1e9:,.1f} GB of disk for {left} models and two checkpoints"
    return Line(TRAINING, what, problem if needs > free else "")


def _gpus() -> list[int]:
    """Bytes of each GPU that this process sees."""
    import torch

    count = torch.cuda.device_count()
    return [torch.cuda.get_device_properties(place).total_memory for place in range(count)]


def _ports() -> Iterator[int]:
    """Ports on which nobody listens here, for servers to come."""
    for port in range(8000, 9000):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)):
                yield port


def main(args: argparse.Namespace) -> int:
    """Print the lines; returns 1 if a chapter cannot start."""
    cannot: set[str] = set()
    for line in lines(load_profile(args.profile, args.run)):
        print(line, flush=True)
        cannot |= set(line.chapters if line.problem else ())
    if cannot:
        print(f"chapters {', '.join(sorted(cannot))} cannot start")
        return 1
    print("every chapter can start")
    return 0
