"""Give people and programs tokens for the HTTP API, list them, and take them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padelops.cli.desk import opened
from padelops.cli.output import say, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padelops.cli.tables import Record, Table
    from padelops.ops.tokens import NewToken

app = typer.Typer(help="Tokens for the HTTP API: stored hashed, shown once.")


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose it is; the audit trail says it.")],
    role: Annotated[
        str,
        typer.Option(help="member: own bookings; staff: those of one club; operator: all."),
    ],
    club: Annotated[
        str | None, typer.Option(help="Staff's club; binds a member to it too.")
    ] = None,
    email: Annotated[
        str | None, typer.Option(help="A member's address: own bookings are those under it.")
    ] = None,
    tier: Annotated[str | None, typer.Option(help="A member's tier, if any.")] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="Bookings a minute (default: member 30, staff 600, operator without limit).",
        ),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Until it expires (default: never).")
    ] = None,
) -> None:
    """Create a token. Its text is shown now and never again."""
    from datetime import timedelta

    from padelops.errors import Usage
    from padelops.ops.tokens import Role

    try:
        wanted = Role(role)
    except ValueError:
        raise Usage(f"A role is one of: {', '.join(Role)}.") from None
    with opened() as desk:
        now = desk.now()
        made = desk.tokens.create(
            name,
            wanted,
            club=club,
            email=email,
            member_tier=tier,
            bookings_per_minute=rate,
            expires_at=None if days is None else now + timedelta(days=days),
            origin=desk.origin,
            now=now,
        )
    show(ctx, made, _created)
    say(ctx, "Keep it now: only its hash is stored. Send it as: Authorization: Bearer TOKEN")


@app.command("list")
def list_tokens(
    ctx: typer.Context,
    revoked: Annotated[
        bool, typer.Option("--revoked", help="Also those that were revoked.")
    ] = False,
) -> None:
    """List tokens, the newest first; never their secrets."""
    with opened() as desk:
        found = desk.tokens.all(revoked=revoked)
    show(ctx, {"tokens": [token.as_json() for token in found]}, _listed)


@app.command()
def revoke(
    ctx: typer.Context,
    handle: Annotated[
        str, typer.Argument(help="What `padelops token list` shows; or the whole token.")
    ],
) -> None:
    """End a token. Servers that have just seen it follow within five seconds."""
    # Whoever found a leaked token has only its text; the secret in it goes nowhere.
    part = handle.split("_")[1] if handle.startswith("padel_") and handle.count("_") > 1 else handle
    with opened() as desk:
        ended = desk.tokens.revoke(part, origin=desk.origin, now=desk.now())
    show(ctx, ended)


def _created(made: NewToken) -> Record:
    from padelops.cli.tables import Record

    facts = made.as_json()
    return Record(
        {
            "token": facts["token"],
            "name": facts["name"],
            "role": facts["role"],
            **{
                name.replace("_", " "): facts[name]
                for name in ("club", "email", "member_tier", "bookings_per_minute", "expires_at")
                if facts[name] is not None
            },
        }
    )


def _listed(document: Mapping[str, Any]) -> Table:
    from padelops.cli.tables import Table

    return Table(
        ["handle", "name", "role", "club", "e-mail", "expires (UTC)", "revoked (UTC)"],
        [
            [
                token["handle"],
                token["name"],
                token["role"],
                token["club"],
                token["email"],
                token["expires_at"] and token["expires_at"][:16].replace("T", " "),
                token["revoked_at"] and token["revoked_at"][:16].replace("T", " "),
            ]
            for token in document["tokens"]
        ],
        nothing="No token yet. Make one: padelops token create NAME --role operator",
    )
