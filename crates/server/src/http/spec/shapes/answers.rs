//! What calls give, in words. A field without `!` is there in some answers only.

/// The columns of every stored object of the billing API.
macro_rules! stored {
    ($own:literal) => {
        concat!(
            $own,
            " id! tenant_id! environment_id! status! created_at!:time updated_at!:time \
             created_by! updated_by!"
        )
    };
}

/// A row of a paywall's ledger.
macro_rules! ledger_row {
    ($more:literal) => {
        concat!(
            "id! activityId! createdAt!:time externalUserId!:text? walletUserId! \
             paywallId!:text? type! direction! reason!:text? description!:text? status! \
             errorCode!:text? amount!:amount currency! balanceAfter!:amount platformFees!:amount \
             providerCost!:null promptTokens!:null completionTokens!:null totalTokens!:null \
             requestId!:text? idempotencyKey!:text? holdId!:text? refundOf!:text? \
             metadata!:object ",
            $more
        )
    };
}

/// A paywall as its owner sees it.
macro_rules! paywall {
    ($more:literal) => {
        concat!(
            "id! name! mode! currency! decimals!:int timezone! identityScope! overdraft!:amount \
             fees!:Fees payment!:Payment block!:Block metadata!:object version!:int status! \
             createdAt!:time updatedAt!:time archivedAt:time archiveReason secretLastFour! \
             livemode!:flag forwardUser! pricing!:object trial!:object models!:object \
             limits!:object caps!:object settlement!:object templates!:object privacy!:object \
             trialGranted:amount ",
            $more
        )
    };
}

