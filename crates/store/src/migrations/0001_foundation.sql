-- Written for SQLite; `sql::schema_for_postgres` says what PostgreSQL reads. Numbers of money are
-- nanos: in SQLite integers where they fit 64 bits, else 16-byte BLOBs that keep the order (NUMERIC
-- changes neither). Times are milliseconds. Ids are 16 bytes.

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Whose turn it was, where writers of many nodes share the database; see `turns`.
CREATE TABLE writer_turn (no BIGINT PRIMARY KEY, turn BIGINT NOT NULL) WITHOUT ROWID;
INSERT INTO writer_turn (no, turn) VALUES (1, 0);
CREATE TABLE turns (turn BIGINT PRIMARY KEY, node BIGINT NOT NULL, told BLOB NOT NULL)
  WITHOUT ROWID;

-- Runs of nodes, and until when each lives unless it says more.
CREATE TABLE nodes (node BIGINT PRIMARY KEY, expires_at BIGINT NOT NULL) WITHOUT ROWID;

CREATE TABLE tenants (
  no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name TEXT NOT NULL, status TEXT NOT NULL,
  body TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);

CREATE TABLE environments (
  no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, tenant INTEGER NOT NULL, name TEXT NOT NULL,
  live INTEGER NOT NULL, clock TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  created_by TEXT NOT NULL);

CREATE TABLE users (
  no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, tenant INTEGER NOT NULL, kind TEXT NOT NULL,
  status TEXT NOT NULL, body TEXT NOT NULL, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL);
CREATE INDEX users_by_tenant ON users (tenant, no);

-- API keys and paywall keys: the hash of the text, never the text.
CREATE TABLE keys (
  no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, env INTEGER NOT NULL, kind TEXT NOT NULL,
  paywall INTEGER, hash BLOB NOT NULL UNIQUE, display TEXT NOT NULL, last_four TEXT NOT NULL,
  name TEXT NOT NULL, grants TEXT NOT NULL, user_id BLOB, user_type TEXT NOT NULL,
  status TEXT NOT NULL, expires_at INTEGER, last_used_at INTEGER,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, created_by TEXT NOT NULL);
CREATE INDEX keys_by_env ON keys (env, kind, no);
CREATE INDEX keys_by_user ON keys (user_id) WHERE user_id IS NOT NULL;

CREATE TABLE settings (
  env INTEGER NOT NULL, name TEXT NOT NULL, id BLOB NOT NULL, body TEXT NOT NULL,
  created_at INTEGER NOT NULL, created_by TEXT NOT NULL, updated_at INTEGER NOT NULL,
  updated_by TEXT NOT NULL, PRIMARY KEY (env, name)) WITHOUT ROWID;

CREATE TABLE audit (
  no INTEGER PRIMARY KEY, env INTEGER NOT NULL, id BLOB NOT NULL, at INTEGER NOT NULL,
  action TEXT NOT NULL, actor TEXT NOT NULL, actor_kind TEXT NOT NULL, source TEXT NOT NULL,
  entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, request BLOB, before TEXT, after TEXT);
CREATE INDEX audit_by_env ON audit (env, no);
CREATE INDEX audit_by_entity ON audit (env, entity_id, no);

