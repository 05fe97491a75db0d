//! What calls take, in words.

/// What searches of the billing API have in common.
macro_rules! search {
    ($own:literal) => {
        concat!(
            "limit:int offset:int order sort:any status start_time:time end_time:time expand:any \
             filters:Filter[] ",
            $own
        )
    };
}

pub const ALL: &[(&str, &str)] = &[
    ("Search", search!("")),
    ("Filter", "field! operator! data_type value!:any"),
    (
        "CustomerSearch",
        search!("id customer_ids:texts external_id external_ids:texts name email metadata:map"),
    ),
    (
        "PortalInfoPatch",
        "name address_line1 address_line2 address_city address_state address_postal_code \
         address_country",
    ),
    (
        "WalletSearch",
        search!(
            "id wallet_ids:texts customer_id customer_ids:texts external_customer_id \
             external_customer_ids:texts currency wallet_type metadata:map"
        ),
    ),
    (
        "TransactionSearch",
        search!(
            "id transaction_ids:texts wallet_id wallet_ids:texts customer_id customer_ids:texts \
             type transaction_status transaction_reason reference_type reference_id priority:int \
             parent_transaction_id expiry_date_before:time expiry_date_after:time \
             credits_available_gt:decimal metadata:map"
        ),
    ),
    (
        "AlertSearch",
        search!(
            "id alert_ids:texts entity_id entity_ids:texts customer_id customer_ids:texts \
             entity_type alert_type alert_status"
        ),
    ),
    (
        "NewCustomer",
        "external_id! name! email:text? contact:text? address_line1:text? \
         address_line2:text? address_city:text? address_state:text? address_postal_code:text? \
         address_country:text? timezone:text? metadata:map? idempotency_key:text?",
    ),
    (
        "CustomerPatch",
        "external_id:text? name:text? email:text? contact:text? address_line1:text? \
         address_line2:text? address_city:text? address_state:text? address_postal_code:text? \
         address_country:text? timezone:text? metadata:map?",
    ),
    (
        "NewWallet",
        "customer_id:text? external_customer_id:text? currency! name:text? description:text? \
         wallet_type:text? conversion_rate:decimal topup_conversion_rate:decimal \
         initial_credits_to_load:decimal initial_credits_to_load_expiry_date:int? \
         initial_credits_expiry_date_utc:time? alert_settings:AlertSettingsBody? \
         auto_topup:AutoTopupBody? config:WalletConfigBody? overdraft_limit:decimal \
         price_unit:text? metadata:map? idempotency_key:text?",
    ),
    (
        "WalletPatch",
        "name:text? description:text? alert_settings:AlertSettingsBody? auto_topup:AutoTopupBody? \
         config:WalletConfigBody? overdraft_limit:decimal metadata:map?",
    ),
    ("WalletConfigBody", "allowed_price_types:texts"),
    (
        "AlertSettingsBody",
        "alert_enabled:flag alert_threshold_type critical:LevelBody? warning:LevelBody? \
         info:LevelBody? recovery_margin:decimal",
    ),
    ("LevelBody", "threshold!:decimal condition!"),
    (
        "AutoTopupBody",
        "enabled:flag threshold:decimal amount:decimal invoicing:flag cooldown:Cooldown? \
         collection:text? max_per_day:int max_amount_per_day:decimal",
    ),
    ("Cooldown", "value!:int unit"),
    ("Once", "idempotency_key:text?"),
    ("Recheck", "rebuild:flag idempotency_key:text?"),
    ("WalletModification", "modification_type type:any idempotency_key:text?"),
    (
        "TopUp",
        "credits_to_add:decimal amount:decimal transaction_reason! idempotency_key:text? \
         description:text? expiry_date:int? expiry_date_utc:time? priority:int? \
         bonus_credits_to_add:decimal bonus_credits_expiry_date_utc:time? \
         bonus_expiry_date_utc:time? force_sync_invoice:flag checkout:object? metadata:map?",
    ),
    (
        "Debit",
        "credits!:decimal transaction_reason! idempotency_key:text? description:text? \
         metadata:map?",
    ),
    ("NewAlertSetting", "entity_type! entity_id! config!:AlertSettingsBody"),
    (
        "NewApiKeyBody",
        "name! type! roles:text[] expires_at:time? service_account_id:text? environment_id:text?",
    ),
    ("KeyRotation", "overlap_seconds:int"),
    ("TenantPatch", "name:text? billing_details:object? metadata:map?"),
    ("NewEnvironment", "name! type!"),
    ("EnvironmentPatch", "name:text? type:text?"),
    ("SettingBody", "value!:object"),
    ("UserPatch", "name:text? metadata:map?"),
    ("NewUser", "type! name roles!:text[] metadata:map"),
    ("UserName", "name!"),
    ("UserRoles", "roles!:text[]"),
    ("UserSearch", "limit:int? offset:int? status:text? type:text? roles:text[] user_ids:text[]"),
    (
        "ActivitySearch",
        "limit:int? cursor:text? action:text? actor_id:text? entity_type:text? entity_id:text? \
         start_time:time? end_time:time?",
    ),
    ("NewTestClock", "at:time? frozen:flag"),
    ("ClockMove", "to:time? by:text?"),
    (
        "NewPaywall",
        "name! currency! mode:text? decimals:int? timezone:text? identityScope:text? \
         overdraft:decimal fees:FeesBody? payment:PaymentBody? block:BlockBody? metadata:object? \
         forwardUser:text? pricing:object? trial:object? models:object? limits:object? \
         caps:object? settlement:object? templates:object? privacy:object? apiKey:text?",
    ),
    (
        "PaywallPatch",
        "name mode decimals:int currency timezone:text? identityScope:text? overdraft:decimal \
         fees:FeesBody? payment:PaymentBody? block:BlockBody? metadata:object? \
         forwardUser:text? pricing:object? trial:object? models:object? limits:object? \
         caps:object? settlement:object? templates:object? privacy:object?",
    ),
    (
        "PricingBody",
        "mode:text? markupPercent:decimal requestFee:decimal minimumFee:decimal \
         overrides:object? currencyRate:decimal fees:FeesBody?",
    ),
    (
        "LimitsBody",
        "requestsPerSecond:int? requestsPerMinute:int? burst:int? maxRequests:int? \
         maxRequestsPerModel:object? concurrency:int? maxTokensPerRequest:int? \
         minOutputTokens:int? defaultOutputTokens:int? uncappedShare:decimal \
         streamStepTokens:int? onShort:text? drainSeconds:int? requestSeconds:int? \
         firstByteSeconds:int? idleSeconds:int? caps:object?",
    ),
    (
        "TemplatesBody",
        "authorizationRequired:text? insufficientFunds:text? modelUnavailable:text? \
         limitReached:text? customResponse:object?",
    ),
    ("ProviderBody", "kind! baseUrl:text? key:text? headers:map? modelMap:map? timeouts:object?"),
    (
        "NewPrice",
        "model! provider! prices!:object currency:text? longContext:object? \
         serviceTiers:object? effectiveFrom:time? effectiveTo:time? source:text? \
         contextTokens:int? maxOutputTokens:int? defaultOutputTokens:int? maxImageTokens:int? \
         maxAudioTokens:int? tokenizer:text?",
    ),
    ("FeesBody", "processingPercent:decimal processingFixed:decimal"),
    ("PaymentBody", "rail:text? topupUrl:text?"),
    ("BlockBody", "style:text? limitStyle:text? providerStyle:text?"),
    ("Reason", "reason:text?"),
    ("PaywallKeyRotation", "graceSeconds:int? apiKey:text?"),
    ("Movement", "amount!:decimal user:text? metadata:object?"),
    ("Batch", "charges!:BatchCharge[]"),
    ("BatchCharge", "amount!:decimal user:text? metadata:object? idempotency_key:text?"),
    // What else the provider knows is passed on.
    (
        "ChatAsk",
        "model! messages!:any[] user:text? stream:flag? stream_options:any n:int? \
         max_tokens:int? max_completion_tokens:int?",
    ),
    ("CompletionAsk", "model! prompt!:any user:text? stream:flag? max_tokens:int? n:int?"),
    ("EmbeddingAsk", "model! input!:any user:text?"),
    ("MessageAsk", "model! messages!:any[] max_tokens:int metadata:any stream:flag? system:any"),
    ("NewHold", "amount!:decimal user:text? expiresInSeconds:int? metadata:object?"),
    ("Capture", "amount:decimal user:text? metadata:object?"),
    ("Release", "user:text?"),
    (
        "Refund",
        "activityId:text? requestId:text? amount:decimal user:text? reason:text? metadata:object?",
    ),
    (
        "NewEndpoint",
        "url! types!:text[] extensions:flag? description:text? metadata:map? ordering:text? \
         on_exhausted:text? retry_schedule:int[]? timeout_seconds:int? custom_headers:map? \
         bearer_token:text? secret:text? api_version:text? send_traceparent:flag? \
         payload_mode:text? channels:text[]? signatures:text[]? max_in_flight:int? \
         max_rps:int?",
    ),
    (
        "EndpointPatch",
        "url:text? types:text[]? extensions:flag? description:text? metadata:map? ordering:text? \
         on_exhausted:text? retry_schedule:int[]? timeout_seconds:int? custom_headers:map? \
         bearer_token:text? api_version:text? send_traceparent:flag? version:int? \
         payload_mode:text? channels:text[]? signatures:text[]? max_in_flight:int? \
         max_rps:int?",
    ),
    ("SecretRotation", "secret:text? overlap_seconds:int? kind:text?"),
    ("Parked", "parked:text? from:text?"),
    ("Test", "type:text?"),
    (
        "NewSubscription",
        "url! events!:text[] description:text? customHeaders:map? secret:text? bearerToken:text? \
         payloadFormat:text? eventNaming:text? extensions:flag? isActive:flag? retryMode:text? \
         maxAttempts:int?",
    ),
    (
        "SubscriptionPatch",
        "url:text? events:text[]? description:text? customHeaders:map? bearerToken:text? \
         payloadFormat:text? eventNaming:text? extensions:flag? isActive:flag? retryMode:text? \
         maxAttempts:int?",
    ),
    ("SubscriptionSecretRotation", "secret:text? overlapSeconds:int?"),
    (
        "NewReplay",
        "from! to:text? types:text[]? subjects:text[]? event_ids:text[]? only:text? max_rps:int?",
    ),
    ("SubscriptionReplay", "from! to:text? types:text[]?"),
    ("EventIds", "ids!:text[]"),
];
