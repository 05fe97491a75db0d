"""The stock verifiers accept what `farebox serve` sends, and nothing that was changed."""

import base64
import json
import secrets

import pytest
import standardwebhooks
import svix
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
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


@pytest.fixture
def changes(farebox, flexprice, receiver, external_id):
    """Makes one more change of a wallet and returns what the receiver got: headers, body."""
    wallet = make_wallet(flexprice, external_id, credits="1")

    def change():
        flexprice.wallets.top_up_wallet(
            id=wallet.id,
            credits_to_add="2",
            transaction_reason="FREE_CREDIT_GRANT",
            idempotency_key=secrets.token_hex(8),
        )
        return receiver.next()

    return change


@pytest.fixture
def endpoint(farebox, receiver, changes):
    """An endpoint that is made after the wallet, so that it hears of changes alone."""
    answer = farebox.call(
        "POST",
        "/v1/webhooks/endpoints",
        {
            "url": receiver.url,
            "types": ["wallet.transaction.created"],
            "signatures": ["v1", "v1a"],
        },
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    yield made
    farebox.call("DELETE", f"/v1/webhooks/endpoints/{made['id']}")


@pytest.mark.parametrize("library", [standardwebhooks, svix])
def test_both_secrets_verify_during_an_overlap(farebox, endpoint, changes, library):
    path = f"/v1/webhooks/endpoints/{endpoint['id']}"
    rotated = farebox.call("POST", f"{path}/rotate", {"overlap_seconds": 3600}).json()
    live = [rotated["secret"], endpoint["secret"]]
    headers, body = changes()
    for secret in live:
        library.Webhook(secret).verify(body, headers)
    alone = farebox.call("POST", f"{path}/rotate", {"overlap_seconds": 0}).json()
    headers, body = changes()
    library.Webhook(alone["secret"]).verify(body, headers)
    for ended in live:
        with pytest.raises(library.WebhookVerificationError):
            library.Webhook(ended).verify(body, headers)


def test_the_public_key_verifies_what_is_signed_with_the_pair(farebox, endpoint, changes):
    headers, body = changes()
    entries = headers["webhook-signature"].split(" ")
    signature = next(entry[4:] for entry in entries if entry.startswith("v1a,"))
    listed = farebox.call("GET", "/v1/webhooks/keys").json()["data"]
    assert endpoint["public_key"] in [one["public_key"] for one in listed]
    raw = base64.b64decode(endpoint["public_key"].removeprefix("whpk_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(signature), signed)
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(signature), signed + b" ")
