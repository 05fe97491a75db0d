"""Every customer and wallet call of the published `flexprice` client, judged by values.

The client accepts an empty answer everywhere, so each call is followed by assertions on what it
read, never by "it did not raise".
"""

from decimal import Decimal

import pytest
from flexprice import models


def amount(value):
    return Decimal(str(value))


@pytest.fixture
def customer(flexprice, external_id):
    return flexprice.customers.create_customer(
        external_id=external_id,
        name="Ada",
        email="ada@example.com",
        address_country="FR",
        timezone="Europe/Paris",
        metadata={"tier": "gold"},
    )


@pytest.fixture
def wallet(flexprice, customer):
    return flexprice.wallets.create_wallet(
        customer_id=customer.id,
        currency="usd",
        conversion_rate="0.01",
        topup_conversion_rate="0.008",
        initial_credits_to_load="100",
        metadata={"origin": "test"},
        alert_settings={
            "alert_enabled": True,
            "critical": {"threshold": "50", "condition": "below"},
        },
        auto_topup={
            "enabled": False, "threshold": 5, "amount": 10, "invoicing": False,
        },
    )


def test_a_customer_keeps_what_it_was_given(customer, external_id):
    assert customer.id.startswith("cust_")
    assert (customer.external_id, customer.name) == (external_id, "Ada")
    assert (customer.email, customer.address_country) == ("ada@example.com", "FR")
    assert customer.timezone == "Europe/Paris"
    assert customer.metadata == {"tier": "gold"}
    assert customer.status == "published"
    assert customer.tenant_id.startswith("tenant_")
    assert customer.environment_id.startswith("env_")
    assert customer.created_at.tzinfo is not None


def test_a_customer_is_read_changed_searched_and_deleted(flexprice, customer, external_id):
    api = flexprice.customers
    assert api.get_customer(id=customer.id).external_id == external_id
    assert api.get_customer_by_external_id(external_id=external_id).id == customer.id
    changed = api.update_customer(id=customer.id, name="Grace", metadata={"tier": "tin"})
    assert (changed.id, changed.name, changed.metadata) == (customer.id, "Grace", {"tier": "tin"})
    changed = api.update_customer(external_customer_id=external_id, address_city="Paris")
    assert (changed.name, changed.address_city) == ("Grace", "Paris")
    page = api.query_customer(external_id=external_id)
    assert [item.id for item in page.items] == [customer.id]
    assert (page.pagination.total, page.pagination.limit, page.pagination.offset) == (1, 50, 0)
    condition = {
        "field": "name", "operator": "contains", "data_type": "string",
        "value": {"string": "grac"},
    }
    page = api.query_customer(customer_ids=[customer.id], filters=[condition])
    assert [item.name for item in page.items] == ["Grace"]
    assert api.delete_customer(id=customer.id) is None
    with pytest.raises(models.errors.FlexpriceError) as refused:
        api.get_customer(id=customer.id)
    assert refused.value.status_code == 404


def test_a_wallet_keeps_what_it_was_given(wallet, customer):
    assert wallet.id.startswith("wallet_")
    assert wallet.customer_id == customer.id
    assert (wallet.currency, wallet.wallet_type, wallet.wallet_status) == (
        "usd", "PRE_PAID", "active",
    )
    assert wallet.name == "Prepaid Wallet - USD"
    assert amount(wallet.credit_balance) == 100
    assert amount(wallet.balance) == 1
    assert amount(wallet.conversion_rate) == Decimal("0.01")
    assert amount(wallet.topup_conversion_rate) == Decimal("0.008")
    assert wallet.metadata == {"origin": "test"}
    assert wallet.alert_settings.alert_enabled is True
    assert amount(wallet.alert_settings.critical.threshold) == 50
    assert wallet.config.allowed_price_types == ["USAGE"]
    assert amount(wallet.auto_topup.amount) == 10