pub const ALL: &[(&str, &str)] = &[
    ("Error", "code! message! http_status_code!:int request_id! param details:object"),
    ("PaywallError", "error!:PaywallErrorBody paywall:object"),
    ("PaywallErrorBody", "message! type! param!:text? code! request_id!"),
    ("MessagesError", "type! error!:MessagesErrorBody request_id!"),
    ("MessagesErrorBody", "type! message!"),
    ("NotReady", "status! failed!:text[]"),
    ("Health", "status! rules:text[]"),
    ("Pagination", "total!:int limit!:int offset!:int"),
    ("PortalSession", "url! token! expires_at!:time"),
    (
        "PortalConfig",
        "overview!:PortalOverview usage!:PortalUsage credits!:PortalCredits \
         invoices!:PortalInvoices allow_edit_details!:flag allow_top_up!:flag \
         allow_webhooks!:flag",
    ),
    ("PortalOverview", "enabled!:flag wallet_balance!:flag subscriptions!:flag usage_graph!:flag"),
    (
        "PortalUsage",
        "enabled!:flag metric_cards!:flag usage_graph!:flag current_usage!:flag \
         usage_breakdown!:flag",
    ),
    ("PortalCredits", "enabled!:flag wallet_balance!:flag wallet_transactions!:flag"),
    ("PortalInvoices", "enabled!:flag"),
    (
        "PortalEndpoint",
        "id! url! description! state! state_reason!:text? types!:text[] channels!:text[] \
         failures_in_a_row!:int last_attempt_at!:time? last_success_at!:time? created_at!:time",
    ),
    (
        "Customer",
        stored!(
            "external_id! name! email! contact! address_line1! address_line2! address_city! \
             address_state! address_postal_code! address_country! timezone! metadata!:map \
             integrations!:object[]"
        ),
    ),
    (
        "Wallet",
        stored!(
            "customer_id! name! description! currency! wallet_type! wallet_status! \
             balance!:amount credit_balance!:amount conversion_rate!:amount \
             topup_conversion_rate!:amount alert_settings!:AlertSettings? alert_state! \
             credit_alert_state! auto_topup!:AutoTopup? config!:WalletConfig \
             credits_available_breakdown:Breakdown held_credit_balance!:amount \
             available_credit_balance!:amount overdraft_limit!:amount paywall_scope!:text? \
             metadata!:map sequence!:int as_of!:time customer:Customer real_time_balance:amount \
             real_time_credit_balance:amount balance_updated_at:time current_period_usage:amount \
             unpaid_invoices_amount:amount is_cached_fallback:flag"
        ),
    ),
    ("WalletConfig", "allowed_price_types!:text[]"),
    ("Breakdown", "free!:amount purchased!:amount"),
    (
        "AlertSettings",
        "alert_enabled!:flag alert_threshold_type! critical:Level warning:Level info:Level \
         recovery_margin:amount",
    ),
    ("Level", "threshold!:amount condition!"),
    (
        "AutoTopup",
        "enabled!:flag threshold!:amount amount!:amount invoicing!:flag collection! \
         max_per_day!:int cooldown:Cooldown max_amount_per_day:amount",
    ),
    (
        "WalletTransaction",
        stored!(
            "wallet_id! customer_id! type! amount!:amount credit_amount!:amount \
             credit_balance_before!:amount credit_balance_after!:amount transaction_status! \
             reference_type!:text? reference_id!:text? description! expiry_date!:time? \
             credits_available!:amount? transaction_reason!:text? priority!:int? \
             parent_transaction_id!:text? currency! conversion_rate!:amount? \
             topup_conversion_rate!:amount? consumption_breakdown!:Consumed[] source_type!:text? \
             source_id!:text? metadata!:map idempotency_key!:text? customer:Customer \
             wallet:Wallet created_by_user:object"
        ),
    ),
    ("Consumed", "credit_transaction_id! credits!:amount"),
    ("ToppedUp", "wallet_transaction!:WalletTransaction wallet!:Wallet"),
    (
        "AlertLog",
        stored!(
            "entity_type! entity_id! parent_entity_type!:null parent_entity_id!:null \
             customer_id! alert_setting_id!:null alert_type! alert_status! previous_status! \
             cause! event_id!:text? alert_info!:AlertInfo wallet:Wallet customer:Customer"
        ),
    ),
    ("AlertInfo", "alert_settings!:object? value_at_time!:amount timestamp!:time"),
    ("AlertSetting", stored!("entity_type! entity_id! config!:AlertSettings")),
    (
        "ApiKey",
        "id! name! type! provider! display_id! roles!:text[] user_id!:text? user_type! \
         environment_id! status! expires_at!:time? last_used_at!:time? created_at!:time \
         updated_at!:time created_by!",
    ),
    ("NewApiKey", "api_key! secret!:ApiKey"),
    (
        "Tenant",
        "id! name! status! billing_details!:object metadata!:map created_at!:time \
         updated_at!:time",
    ),
    ("Environment", "id! tenant_id! name! type! created_at!:time updated_at!:time created_by!"),
    (
        "Setting",
        "key! value!:object is_default!:flag tenant_id! environment_id! status! id \
         created_at:time updated_at:time created_by updated_by",
    ),
    (
        "User",
        "id! type! name! email! roles!:text[] metadata!:map created_at!:time updated_at!:time \
         tenant!:Tenant",
    ),
    ("Role", "id! name! permissions!:object"),
    (
        "Change",
        "id! action! actor!:Labelled entity!:Labelled customer_id!:text? occurred_at!:time \
         request_id!:text? ip!:text? user_agent!:text? source! state!:BeforeAfter",
    ),
    ("Labelled", "id! label! type!"),
    ("BeforeAfter", "before!:any after!:any"),
    ("TestClock", "environment_id! mode! now!:time next_due_at!:time? live!:flag"),
    (
        "Proof",
        "environment_id! balanced!:flag entries!:int events!:int wallets!:int last_position!:int \
         totals!:object findings_total!:int findings!:Finding[]",
    ),
    ("Finding", "rule! id!:text? position!:int? message!"),
    ("Rechecked", "wallet_id! balanced!:flag stopped!:flag rebuilt!:flag finding!:WalletFinding?"),
    ("WalletFinding", "rule! id!:text? message!"),
    ("Paywall", paywall!("")),
    ("NewPaywallShown", paywall!("apiKey!")),
    ("RotatedPaywall", paywall!("apiKey! keyId! previousSecretExpiresAt!:time?")),
    ("Fees", "processingPercent!:amount processingFixed!:amount"),
    ("Payment", "rail! topupUrl"),
    ("Block", "style! limitStyle providerStyle!"),
    (
        "Pricing",
        "mode! markupPercent!:amount requestFee!:amount minimumFee!:amount overrides!:object \
         currencyRate:amount fees!:Fees",
    ),
    (
        "Limits",
        "requestsPerSecond:int requestsPerMinute:int burst:int maxRequests:int \
         maxRequestsPerModel:object concurrency:int maxTokensPerRequest:int minOutputTokens!:int \
         defaultOutputTokens!:int uncappedShare!:amount streamStepTokens!:int onShort! \
         drainSeconds!:int requestSeconds!:int firstByteSeconds!:int idleSeconds!:int caps!:Caps",
    ),
    ("Caps", "userDay:amount userMonth:amount paywallDay:amount paywallMonth:amount"),
    (
        "Templates",
        "authorizationRequired insufficientFunds modelUnavailable limitReached \
         customResponse!:CustomResponse",
    ),
    ("CustomResponse", "url timeoutMs!:int enabled!:flag secret secretSuffix"),
    (
        "Provider",
        "name! kind! baseUrl! keyLastFour headers:map modelMap:map timeouts!:Timeouts \
         createdAt!:time updatedAt!:time",
    ),
    ("Timeouts", "connectMs!:int firstByteSeconds:int idleSeconds:int"),
    (
        "ProxiedRequest",
        "requestId! paywallId! status! endpoint! stream!:flag externalUserId! walletUserId! \
         requestedModel! settlement! currency! model provider startedAt!:time endedAt:time \
         reason limitSource price:object pricing!:object decimals!:int hold:object \
         deferred!:flag deferredAmount:amount usage:object due:object charge:object errorCode \
         httpStatus:int finishReason cut!:flag canceledBy latencyMs:int events!:text[] prompt \
         answer",
    ),
    (
        "Settlement",
        "settlementReference! activityId! walletUserId! amount!:amount settledAt!:time \
         requestCount!:int requestIds!:text[]",
    ),
    (
        "PriceRow",
        "id! model! provider! currency! prices!:object longContext:object serviceTiers:object \
         contextTokens:int maxOutputTokens:int defaultOutputTokens:int maxImageTokens:int \
         maxAudioTokens:int tokenizer effectiveFrom!:time effectiveTo:time source",
    ),
    (
        "Model",
        "id! object! type! name! display_name! description! created!:int created_at!:time \
         owned_by! pricing!:object context_length:int max_output_tokens:int",
    ),
    (
        "PaywallUser",
        "externalId! walletUserId! walletId! state! reason!:text? createdAt!:time \
         balance!:amount balanceFormatted! available!:amount held!:amount currency! \
         decimals!:int totals!:UserTotals",
    ),
    (
        "UserTotals",
        "deposits!:amount topups!:amount trials!:amount charges!:amount refunds!:amount \
         adjustments!:amount",
    ),
    ("PaywallUserState", "externalId! state! reason!:text? createdAt!:time"),
    ("LedgerRow", ledger_row!("")),
    (
        "LedgerEntry",
        ledger_row!(
            "before!:amount from! to! lots!:SpentLot[] events!:EventName[] price!:PriceShown \
             settlementReference!:text? refundedAmount:amount refunds:RefundRow[]"
        ),
    ),
    ("RefundRow", "activityId! requestId!:text? amount!:amount createdAt!:time"),
    (
        "Refunded",
        "success!:flag message! activityId! refundedAmount!:amount remainingRefundable!:amount \
         currency! balance!:amount balanceFormatted!",
    ),
    ("SpentLot", "activityId! type! amount!:amount priority!:int? expiresAt!:time?"),
    ("EventName", "id! type!"),
    (
        "PriceShown",
        "asked!:amount charged!:amount markup!:null tokens!:null rounding! platformFees!:amount \
         revenue!:amount?",
    ),
    (
        "Balance",
        "balance!:amount balanceFormatted! available!:amount held!:amount currency! \
         decimals!:int walletUserId! asOf!:time sequence!:int topupUrl",
    ),
    ("Deposited", "balanceFormatted! balance!:amount activityId! amount!:amount currency!"),
    ("Connection", "connected!:flag connectedUser!:ConnectedUser message!"),
    ("ConnectedUser", "paywallKeyId! userId! externalUserId! createdAt!:time"),
    (
        "Charged",
        "success!:flag message! activityId! status! amount!:amount currency! fees!:ChargeFees \
         balance!:amount balanceFormatted! settlementReference!",
    ),
    ("ChargeFees", "processingFeeAmount!:amount"),
    (
        "Blocked",
        "success!:flag message! errorCode! reason! requiredAmount!:amount available!:amount \
         currency! activityId! actionUrl",
    ),
    (
        "Hold",
        "id! status! amount!:amount capturedAmount!:amount currency! user! walletUserId! \
         expiresAt!:time createdAt!:time activityId!:text? metadata!:object",
    ),
    (
        "Endpoint",
        "id! version!:int url! types!:text[] extensions!:flag channels!:text[] description! \
         metadata!:map state! state_reason!:text? state_changed_at!:time ordering! on_exhausted! \
         retry_schedule!:int[]? timeout_seconds!:int custom_headers!:map \
         bearer_token_suffix!:text? secret_suffix!:text? secrets!:EndpointSecret[] api_version! \
         send_traceparent!:flag payload_mode! signatures!:text[] public_key!:text? \
         max_in_flight!:int max_rps!:int? circuit! next_probe_at!:time? \
         failures_in_a_row!:int first_failure_at!:time? \
         last_attempt_at!:time? last_success_at!:time? created_at!:time updated_at!:time \
         created_by! secret",
    ),
    ("EndpointSecret", "id! kind! created_at!:time expires_at!:time?"),
    ("PublicKey", "id! endpoint_id! kind! public_key! created_at!:time expires_at!:time?"),
    (
        "Subscription",
        "id! paywallId! url! events!:text[] isActive!:flag createdAt!:time updatedAt!:time \
         secretSuffix!:text? description! customHeaders!:map createdBy! \
         consecutiveFailures!:int lastDeliveredAt!:time? payloadFormat! retryMode! \
         maxAttempts!:int? eventNaming! extensions!:flag pausedReason!:text? secret \
         bearerToken:text?",
    ),
    (
        "Delivery",
        "id! event_id! event_type! endpoint_id! receiver! paywall_id!:text? subject!:Subject \
         sequence!:int status! attempts!:int last_attempt_at!:time? last_status_code!:int? \
         last_result!:text? next_attempt_at!:time? waiting_for!:text? blocked_by!:text? \
         replay_id!:text? delivered_at!:time? created_at!:time event:object? \
         attempt_log:Attempt[]",
    ),
    (
        "Replay",
        "id! endpoint_id! from!:time to!:time types!:text[]? subjects!:text[]? event_ids!:text[]? \
         only! max_rps!:int? status! matched!:int? sent!:int delivered!:int failed!:int \
         skipped!:int created_at!:time updated_at!:time finished_at!:time?",
    ),
    ("Subject", "type! id!"),
    (
        "Attempt",
        "number!:int trigger! started_at!:time sent_at!:time duration_ms!:int status_code!:int? \
         result! error!:text? retry_after_seconds!:int? address!:text? reconnected!:flag \
         timing!:Timing response_body! response_body_encoding!",
    ),
    ("Timing", "dns_ms!:int? connect_ms!:int? tls_ms!:int? first_byte_ms!:int?"),
    ("Percentiles", "p50!:int? p95!:int? p99!:int?"),
    ("BlockedOrderKey", "order_key! waiting!:int blocked_by!:text? waiting_for!"),
    (
        "EndpointStats",
        "endpoint_id! window! attempts!:int delivered!:int failed!:object exhausted!:int \
         success_rate!:any duration_ms!:Percentiles commit_to_delivered_ms!:Percentiles \
         pending!:int oldest_pending_at!:time? parked!:int blocked_order_keys!:BlockedOrderKey[] \
         in_flight!:int in_flight_limit!:int in_flight_limit_reason! circuit! next_probe_at!:time?",
    ),
    (
        "WebhookStats",
        "endpoints!:int window! attempts!:int delivered!:int failed!:object exhausted!:int \
         success_rate!:any duration_ms!:Percentiles commit_to_delivered_ms!:Percentiles \
         pending!:int oldest_pending_at!:time? parked!:int blocked_order_keys!:BlockedOrderKey[] \
         in_flight!:int in_flight_limit!:int circuit!:Circuits next_probe_at!:time? \
         worst!:WorstEndpoint[]",
    ),
    ("Circuits", "closed!:int open!:int"),
    (
        "WorstEndpoint",
        "endpoint_id! description! state! attempts!:int failed!:int success_rate!:any \
         pending!:int parked!:int circuit! in_flight!:int",
    ),
    (
        "DeliveryLog",
        "id! subscriptionId! status! attempts!:int createdAt!:time updatedAt!:time \
         lastAttemptAt!:time? nextRetryAt!:time? responseCode!:int? responseLatencyMs!:int? \
         error!:text? event!:object?",
    ),
    ("FeedPage", "data!:FeedEvent[] has_more!:flag next_cursor! head_position!:int"),
    ("PaywallFeedPage", "events!:object[] nextCursor!"),
    (
        "FeedEvent",
        "id! position!:int family! type! subject!:Subject sequence!:int paywall_id!:text? \
         channels!:text[] created_at!:time recorded_at!:time suppressed!:flag \
         request!:EventRequest body!:object",
    ),
    ("EventRequest", "id!:text? idempotency_key!:text?"),
    (
        "EventType",
        "type! family! extension!:flag bulk!:flag description! sample!:object schema:object",
    ),
];
