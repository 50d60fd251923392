"""Which gateway charges cards, as the environment says it."""

from __future__ import annotations

import pytest

from padelops.errors import InvalidInput
from padelops.settings import Settings


@pytest.mark.parametrize(
    ("environ", "gateway"),
    [
        ({}, "sandbox"),
        ({"PADELOPS_STRIPE_API_KEY": "sk_test_1"}, "stripe"),
        ({"PADELOPS_STRIPE_API_KEY": ""}, "sandbox"),
        ({"PADELOPS_STRIPE_API_KEY": "sk_test_1", "PADELOPS_GATEWAY": "sandbox"}, "sandbox"),
        ({"PADELOPS_GATEWAY": "stripe"}, "stripe"),
    ],
)
def test_a_key_of_stripe_means_stripe(environ: dict[str, str], gateway: str) -> None:
    """A club that has set the key must not go on "charging" in the sandbox by default."""
    assert gateway == Settings.from_environment(environ).gateway


def test_secrets_never_print() -> None:
    """Neither in the settings' own text nor in their JSON."""
    environ = {"PADELOPS_STRIPE_API_KEY": "sk_hush", "PADELOPS_STRIPE_WEBHOOK_SECRET": "whsec_hush"}
    settings = Settings.from_environment(environ)

    assert "hush" not in f"{settings!r}{settings}{settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PADELOPS_GATEWAY", "paypal"),
        ("PADELOPS_GATEWAY_TIMEOUT_S", "0"),
        ("PADELOPS_GATEWAY_TIMEOUT_S", "3600"),
        ("PADELOPS_GATEWAY_CONNECT_TIMEOUT_S", "soon"),
    ],
)
def test_a_wrong_setting_is_named(variable: str, value: str) -> None:
    """The message names the variable; every wait has an end."""
    with pytest.raises(InvalidInput) as caught:
        Settings.from_environment({variable: value})

    assert caught.value.message.startswith(f"{variable}:")
