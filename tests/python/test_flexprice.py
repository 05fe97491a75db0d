"""The published `flexprice` client, unchanged but for base URL and key."""

from decimal import Decimal


def make_wallet(flexprice, external_id, credits="10"):
    flexprice.customers.create_customer(external_id=external_id, name="Ada")
    return flexprice.wallets.create_wallet(
        external_customer_id=external_id, currency="usd", initial_credits_to_load=credits
    )


def test_a_customer_can_be_found_by_the_callers_own_id(flexprice, external_id):
    made = flexprice.customers.create_customer(external_id=external_id, name="Ada")
    found = flexprice.customers.get_customer_by_external_id(external_id=external_id)
    assert found.id == made.id
    assert found.name == "Ada"


def test_a_top_up_adds_to_the_balance_to_the_last_place(flexprice, external_id):
    wallet = make_wallet(flexprice, external_id)
    flexprice.wallets.top_up_wallet(
        id=wallet.id,
        credits_to_add="0.000000001",
        transaction_reason="FREE_CREDIT_GRANT",
        idempotency_key=external_id,
    )
    balance = flexprice.wallets.get_wallet_balance(id=wallet.id)
    assert Decimal(balance.credit_balance) == Decimal("10.000000001")


def test_a_repeated_top_up_counts_once(flexprice, external_id):
    wallet = make_wallet(flexprice, external_id)
    for _ in range(3):
        flexprice.wallets.top_up_wallet(
            id=wallet.id,
            credits_to_add="5",
            transaction_reason="FREE_CREDIT_GRANT",
            idempotency_key=external_id,
        )
    balance = flexprice.wallets.get_wallet_balance(id=wallet.id)
    assert Decimal(balance.credit_balance) == 15
    page = flexprice.wallets.get_wallet_transactions(id_path_parameter=wallet.id)
    assert len(page.items) == 2
