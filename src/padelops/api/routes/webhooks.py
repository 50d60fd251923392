"""What the payment gateway tells us: believed when signed, and then only as "look again"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.api.documents import WebhookOut
from padelops.api.exchange import answer, header
from padelops.api.problems import Forbidden
from padelops.api.routing import route
from padelops.errors import NotPermitted

if TYPE_CHECKING:
    from padelops.api.call import Call
    from padelops.api.exchange import Response

LARGEST_EVENT = 2**20
LONGEST_SIGNATURE = 4096


@route(
    "POST",
    "/webhooks/stripe",
    answers={200: WebhookOut},
    refusals=(403, 504),
    public=True,
    signed=True,
    largest_body=LARGEST_EVENT,
)
def webhook(call: Call) -> Response:
    """
    Take in one event of the gateway; told twice or out of order it does no harm.

    Anything but 200 asks the gateway to tell it again.
    """
    signature = header(call.request, "stripe-signature", longest=LONGEST_SIGNATURE) or ""
    try:
        new = call.desk.receive_webhook(call.request.body, signature)
    except NotPermitted as exc:
        raise Forbidden("The event's signature does not hold.", reason="signature") from exc
    return answer({"new": new})
