"""How long chapters took, on what and with what, from `status/NN.json` of a run."""

from __future__ import annotations

from pathlib import Path

from s1lib import tables
from s1lib.artifacts import read_json


def table(run: Path) -> str:
    """`status/NN.json` of every chapter as a Markdown table, with a row for the sum."""
    files = sorted((run / "status").glob("*.json"))
    if not files:
        return "No chapter of this run has reported its status.\n"
    rows, total = [], 0.0
    for file in files:
        status = read_json(file)
        took = status.get("seconds")
        total += took or 0
        device, day = str(status.get("device", "–")), str(status.get("date", "–"))[:10]
        versions = ", ".join(f"{k} {v}" for k, v in status.get("versions", {}).items())
        rows.append((file.stem, duration(took), device, day, versions or "–"))
    rows.append(("**all**", f"**{duration(total)}**", "", "", ""))
    head = ("Chapter", "Time", "Device", "Date", "Versions")
    return tables.markdown(head, rows, right=("Time",))


def about(profile: str, run: Path) -> str:
    """One line under the picture: what was measured, where and how long it took."""
    statuses = [read_json(file) for file in sorted((run / "status").glob("*.json"))]
    total = sum(status.get("seconds") or 0 for status in statuses)
    devices = ", ".join(sorted({str(s["device"]) for s in statuses if s.get("device")}))
    measured = f"Measured with the `{profile}` profile"
    if devices:
        measured += f" on {devices}"
    if total:
        measured += f", all chapters in {duration(total)}"
    return measured + ".\n"


def duration(took: float | None) -> str:
    """Seconds in words."""
    if took is None:
        return "–"
    minutes, rest = divmod(round(took), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
