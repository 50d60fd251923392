"""
The booking of CRITICAL_PATHS.md as a Django shop has it: `select_for_update` on the court, an
overlap check by ORM, `objects.create`, the price as in `calculate_reservation_price_safe`.

It checks no opening hours, keeps no audit trail, no idempotency key and no message, and knows no
tokens: whatever padelops does beyond this, the comparison does not count in padelops' favour.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import django
from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="a benchmark has none",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    INSTALLED_APPS=[],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PEER_DATABASE"],
            "USER": os.environ["PEER_USER"],
            "HOST": os.environ["PEER_HOST"],
            "PORT": os.environ.get("PEER_PORT", ""),
            "PASSWORD": os.environ.get("PEER_PASSWORD", ""),
            # Kept for ever as a tuned shop would, or Django's default: one for each request.
            "CONN_MAX_AGE": None if os.environ.get("PEER_KEPT") else 0,
        }
    },
    APPEND_SLASH=False,
)
django.setup()

from django.core.exceptions import ValidationError  # noqa: E402 - Django wants its settings first
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


class Court(models.Model):
    name = models.CharField(max_length=50)
    price_per_hour = models.DecimalField(max_digits=10, decimal_places=2, default=Decimal("24.00"))

    class Meta:
        app_label = "reservations"


class Reservation(models.Model):
    court = models.ForeignKey(Court, on_delete=models.PROTECT)
    status = models.CharField(max_length=20, default="confirmed")
    datetime_start = models.DateTimeField()
    datetime_end = models.DateTimeField()
    player_name = models.CharField(max_length=200)
    player_email = models.EmailField(blank=True)
    total_price = models.DecimalField(max_digits=10, decimal_places=2)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "reservations"
        indexes = [models.Index(fields=["court", "datetime_start"])]  # noqa: RUF012 - Django's way


def prevent_double_booking(court_id: int, start: datetime, end: datetime) -> Court:
    """Source: CRITICAL_PATHS.md, path 1."""
    locked_court = Court.objects.select_for_update().get(id=court_id)
    overlapping = Reservation.objects.filter(
        court=locked_court,
        status__in=["confirmed", "pending"],
        datetime_start__lt=end,
        datetime_end__gt=start,
    ).exists()
    if overlapping:
        raise ValidationError("Court already booked")
    return locked_court


def price(court: Court, start: datetime, end: datetime) -> Decimal:
    """Source: CRITICAL_PATHS.md, path 6."""
    hours = (end - start).total_seconds() / 3600
    multiplier = Decimal("1.2") if 18 <= start.hour < 22 else Decimal(1)
    return court.price_per_hour * Decimal(str(hours)) * multiplier


@csrf_exempt
def book(request: HttpRequest) -> JsonResponse:
    """`create_reservation_atomic` of path 3."""
    wish = json.loads(request.body)
    start, end = (datetime.fromisoformat(wish[name]) for name in ("start", "end"))
    if not start < end:
        return JsonResponse({"error": "The end must come after the start"}, status=400)
    try:
        with transaction.atomic():
            court = prevent_double_booking(wish["court"], start, end)
            made = Reservation.objects.create(
                court=court,
                datetime_start=start,
                datetime_end=end,
                player_name=wish["player"]["name"],
                player_email=wish["player"]["email"],
                total_price=price(court, start, end),
            )
    except ValidationError as exc:
        return JsonResponse({"error": exc.messages[0]}, status=409)
    return JsonResponse(
        {
            "id": made.id,
            "status": made.status,
            "court": court.name,
            "starts_at": start.isoformat(),
            "ends_at": end.isoformat(),
            "total": str(made.total_price),
        },
        status=201,
    )


urlpatterns = [path("reservations", book)]
application = get_wsgi_application()


def prepare(courts: int) -> None:
    """Make the tables, and so many courts with ids from 1."""
    with connection.schema_editor() as editor:
        for model in (Court, Reservation):
            editor.create_model(model)
    Court.objects.bulk_create(Court(name=str(number + 1)) for number in range(courts))


if __name__ == "__main__":
    prepare(int(Path("/dev/stdin").read_text()))
