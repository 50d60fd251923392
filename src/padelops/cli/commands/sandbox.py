"""Run the sandbox payment gateway, make it fail on demand, and see what it really charged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.output import say, show

if TYPE_CHECKING:
    from padelops.adapters.sandbox_faults import SandboxFaults
    from padelops.cli.tables import Piece, Table

app = typer.Typer(help="The sandbox gateway: test cards, honest keys, faults on demand.")

OPERATIONS = "authorize, capture, void, refund, find, probe or any"
KINDS = (
    "latency_ms, timeout_before_work, timeout_after_work, error_500, error_500_after_work,"
    " reset (after the work), reset_before_work or outage"
)
BUDGET_MS = 5000


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Where to listen; it checks nobody.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
) -> None:
    """Serve the sandbox over HTTP until stopped; prints its address for PADELOPS_SANDBOX_URL."""
    from padelops.adapters.sandbox_faults import SandboxFaults
    from padelops.adapters.sandbox_ledger import SandboxLedger
    from padelops.adapters.sandbox_server import SandboxServer
    from padelops.cli.documents import written
    from padelops.cli.output import Terminal
    from padelops.cli.stopping import StopRequested
    from padelops.cli.streams import write_result
    from padelops.errors import ExitCode
    from padelops.wiring import open_database

    with opened() as desk:
        database = open_database(desk.settings, budget_ms=BUDGET_MS)
        try:
            ledger = SandboxLedger(database, desk.now)
            server = SandboxServer(ledger, SandboxFaults(database, desk.now), host=host, port=port)
            # At once and not at the end: whoever started it waits for the address.
            as_json = written({"url": server.url}, encoding="utf-8")
            write_result(as_json if Terminal.of(ctx).json else f"{server.url}\n")
            say(ctx, "The sandbox gateway answers. Stop it with Ctrl-C.")
            server.serve()
        except (StopRequested, KeyboardInterrupt) as exc:
            # How every server ends: no error to tell about, and the one document was written.
            raise typer.Exit(getattr(exc, "exit_code", ExitCode.INTERRUPTED)) from exc
        finally:
            database.close()


@app.command()
def fault(
    ctx: typer.Context,
    operation: Annotated[str, typer.Argument(help=OPERATIONS)],
    kind: Annotated[str, typer.Argument(help=KINDS)],
    times: Annotated[int | None, typer.Option(help="How often (default: until cleared).")] = None,
    ms: Annotated[int | None, typer.Option(help="Milliseconds, for latency_ms.")] = None,
) -> None:
    """Make an operation go wrong, in every process that uses this sandbox."""
    from padelops.adapters.sandbox_faults import FaultKind, Operation, named

    with _faults() as faults:
        made = faults.set(
            named(Operation, operation), named(FaultKind, kind), times=times, latency_ms=ms
        )
    show(ctx, made)


@app.command()
def faults(ctx: typer.Context) -> None:
    """List the faults that were set and not cleared, and how often each happened."""
    with _faults() as known:
        rows = known.all()
    show(ctx, {"faults": [row.as_json() for row in rows]}, _faults_table)


@app.command()
def clear(
    ctx: typer.Context,
    operation: Annotated[str | None, typer.Argument(help=f"{OPERATIONS} (default: all)")] = None,
) -> None:
    """Clear the faults of one operation, or all of them."""
    from padelops.adapters.sandbox_faults import Operation, named

    with _faults() as known:
        cleared = known.clear(None if operation is None else named(Operation, operation))
    show(ctx, {"cleared": cleared})


@app.command()
def payments(ctx: typer.Context) -> None:
    """Show the sandbox's own books: what really happened on each card."""
    from padelops.adapters.sandbox_ledger import SandboxLedger
    from padelops.adapters.sandbox_wire import payment_json

    with opened() as desk:
        rows = [
            payment_json(payment) | {"card": card}
            for payment, card in SandboxLedger(desk.database, desk.now).payments()
        ]
    show(ctx, {"payments": rows}, _payments_table)


@app.command()
def deliver(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="Where webhooks go.")],
    copies: Annotated[int, typer.Option(help="How often each event is told.")] = 1,
    order: Annotated[str, typer.Option(help="forward, backward or shuffled")] = "forward",
    at_once: Annotated[int, typer.Option(help="How many tellings go in parallel.")] = 1,
    again: Annotated[bool, typer.Option(help="Also what was told before.")] = False,
    seed: Annotated[int, typer.Option(help="Makes a shuffled order repeatable.")] = 0,
) -> None:
    """Send the sandbox's signed webhooks, as often and in as bad an order as you like."""
    from padelops.adapters.sandbox_faults import named
    from padelops.adapters.sandbox_webhooks import Manner, Order, SandboxWebhooks

    manner = Manner(
        copies=copies, order=named(Order, order), at_once=at_once, again=again, seed=seed
    )
    with opened() as desk:
        secret = desk.settings.sandbox_webhook_secret
        webhooks = SandboxWebhooks(desk.bulk, secret, clock=desk.now)
        told = webhooks.deliver(url, manner, timeout_s=desk.settings.gateway_timeout_s)
    show(ctx, {"deliveries": [delivery.as_json() for delivery in told]}, _deliveries_table)
    raise typer.Exit(0 if all(delivery.accepted for delivery in told) else 1)


@contextmanager
def _faults() -> Iterator[SandboxFaults]:
    from padelops.adapters.sandbox_faults import SandboxFaults

    with opened() as desk:
        yield SandboxFaults(desk.database, desk.now)


def _faults_table(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    return Table(
        ["fault", "operation", "kind", "ms", "left", "happened"],
        [
            [
                row["id"],
                row["operation"],
                row["kind"],
                row["latency_ms"],
                "until cleared" if row["remaining"] is None else row["remaining"],
                row["fired"],
            ]
            for row in document["faults"]
        ],
        nothing="Nothing is set to go wrong.",
    )


def _payments_table(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    names = (
        "gateway_ref", "reference", "status", "amount", "captured", "refunded", "currency", "card",
        "decline_code",
    )  # fmt: skip
    return Table(
        [name.replace("_", " ") for name in names],
        [[row[name] for name in names] for row in document["payments"]],
        nothing="Nothing was ever charged.",
    )


def _deliveries_table(document: Mapping[str, Any]) -> Iterator[Piece]:
    from padelops.cli.tables import Table

    yield Table(
        ["event", "kind", "reference", "answer"],
        [
            [row["event_id"], row["kind"], row["reference"], row["status"] or row["problem"]]
            for row in document["deliveries"]
        ],
        nothing="There is nothing to tell.",
    )
