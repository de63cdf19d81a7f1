"""Which commit of each hub dataset a run reads: looked up once, and the same from then on.

The paper names no revisions, and datasets change. The first load of a run asks the hub which commit
a name stands for today and writes it to `revisions.json` in the run folder; every later load reads
that commit. Whoever copies the file into another run folder gets the same questions.
"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import OfflineModeIsEnabled

from s1lib.artifacts import RunError, read_json, write_json


def pinned(hub: str, ref: str | None, file: Path, api: HfApi | None = None) -> str | None:
    """The commit (40 hex digits) of dataset `hub` at `ref` (None: its main branch).

    None in offline mode when the file does not know it yet: then the newest copy in the cache is
    read. Raises `RunError` if the file is no table of commits.
    """
    known = read_json(file) if file.is_file() else {}
    if not isinstance(known, dict):
        raise RunError(f"{file} is no table of revisions: delete it, and the newest ones are used")
    name = f"{hub}@{ref or 'main'}"
    if name not in known:
        try:
            known[name] = (api or HfApi()).dataset_info(hub, revision=ref).sha
        except OfflineModeIsEnabled:
            return ref
        write_json(file, dict(sorted(known.items())))
    return known[name]
