"""
List slots.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

from padelops.cli.output import say, show
from padelops.cli.tables import Table

app = typer.Typer()

SLOTS: list[dict[str, Any]] = [
    {
        "id": 9007199254740993,
        "court": "pádel-centro/2",
        "start": datetime(2026, 12, 5, 18, tzinfo=UTC),
        "total": Decimal("36.00"),
        "player": "Ana María Ruiz de la Torre y Fernández",
        "status": "confirmed",
        "key": "6f1c1c3e-8a53-4b5f-9e51-2b7d5b6f0a11",
    },
    {
        "id": 2,
        "court": "centro/2",
        "start": datetime(2026, 12, 5, 19, 30, tzinfo=UTC),
        "total": Decimal("7.50"),
        "player": None,
        "status": "pending",
        "key": "k-2",
    },
]


@app.command()
def list_slots(
    ctx: typer.Context,
    columns: Annotated[str, typer.Option(help="Which columns.")] = ",".join(SLOTS[0]),
    minutes: Annotated[int, typer.Option(help="How long.")] = 90,
) -> None:
    """List slots, in a table."""
    say(ctx, "looking")
    names = columns.split(",")
    show(
        ctx,
        {"slots": SLOTS, "currency": "EUR", "minutes": minutes},
        lambda found: Table(names, [[slot[name] for name in names] for slot in found["slots"]]),
    )
