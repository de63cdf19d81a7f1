"""When a chapter has to run again: exactly when the content of something it is made from changed.

Modification times play no part. What a chapter was made from is kept, as a name and a digest for
each ingredient, in `<run>/.state/NN.json`; a chapter that did not finish has no such record.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from s1lib.artifacts import RunError, digest, fingerprint, read_json, write_json
from s1lib.profile import Profile
from s1lib.run.graph import Chapter
from s1lib.run.notebooks import code_cells
from s1lib.run.settings import used
from s1lib.run.sources import sources, without_magics
from s1lib.show import processor

LOCK = "requirements.lock"


def ingredients(chapter: Chapter, profile: Profile, given: dict[str, Any]) -> dict[str, str]:
    """Name and digest of everything that the results of a chapter follow from."""
    root = chapter.notebook.parents[1]
    cells = code_cells(chapter.notebook)
    files = sources(chapter.notebook, root / "s1lib")
    modules = [path.read_text(encoding="utf-8") for path in files if path.suffix == ".py"]
    settings = used(profile, [*map(without_magics, cells), *modules])
    return {
        "its code": fingerprint(cells),
        **{
            f"parameter {k}": fingerprint(v)
            for k, v in given.items()
            if k not in ("profile", "run")
        },
        **{f"{profile.name}.yaml, {key},": fingerprint(value) for key, value in settings.items()},
        **{path.relative_to(root).as_posix(): digest(path) for path in [*files, root / LOCK]},
        **artifacts(chapter.reads, profile.run),
    }


def artifacts(names: tuple[str, ...], run: Path) -> dict[str, str]:
    """Digests of those artifacts that are there; hidden files in a folder are not part of it."""
    return {name: _contents(run / name) for name in names if (run / name).exists()}


def reason_to_run(chapter: Chapter, profile: Profile, given: dict[str, Any]) -> str | None:
    """Why a chapter must run, in a few words; `None` if it is up to date."""
    before = _read(chapter, profile.run, "ingredients")
    if before is None:
        return "has not been finished"
    for name in (*chapter.writes, f"notebooks/{chapter.notebook.name}"):
        if not (profile.run / name).exists():
            return f"{name} is missing"
    now = ingredients(chapter, profile, given)
    changed = sorted(name for name in before | now if before.get(name) != now.get(name))
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{changed[0]} changed{more}" if changed else None


def begin(chapter: Chapter, profile: Profile, given: dict[str, Any]) -> dict[str, str]:
    """Say that a chapter is under way; returns what `finish` has to know."""
    made_from = ingredients(chapter, profile, given)
    _record(chapter, profile.run).unlink(missing_ok=True)
    return made_from


def finish(chapter: Chapter, run: Path, made_from: dict[str, str]) -> None:
    """Say that a chapter is finished, made from what was there when it began."""
    wrote = artifacts(chapter.writes, run)
    write_json(_record(chapter, run), {"ingredients": made_from, "artifacts": wrote})


def changed_by_hand(chapter: Chapter, run: Path) -> list[str]:
    """Artifacts of a finished chapter that are not as it wrote them."""
    wrote = _read(chapter, run, "artifacts") or {}
    now = artifacts(chapter.writes, run)
    return [name for name in wrote if now.get(name) != wrote[name]]


def settings(made_from: dict[str, str]) -> str:
    """Digest of the parameters and of the profile's settings among a chapter's ingredients."""
    said = {k: v for k, v in made_from.items() if k.startswith("parameter ") or k.endswith(",")}
    return fingerprint(said)


def expected(chapter: Chapter, run: Path, made_from: dict[str, str]) -> tuple[float, bool] | None:
    """Seconds of the last known run with the same settings, and whether it was on such a machine.

    A clone brings the times of the reference run, which are another machine's.
    """
    last = last_run(chapter.number, run)
    if not last or last.get("settings") != settings(made_from):
        return None
    return last["seconds"], last.get("processor") == processor()


def last_run(number: str, run: Path) -> dict[str, Any]:
    """The status of the last run of a chapter that is known of, here or on the reference machine.

    It has seconds and date at least, or is empty: a damaged one is as good as none.
    """
    with contextlib.suppress(RunError, KeyError, TypeError, ValueError):
        status = read_json(run / "status" / f"{number}.json")
        return {**status, "seconds": float(status["seconds"]), "date": str(status["date"])}
    return {}


def _read(chapter: Chapter, run: Path, part: str) -> dict[str, str] | None:
    """Part of the record of a finished chapter; a damaged record is as good as none."""
    with contextlib.suppress(RunError, KeyError, TypeError, ValueError):
        return dict(read_json(_record(chapter, run))[part])
    return None


def _record(chapter: Chapter, run: Path) -> Path:
    return run / ".state" / f"{chapter.number}.json"


def _contents(path: Path) -> str:
    if path.is_file():
        return digest(path)
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    return fingerprint([(p.relative_to(path).as_posix(), digest(p)) for p in files])