CREATE TABLE customers (
  no INTEGER PRIMARY KEY, env INTEGER NOT NULL, id BLOB NOT NULL UNIQUE,
  external_id TEXT NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL, status TEXT NOT NULL,
  version INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE UNIQUE INDEX customers_by_external_id ON customers (env, external_id)
  WHERE status = 'published';
CREATE INDEX customers_by_env ON customers (env, created_at, no);

CREATE TABLE customer_versions (
  customer INTEGER NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (customer, version)) WITHOUT ROWID;

-- The old external ids of a customer, for usage that was stored under them.
CREATE TABLE customer_aliases (
  env INTEGER NOT NULL, external_id TEXT NOT NULL, customer INTEGER NOT NULL,
  PRIMARY KEY (env, external_id)) WITHOUT ROWID;

CREATE TABLE wallets (
  no INTEGER PRIMARY KEY, env INTEGER NOT NULL, id BLOB NOT NULL UNIQUE,
  customer INTEGER NOT NULL, currency TEXT NOT NULL, wallet_type TEXT NOT NULL,
  status TEXT NOT NULL, paywall_scope TEXT NOT NULL, alert_enabled INTEGER NOT NULL,
  version INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE UNIQUE INDEX wallets_one_open ON wallets (env, customer, currency, wallet_type, paywall_scope)
  WHERE status <> 'closed';
CREATE INDEX wallets_by_env ON wallets (env, created_at, no);
CREATE INDEX wallets_by_customer ON wallets (customer, no);
CREATE INDEX wallets_by_paywall ON wallets (env, paywall_scope, no) WHERE paywall_scope <> '';

CREATE TABLE wallet_versions (
  wallet INTEGER NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (wallet, version)) WITHOUT ROWID;

CREATE TABLE balances (
  wallet INTEGER PRIMARY KEY, credits NUMERIC NOT NULL, held NUMERIC NOT NULL,
  sequence INTEGER NOT NULL,
  entries INTEGER NOT NULL, last INTEGER,
  machines INTEGER NOT NULL, percent_base NUMERIC, topups TEXT, stopped INTEGER NOT NULL,
  -- The open lots, packed; NULL when they have spilled into the table below.
  lots BLOB);

-- New states of accounts, a record a batch; rows of `balances` follow. See `account_log`.
CREATE TABLE account_log (record INTEGER PRIMARY KEY, states BLOB NOT NULL);

CREATE INDEX balances_stopped ON balances (wallet) WHERE stopped = 1;

CREATE TABLE lots (
  wallet INTEGER NOT NULL, place INTEGER NOT NULL, reason INTEGER NOT NULL,
  original NUMERIC NOT NULL,
  remaining NUMERIC NOT NULL, held NUMERIC NOT NULL, priority INTEGER, expires_at INTEGER,
  created_at INTEGER NOT NULL, PRIMARY KEY (wallet, place)) WITHOUT ROWID;

CREATE TABLE holds (
  wallet INTEGER NOT NULL, place INTEGER NOT NULL, amount NUMERIC NOT NULL,
  deadline INTEGER NOT NULL,
  created_at INTEGER NOT NULL, taken BLOB NOT NULL, quiet INTEGER NOT NULL,
  PRIMARY KEY (wallet, place)) WITHOUT ROWID;

-- Which entry ended a hold that its user ended; a hold that ran out has none. Both are places.
CREATE TABLE hold_ends (hold INTEGER PRIMARY KEY, entry INTEGER NOT NULL);

-- What went back of a charge, a row for each entry that says so. `total` is the charge's so far, and
-- `request_total` that of the request that the refund was asked for. Charge and entry are places.
CREATE TABLE refunds (
  charge INTEGER NOT NULL, entry INTEGER NOT NULL, request BLOB, credits NUMERIC NOT NULL,
  total NUMERIC NOT NULL,
  request_total NUMERIC NOT NULL, PRIMARY KEY (charge, entry)) WITHOUT ROWID;
CREATE INDEX refunds_by_request ON refunds (charge, request, entry) WHERE request IS NOT NULL;

-- The ledger. Append only; the place is the row's number, so nothing else indexes it.
CREATE TABLE entries (
  place INTEGER PRIMARY KEY, at INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
  wallet INTEGER NOT NULL, wallet_version INTEGER NOT NULL, customer_version INTEGER NOT NULL,
  kind INTEGER NOT NULL, reason INTEGER, activity INTEGER NOT NULL, status INTEGER NOT NULL,
  announce INTEGER NOT NULL, from_account INTEGER NOT NULL, to_account INTEGER NOT NULL,
  credits NUMERIC NOT NULL, amount NUMERIC, fee NUMERIC NOT NULL, before NUMERIC NOT NULL,
  after NUMERIC NOT NULL, standing_credits NUMERIC,
  held NUMERIC NOT NULL, purchased NUMERIC NOT NULL, free NUMERIC NOT NULL, levels INTEGER NOT NULL,
  taken BLOB, sequence INTEGER NOT NULL, paywall_sequence INTEGER NOT NULL,
  actor TEXT NOT NULL, request BLOB, key_route TEXT, key TEXT, key_request BLOB, details TEXT,
  previous INTEGER, hash BLOB NOT NULL);

-- Events that are not the record of an entry.
CREATE TABLE events (
  place INTEGER PRIMARY KEY, at INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
  kind TEXT NOT NULL, subject TEXT NOT NULL, order_key TEXT NOT NULL, sequence INTEGER NOT NULL,
  paywall INTEGER, body BLOB NOT NULL, request BLOB, idempotency_key TEXT,
  suppressed INTEGER NOT NULL,
  -- What it touches, packed; NULL where that is nothing.
  channels BLOB);

CREATE TABLE counters (
  env INTEGER NOT NULL, scope TEXT NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY (env, scope)) WITHOUT ROWID;

CREATE TABLE alert_logs (
  place INTEGER PRIMARY KEY, at INTEGER NOT NULL, wallet INTEGER NOT NULL, alert_type TEXT NOT NULL,
  previous TEXT NOT NULL, level TEXT NOT NULL, value NUMERIC NOT NULL, settings TEXT NOT NULL,
  cause TEXT NOT NULL, event INTEGER);
CREATE INDEX alert_logs_by_wallet ON alert_logs (wallet, place);

CREATE TABLE paywalls (
  no INTEGER PRIMARY KEY, env INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, name TEXT NOT NULL,
  status TEXT NOT NULL, body TEXT NOT NULL, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, created_by TEXT NOT NULL);
CREATE INDEX paywalls_by_env ON paywalls (env, no);

-- What a paywall signs with, beside its subscriptions.
CREATE TABLE paywall_secrets (
  env INTEGER NOT NULL, paywall INTEGER NOT NULL, kind TEXT NOT NULL, sealed BLOB NOT NULL,
  created_at INTEGER NOT NULL, PRIMARY KEY (paywall, kind)) WITHOUT ROWID;

-- Whom a paywall's proxy asks. `sealed` holds the key and the headers.
CREATE TABLE providers (
  no INTEGER PRIMARY KEY, paywall INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
  sealed BLOB, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE UNIQUE INDEX providers_by_name ON providers (paywall, name);

-- The price book of a paywall. Only the end of a row is ever set later.
CREATE TABLE prices (
  no INTEGER PRIMARY KEY, paywall INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, model TEXT NOT NULL,
  provider TEXT NOT NULL, body TEXT NOT NULL, effective_from INTEGER NOT NULL);
CREATE INDEX prices_by_paywall ON prices (paywall, no);

-- What a paywall gave by itself: once to a customer, for ever. `total` is the paywall's so far.
CREATE TABLE trials (
  no INTEGER PRIMARY KEY, paywall INTEGER NOT NULL, customer INTEGER NOT NULL,
  credits NUMERIC NOT NULL,
  total NUMERIC NOT NULL, at INTEGER NOT NULL);
CREATE UNIQUE INDEX trials_by_customer ON trials (paywall, customer);
CREATE INDEX trials_by_paywall ON trials (paywall, no);

-- (paywall, external user) is a customer with one wallet.
CREATE TABLE identities (
  paywall INTEGER NOT NULL, external_id TEXT NOT NULL, customer INTEGER NOT NULL,
  wallet INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT, created_at INTEGER NOT NULL,
  PRIMARY KEY (paywall, external_id)) WITHOUT ROWID;
CREATE UNIQUE INDEX identities_by_wallet ON identities (wallet);
CREATE INDEX identities_by_age ON identities (paywall, created_at, external_id);

CREATE TABLE checkout_links (
  no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, env INTEGER NOT NULL, paywall INTEGER NOT NULL,
  external_id TEXT NOT NULL, wallet INTEGER NOT NULL, token_hash BLOB NOT NULL UNIQUE,
  token_seed BLOB NOT NULL, target TEXT, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL);
CREATE INDEX checkout_links_by_user ON checkout_links (paywall, external_id, expires_at);

CREATE TABLE receivers (
  no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, env INTEGER NOT NULL, kind TEXT NOT NULL,
  paywall INTEGER, state TEXT NOT NULL, body TEXT NOT NULL, sealed BLOB,
  failures_in_a_row INTEGER NOT NULL DEFAULT 0, first_failure_at INTEGER, last_attempt_at INTEGER,
  last_success_at INTEGER, last_result TEXT,
  -- Places of the first deliveries of the row of failures.
  failed_of TEXT NOT NULL DEFAULT '', troubled_since INTEGER, failing_since INTEGER,
  -- Of an open circuit: when the next probe goes out, and how many went.
  circuit_until INTEGER, probe_step INTEGER NOT NULL DEFAULT 0,
  -- What its deliveries still have to become, a piece at a time, and up to which place.
  moving TEXT NOT NULL DEFAULT '', moving_upto INTEGER,
  version INTEGER NOT NULL, created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE INDEX receivers_by_env ON receivers (env, kind, no);
CREATE INDEX receivers_moving ON receivers (env, no) WHERE moving <> '';

CREATE TABLE receiver_secrets (
  no INTEGER PRIMARY KEY, receiver INTEGER NOT NULL, id BLOB NOT NULL, kind TEXT NOT NULL,
  sealed BLOB NOT NULL, suffix TEXT NOT NULL, public_key TEXT, created_at INTEGER NOT NULL,
  expires_at INTEGER);
CREATE INDEX receiver_secrets_by_receiver ON receiver_secrets (receiver, no);

-- One event for one receiver. `place` is the event's; test deliveries have places of their own.
CREATE TABLE deliveries (
  receiver INTEGER NOT NULL, place INTEGER NOT NULL, env INTEGER NOT NULL, at INTEGER NOT NULL,
  kind TEXT NOT NULL, subject TEXT NOT NULL, order_key TEXT NOT NULL, sequence INTEGER NOT NULL,
  class TEXT NOT NULL, state TEXT NOT NULL, step INTEGER NOT NULL, attempts INTEGER NOT NULL,
  next_at INTEGER NOT NULL, body BLOB, last_code INTEGER, last_result TEXT, last_error TEXT,
  last_attempt_at INTEGER, last_duration_ms INTEGER, delivered_at INTEGER,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  -- What causes the next attempt; whether an exhausted one stops its order key.
  trigger TEXT NOT NULL DEFAULT 'schedule', halts INTEGER NOT NULL DEFAULT 0,
  -- Attempts that were probes of a circuit: they spend nothing.
  probes INTEGER NOT NULL DEFAULT 0,
  -- Who has leased it.
  node INTEGER NOT NULL DEFAULT 0,
  -- The last replay that opened it, and how it stood before; nothing where the replay made it.
  replay INTEGER, former_state TEXT, former_class TEXT, former_step INTEGER,
  PRIMARY KEY (receiver, place)) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (env, receiver, next_at) WHERE state = 'due';
CREATE INDEX deliveries_due_by_place ON deliveries (receiver, place) WHERE state = 'due';
-- A list of states instead would be a table that SQLite makes for each row that it writes.
CREATE INDEX deliveries_open ON deliveries (receiver, order_key, sequence)
  WHERE state = 'due' OR state = 'leased' OR state = 'waiting';
CREATE INDEX deliveries_parked ON deliveries (receiver, place) WHERE state = 'parked';
CREATE INDEX deliveries_halted ON deliveries (receiver, order_key) WHERE halts = 1;
CREATE INDEX deliveries_replayed ON deliveries (receiver, replay) WHERE trigger = 'replay';
CREATE INDEX deliveries_by_env ON deliveries (env, created_at, place);

-- Events of the past that are sent again: `body` is what was asked for, `walked` how far it came,
-- `counted` how far `matched` counts, `head` the last position that it looks at.
CREATE TABLE replays (
  no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, env INTEGER NOT NULL,
  receiver INTEGER NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL, head INTEGER NOT NULL,
  walked INTEGER NOT NULL, counted INTEGER NOT NULL, matched INTEGER NOT NULL,
  sent INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0,
  -- In real time, for the pace.
  next_at INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  finished_at INTEGER);
CREATE INDEX replays_by_receiver ON replays (env, receiver, no);
CREATE UNIQUE INDEX replays_running ON replays (receiver) WHERE state = 'running';

CREATE TABLE attempts (
  no INTEGER PRIMARY KEY, receiver INTEGER NOT NULL, place INTEGER NOT NULL,
  number INTEGER NOT NULL, trigger TEXT NOT NULL, started_at INTEGER NOT NULL,
  sent_at INTEGER NOT NULL, duration_ms INTEGER NOT NULL, code INTEGER, result TEXT NOT NULL,
  error TEXT, retry_after_s INTEGER, address TEXT, reconnected INTEGER NOT NULL, snippet BLOB,
  -- Where the time went, as far as it is known; of a reused connection only the last.
  dns_ms INTEGER, connect_ms INTEGER, tls_ms INTEGER, first_byte_ms INTEGER);
CREATE INDEX attempts_by_delivery ON attempts (receiver, place, number);

-- From which position on events are kept, and the time of the last one before it.
CREATE TABLE retention (
  env INTEGER PRIMARY KEY, kept INTEGER NOT NULL, purged_at INTEGER NOT NULL) WITHOUT ROWID;

-- What attempts came to, counted by minute and by hour. `name` is a result, or a bucket of times.
CREATE TABLE receiver_counts (
  env INTEGER NOT NULL, receiver INTEGER NOT NULL, span TEXT NOT NULL, at INTEGER NOT NULL,
  name TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (env, receiver, span, at, name)) WITHOUT ROWID;

-- What falls due by itself. `ref` is a wallet's number or a lot's place.
CREATE TABLE timers (
  env INTEGER NOT NULL, kind TEXT NOT NULL, ref INTEGER NOT NULL, due INTEGER NOT NULL,
  PRIMARY KEY (env, kind, ref, due)) WITHOUT ROWID;
CREATE INDEX timers_by_due ON timers (env, due);

-- First answers of idempotent requests that are not entries.
CREATE TABLE replies (
  no INTEGER PRIMARY KEY, env INTEGER NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL,
  request BLOB NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL, at INTEGER NOT NULL);

-- Keys of proxied requests that nodes of a shared database work on.
CREATE TABLE claims (
  env INTEGER NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL, request BLOB NOT NULL,
  node INTEGER NOT NULL, PRIMARY KEY (env, route, key)) WITHOUT ROWID;

-- Sealed generations of the idempotency index: sorted runs of fingerprint → row, and their filters.
CREATE TABLE idempotency_runs (
  generation INTEGER NOT NULL, fingerprint INTEGER NOT NULL, row INTEGER NOT NULL,
  PRIMARY KEY (generation, fingerprint, row)) WITHOUT ROWID;
CREATE TABLE idempotency_filters (
  generation INTEGER PRIMARY KEY, bits BLOB NOT NULL, marks TEXT NOT NULL);

-- Requests of the proxy that are under way or not settled. A story is a pack of one.
CREATE TABLE proxy_requests (
  env INTEGER NOT NULL, paywall INTEGER NOT NULL, id BLOB NOT NULL, wallet INTEGER NOT NULL,
  unsettled INTEGER NOT NULL, counted INTEGER NOT NULL, story BLOB NOT NULL,
  -- Who serves it.
  node INTEGER NOT NULL, PRIMARY KEY (env, paywall, id)) WITHOUT ROWID;
CREATE INDEX proxy_requests_by_wallet ON proxy_requests (env, wallet) WHERE unsettled = 0;

-- Those that ended: stories by the pack, with its first and last id. See `proxy_packs`.
CREATE TABLE proxy_packs (
  no INTEGER PRIMARY KEY, env INTEGER NOT NULL, paywall INTEGER NOT NULL, first BLOB NOT NULL,
  last BLOB NOT NULL, stories BLOB NOT NULL);
CREATE INDEX proxy_packs_by_id ON proxy_packs (env, paywall, last, first);

-- Events of proxied requests: which scenes of which requests. Their stories say the rest.
CREATE TABLE chapters (
  place INTEGER PRIMARY KEY, at INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
  paywall INTEGER NOT NULL, paywall_id BLOB NOT NULL, customer BLOB NOT NULL,
  wallet BLOB NOT NULL, sequence INTEGER NOT NULL, actor TEXT NOT NULL, idempotency_key TEXT, settled_by INTEGER,
  lines BLOB NOT NULL);
CREATE UNIQUE INDEX chapters_by_settlement ON chapters (paywall, settled_by)
  WHERE settled_by IS NOT NULL;

-- Sealed prompts and answers, of paywalls whose owner wants them kept.
CREATE TABLE proxy_prompts (
  request BLOB PRIMARY KEY, env INTEGER NOT NULL, prompt BLOB NOT NULL, answer BLOB NOT NULL);

-- Limits: paces and quotas by user and model, which were told today, money by calendar window.
CREATE TABLE proxy_paces (
  env INTEGER NOT NULL, wallet INTEGER NOT NULL, model TEXT NOT NULL, day TEXT NOT NULL,
  second_due INTEGER NOT NULL, minute_due INTEGER NOT NULL, today INTEGER NOT NULL,
  PRIMARY KEY (env, wallet, model)) WITHOUT ROWID;
CREATE TABLE proxy_limits_told (
  env INTEGER NOT NULL, wallet INTEGER NOT NULL, limit_key TEXT NOT NULL, day TEXT NOT NULL,
  PRIMARY KEY (env, wallet, limit_key)) WITHOUT ROWID;
CREATE TABLE proxy_spends (
  env INTEGER NOT NULL, paywall INTEGER NOT NULL, wallet INTEGER NOT NULL, span TEXT NOT NULL,
  amount NUMERIC NOT NULL, PRIMARY KEY (env, paywall, wallet, span)) WITHOUT ROWID;

-- People who sign in. Passwords as argon2id writes them; of sessions and links the SHA-256.
CREATE TABLE logins (
  user_id BLOB PRIMARY KEY, email TEXT NOT NULL UNIQUE, hash TEXT NOT NULL,
  failures INTEGER NOT NULL, locked_until INTEGER, updated_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
  hash BLOB PRIMARY KEY, user_id BLOB NOT NULL, env INTEGER NOT NULL, created_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE TABLE sign_in_links (
  hash BLOB PRIMARY KEY, user_id BLOB, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  used_at INTEGER) WITHOUT ROWID;

-- Sessions of customers in the portal: the SHA-256 of the token.
CREATE TABLE portal_sessions (
  hash BLOB PRIMARY KEY, env INTEGER NOT NULL, customer INTEGER NOT NULL, display TEXT NOT NULL,
  created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX portal_sessions_by_customer ON portal_sessions (env, customer);
CREATE INDEX portal_sessions_by_end ON portal_sessions (env, expires_at);

-- What the dashboard draws: sums by hour and by day (`at` is the start in milliseconds) and of all
-- time (`span` 0), read from the log after the fact. The marks say up to where.
CREATE TABLE tallies (
  env INTEGER NOT NULL, span INTEGER NOT NULL, at INTEGER NOT NULL, name TEXT NOT NULL,
  label TEXT NOT NULL, count INTEGER NOT NULL, credits NUMERIC NOT NULL,
  amount NUMERIC NOT NULL,
  PRIMARY KEY (env, span, at, name, label)) WITHOUT ROWID;
CREATE TABLE tally_marks (name TEXT PRIMARY KEY, upto INTEGER NOT NULL) WITHOUT ROWID;

-- Words by which customers are found, from the start of each word.
CREATE TABLE customer_words (
  env INTEGER NOT NULL, word TEXT NOT NULL, customer INTEGER NOT NULL,
  PRIMARY KEY (env, word, customer)) WITHOUT ROWID;
CREATE INDEX customer_words_by_customer ON customer_words (customer);
