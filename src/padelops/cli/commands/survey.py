"""Record how a player liked it, from 1 to 5: the user satisfaction score."""

from __future__ import annotations

from typing import Annotated

import typer

from padelops.cli.desk import opened
from padelops.cli.output import show

app = typer.Typer()


@app.command()
def survey(
    ctx: typer.Context,
    reservation_id: Annotated[int, typer.Argument(help="The reservation that was asked about.")],
    score: Annotated[int, typer.Argument(help="From 1, bad, to 5, good.")],
) -> None:
    """
    Record what a player answered; answering again replaces it.

    `padelops metrics` shows the average of 30 days as padel_survey_score.
    """
    with opened() as desk:
        desk.survey(reservation_id, score)
    show(
        ctx,
        {"reservation": reservation_id, "score": score},
        lambda _: f"Reservation {reservation_id}: {score} of 5.",
    )
