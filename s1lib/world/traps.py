"""Which questions of the world mislead whoever does not look twice."""

from __future__ import annotations

import json
from typing import Literal

from s1lib.world.families import rebuild

Kind = Literal["nothing to forget", "condition, no trap", "trap"]


def kind(metadata: str) -> Kind:
    """Whether a question has a condition to forget, and whether forgetting it misleads.

    `metadata` is the JSON text of a world question's row. A *trap* has a candidate before the
    right one that looks right until the whole condition is checked.
    """
    known = json.loads(metadata)
    steps = rebuild(known["family"], known["params"]).steps
    if not any(step.side for step in steps):
        return "nothing to forget"
    trap = any(step.hit and not step.right for step in steps)
    return "trap" if trap else "condition, no trap"
