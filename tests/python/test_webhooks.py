"""The stock verifiers accept what `farebox serve` sends, and nothing that was changed."""

import json
import secrets

import pytest
import standardwebhooks
import svix
from test_flexprice import make_wallet


@pytest.fixture
def delivery(farebox, flexprice, receiver, external_id):
    """A real change of a wallet, as it reached the receiver: secret, headers, body."""
    answer = farebox.call(
        "POST",
        "/v1/webhooks/endpoints",
        {"url": receiver.url, "types": ["wallet.transaction.created"]},
    )
    assert answer.status_code == 201, answer.text
    endpoint = answer.json()
    wallet = make_wallet(flexprice, external_id, credits="1")
    flexprice.wallets.top_up_wallet(
        id=wallet.id,
        credits_to_add="2",
        transaction_reason="FREE_CREDIT_GRANT",
        idempotency_key=secrets.token_hex(8),
    )
    headers, body = receiver.next()
    yield endpoint["secret"], headers, body
    farebox.call("DELETE", f"/v1/webhooks/endpoints/{endpoint['id']}")


def test_standardwebhooks_verifies_a_delivery(delivery):
    secret, headers, body = delivery
    event = standardwebhooks.Webhook(secret).verify(body, headers)
    assert event["event_type"] == "wallet.transaction.created"
    assert event["id"] == headers["webhook-id"]


def test_svix_verifies_a_delivery(delivery):
    secret, headers, body = delivery
    svix.Webhook(secret).verify(body, headers)
    assert headers["svix-id"] == json.loads(body)["id"]


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp"])
def test_a_changed_header_fails(delivery, header):
    secret, headers, body = delivery
    headers[header] = headers[header][:-1] + ("0" if headers[header][-1] != "0" else "1")
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(body, headers)


def test_a_changed_body_fails(delivery):
    secret, headers, body = delivery
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(body + b" ", headers)
