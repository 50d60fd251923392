"""The post-mortem of an incident in Markdown: what is known by itself; the rest is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.ops.incident_messages import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from padelops.ops.incidents import Story

PER_MINUTE = "| {at:%H:%M} | {operation} | {calls} | {failed} | {mean} |"


def post_mortem(
    story: Story, metrics: Iterable[tuple[datetime, str, int, int, float | None]]
) -> str:
    """
    Args:
        metrics: around the time, as `(minute, operation, calls, failed, mean milliseconds)`.
    """
    row = story.incident
    end = row.resolved_at
    facts = [
        ("Level", str(row.level)),
        ("Status", row.status.capitalize()),
        ("Impact", row.impact),
        ("Opened", f"{row.opened_at:%Y-%m-%d %H:%M:%S} UTC"),
        (
            "Acknowledged",
            f"{row.acknowledged_at:%Y-%m-%d %H:%M:%S} UTC by {row.acknowledged_by}"
            if row.acknowledged_at
            else "never",
        ),
        ("Resolved", f"{end:%Y-%m-%d %H:%M:%S} UTC" if end else "not yet"),
        ("Took", f"{(end - row.opened_at).total_seconds() / 60:.1f} minutes" if end else "-"),
    ]
    lines = [f"# {name_of(row.id)}: {_safe(row.title)}", ""]
    lines += [f"- **{name}**: {_safe(value)}" for name, value in facts]
    lines += ["", "## Timeline", "", "| UTC | kind | by | what |", "|---|---|---|---|"]
    lines += [
        f"| {event.at:%Y-%m-%d %H:%M:%S} | {event.kind} | {_safe(event.actor)}"
        f" | {_safe(event.told)} |"
        for event in story.events
    ]
    lines += ["", "## Pages", "", "| to | about | state | reached | tries | problem |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {page.role} | {page.action} | {page.state} | {_safe(', '.join(page.sent)) or 'nobody'}"
        f" | {page.attempts} | {_safe(page.problem or '')} |"
        for page in story.pages
    ]
    lines += ["", "## Metrics around the time", ""]
    rows = [
        PER_MINUTE.format(
            at=at, operation=operation, calls=calls, failed=failed,
            mean="-" if mean is None else f"{mean:.0f} ms",
        )
        for at, operation, calls, failed, mean in metrics
    ]  # fmt: skip
    if rows:
        lines += ["| UTC | operation | calls | failed | average |", "|---|---|---|---|---|", *rows]
    else:
        lines += ["No operation was counted then."]
    for question in ("What happened", "Why", "What went well", "What will be changed"):
        lines += ["", f"## {question}", "", "_To be written._"]
    return "\n".join(lines) + "\n"


def _safe(text: str) -> str:
    """In one cell of a table, and no markup of its own."""
    text = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(text.replace("`", "'").split())