def test_a_top_up_shows_the_row_and_the_wallet(flexprice, wallet, external_id):
    answer = flexprice.wallets.top_up_wallet(
        id=wallet.id,
        amount="8",
        bonus_credits_to_add="5",
        transaction_reason="PURCHASED_CREDIT_DIRECT",
        idempotency_key=external_id,
        priority=3,
        metadata={"order": "1"},
    )
    row = answer.wallet_transaction
    assert row.id.startswith("wtxn_")
    assert (row.type, row.transaction_status) == ("credit", "completed")
    assert (amount(row.credit_amount), amount(row.amount)) == (1000, 8)
    assert (amount(row.credit_balance_before), amount(row.credit_balance_after)) == (100, 1100)
    assert amount(row.credits_available) == 1000
    assert (row.priority, row.metadata, row.idempotency_key) == (3, {"order": "1"}, external_id)
    assert amount(answer.wallet.credit_balance) == 1105
    balance = flexprice.wallets.get_wallet_balance(
        id=wallet.id, expand="credits_available_breakdown"
    )
    assert amount(balance.real_time_credit_balance) == 1105
    assert amount(balance.real_time_balance) == Decimal("11.05")
    assert amount(balance.credits_available_breakdown.purchased) == 1000
    assert amount(balance.credits_available_breakdown.free) == 105
    assert balance.is_cached_fallback is False
    assert amount(balance.current_period_usage) == amount(balance.unpaid_invoices_amount) == 0


def test_transactions_are_listed_and_searched(flexprice, wallet, customer):
    flexprice.wallets.top_up_wallet(
        id=wallet.id, credits_to_add="7", transaction_reason="PURCHASED_CREDIT_DIRECT"
    )
    page = flexprice.wallets.get_wallet_transactions(id_path_parameter=wallet.id, limit=1)
    assert (page.pagination.total, len(page.items)) == (2, 1)
    assert page.items[0].transaction_reason == "PURCHASED_CREDIT_DIRECT"
    page = flexprice.wallets.query_wallet_transaction(
        expand="customer,wallet,created_by_user",
        transaction_reason="FREE_CREDIT_GRANT",
        order="asc",
        filters=[{
            "field": "created_at", "operator": "gte", "data_type": "date",
            "value": {"date_": wallet.created_at.isoformat()},
        }],
    )
    mine = [item for item in page.items if item.wallet_id == wallet.id]
    assert [amount(item.credit_amount) for item in mine] == [100]
    assert mine[0].customer.id == customer.id
    assert mine[0].wallet.id == wallet.id
    assert mine[0].created_by_user.id == mine[0].created_by


def test_wallets_are_found_changed_and_closed(flexprice, wallet, customer, external_id):
    api = flexprice.wallets
    assert api.get_wallet(id=wallet.id).customer_id == customer.id
    changed = api.update_wallet(
        id=wallet.id, name="Team", description="shared", config={"allowed_price_types": ["ALL"]}
    )
    assert (changed.name, changed.description) == ("Team", "shared")
    assert changed.config.allowed_price_types == ["ALL"]
    assert changed.alert_settings.alert_enabled is True, "what is not named stays"
    page = api.query_wallet(wallet_ids=[wallet.id], status="active")
    assert ([item.id for item in page.items], page.pagination.total) == ([wallet.id], 1)
    named = api.get_customer_wallets(lookup_key=external_id, include_real_time_balance=True)
    assert [item.id for item in named] == [wallet.id]
    assert amount(named[0].real_time_credit_balance) == 100
    assert [item.id for item in api.get_wallets_by_customer_id(id=customer.id)] == [wallet.id]
    closed = api.terminate_wallet(id=wallet.id)
    assert (closed.wallet_status, amount(closed.credit_balance)) == ("closed", 0)
    with pytest.raises(models.errors.FlexpriceError) as refused:
        api.terminate_wallet(id=wallet.id)
    assert refused.value.status_code == 400


def test_an_alert_is_in_the_log(flexprice, wallet):
    settings = {
        "alert_enabled": True, "critical": {"threshold": "500", "condition": "below"},
    }
    changed = flexprice.wallets.update_wallet(id=wallet.id, alert_settings=settings)
    assert changed.alert_state == "in_alarm"
    log = flexprice.alerts.query_alert_log(entity_id=wallet.id, expand="wallet,customer")
    assert log.pagination.total == 2
    kinds = {item.alert_type for item in log.items}
    assert kinds == {"low_credit_balance", "low_ongoing_balance"}
    for item in log.items:
        assert (item.entity_type, item.entity_id) == ("wallet", wallet.id)
        assert item.alert_status == "in_alarm"
        # The client reads this number as a time; 100 is 100 seconds after 1970 to it.
        assert item.alert_info.value_at_time.timestamp() == 100
        assert amount(item.alert_info.alert_settings.critical.threshold) == 500
        assert item.wallet.id == wallet.id
