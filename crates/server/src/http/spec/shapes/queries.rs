//! The parameters that calls read from their query.

/// Of every list of the billing API.
macro_rules! list {
    ($own:literal) => {
        concat!(
            "limit:int offset:int order sort status start_time:time end_time:time expand ",
            $own
        )
    };
}

const FEED: &str = "after cursor limit:int types subject sequence_gt:int sequence_lt:int \
    paywall_id created_gte:time created_gt:time created_lte:time created_lt:time wait:int channel";
const USER: &str = "user";
const PAGE: &str = "limit:int cursor";

pub const ALL: &[(&str, &str)] = &[
    ("listCustomers", list!("id customer_ids external_id external_ids name email")),
    ("updateCustomer", "id external_customer_id"),
    (
        "listWallets",
        list!("id wallet_ids customer_id customer_ids external_customer_id currency wallet_type"),
    ),
    ("getWallet", "expand"),
    ("getWalletBalance", "expand"),
    ("getWalletBalanceCached", "expand"),
    ("getWalletsByCustomerId", "expand"),
    ("getCustomerWallets", "id lookup_key include_real_time_balance:flag expand"),
    (
        "getWalletTransactions",
        list!(
            "id transaction_ids type transaction_status transaction_reason reference_type \
             reference_id priority:int parent_transaction_id expiry_date_before:time \
             expiry_date_after:time credits_available_gt:amount"
        ),
    ),
    (
        "listPortalTransactions",
        list!(
            "id transaction_ids type transaction_status transaction_reason reference_type \
             reference_id priority:int parent_transaction_id expiry_date_before:time \
             expiry_date_after:time credits_available_gt:amount"
        ),
    ),
    (
        "listPortalTransactionsOfAll",
        list!(
            "id transaction_ids type transaction_status transaction_reason reference_type \
             reference_id priority:int parent_transaction_id expiry_date_before:time \
             expiry_date_after:time credits_available_gt:amount"
        ),
    ),
    ("listPortalDeliveries", "limit:int cursor status"),
    ("listApiKeys", "limit:int offset:int status"),
    ("listEnvironments", "limit:int offset:int"),
    ("listPaywalls", PAGE),
    ("listPaywallUsers", PAGE),
    ("listPaywallLedger", "limit:int cursor type user from:time to:time format"),
    ("listPaywallRequests", "limit:int cursor"),
    ("listSettlements", "limit:int cursor"),
    ("listPrices", "limit:int cursor model provider"),
    ("listModels", USER),
    ("getModel", USER),
    ("getBalance", USER),
    ("getTopupLink", USER),
    ("connectUser", USER),
    ("getHold", USER),
    ("listWebhookEndpoints", "limit:int cursor state"),
    ("listWebhookReplays", "limit:int cursor"),
    ("getWebhookEndpointStats", "window"),
    ("getWebhookStats", "window"),
    ("listWebhookSubscriptions", "status"),
    (
        "listWebhookDeliveries",
        "limit:int cursor endpoint_id event_id status type subject paywall_id created_gte:time \
         created_gt:time created_lte:time created_lt:time",
    ),
    ("getWebhookDelivery", "expand"),
    ("listWebhookLogs", "limit:int cursor status eventType subscriptionId"),
    ("listEvents", FEED),
    ("listPaywallEvents", FEED),
    ("streamEvents", FEED),
];
