// A server with something of everything on it, and a browser that is signed in: for the tests of
// the dashboard and for its pictures.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { chromium } from "playwright-core";

import { Farebox } from "./farebox.js";

export const EMAIL = "ada@example.com";
export const PASSWORD = "a sentence is a good password";
/** What a hostile user would be called. */
export const HOSTILE = `<script>window.hacked=1</script><img src=x onerror="window.hacked=1">'"&`;
const CHROMIUM = process.env.FAREBOX_CHROMIUM ?? "/usr/bin/chromium";

export async function browser() {
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
}

/** The link for the first person, as the server printed it. */
async function firstLink(farebox) {
  for (let tries = 0; tries < 100; tries += 1) {
    const log = readFileSync(join(farebox.folder, "serve.log"), "utf8");
    const found = log.match(/\/welcome\/\S+/);
    if (found) return found[0];
    await sleep(50);
  }
  throw new Error("the server printed no link");
}

export async function become(page, farebox) {
  await page.goto(farebox.url + (await firstLink(farebox)));
  await page.fill("#email", EMAIL);
  await page.fill("#password", PASSWORD);
  await page.click("button[type=submit]");
  await page.waitForURL(farebox.url + "/");
}

/** A receiver that takes what comes to /good and fails for the rest. */
async function receiver() {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      response.statusCode = request.url.startsWith("/good") ? 200 : 500;
      response.end(request.url.startsWith("/good") ? "ok" : "no such thing today");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, url: `http://127.0.0.1:${server.address().port}` };
}

const NAMES = [
  "Ada Lovelace", "Grace Hopper", "Katherine Johnson", "Alan Turing", "Edsger Dijkstra",
  "Barbara Liskov", "Donald Knuth", "Margaret Hamilton", "Tony Hoare", "Radia Perlman",
];

export class House {
  /** `hours` of life before, on a test clock. */
  static async start(hours = 0) {
    const house = new House();
    house.farebox = await Farebox.start();
    house.receiver = await receiver();
    if (hours) await house.live(hours);
    await house.furnish();
    return house;
  }

  async end() {
    this.receiver.server.close();
    this.receiver.server.closeAllConnections();
    return this.farebox.end();
  }

  call(method, path, body, headers) {
    const once = method === "POST" ? { "idempotency-key": randomBytes(9).toString("hex") } : {};
    return headers
      ? this.farebox.call(method, path, body, { ...headers, ...once })
      : this.farebox.call(method, path, body, { "x-api-key": this.farebox.key, ...once });
  }

  async live(hours) {
    await this.call("POST", "/v1/test-clock", { frozen: true });
    const made = await this.call("POST", "/v1/paywalls", { name: "Writing coach", currency: "USD" });
    this.key = made.apiKey;
    const connection = { kind: "openai", baseUrl: this.farebox.provider.url + "/v1", key: "sk-fake" };
    await this.call("PUT", `/v1/paywalls/${made.id}/providers/openai`, connection);
    const good = { url: this.receiver.url + "/good", types: ["*"], description: "Ledger sync" };
    await this.call("POST", "/v1/webhooks/endpoints", good);
    const bearer = { authorization: "Bearer " + this.key };
    for (let hour = 0; hour < hours; hour += 1) {
      // A day's curve: quiet at night, busy after noon.
      const busy = 2 + Math.round(6 * Math.sin((Math.PI * hour) / hours) ** 2) + ((hour * 7) % 3);
      await this.call("POST", "/v1/user/balance/deposit", { user: "ada", amount: String(4 + (busy * 37) % 11) }, bearer);
      for (let one = 0; one < busy; one += 1) {
        await this.call("POST", "/v1/user/charge", { user: "ada", amount: String(0.4 + ((hour + one) % 5) / 4) }, bearer);
        await this.chat(one % 3 === 2 && hour % 4 === 0 ? "poor" : "ada", `Go on [words ${20 + one * 9}] [prompt-tokens ${300 + one * 240}]`).catch(() => {});
      }
      await this.call("POST", "/v1/test-clock/advance", { by: "1h" });
    }
  }

  async furnish() {
    const good = { url: this.receiver.url + "/good", types: ["*"], description: "Ledger sync" };
    const bad = { url: this.receiver.url + "/bad", types: ["wallet.credit_balance.dropped", "wallet.created"], description: HOSTILE };
    this.endpoint = (await this.call("POST", "/v1/webhooks/endpoints", good)).id;
    this.failing = (await this.call("POST", "/v1/webhooks/endpoints", bad)).id;
    this.customers = [];
    for (const [index, name] of [...NAMES, HOSTILE].entries()) {
      const made = await this.call("POST", "/v1/customers", {
        name, external_id: index === NAMES.length ? HOSTILE : `user_${index + 1}`,
        email: `${name.split(" ")[0].replace(/\W/g, "").toLowerCase() || "x"}@example.com`,
        metadata: { plan: "team", note: HOSTILE }, timezone: index === 0 ? "Asia/Kolkata" : "UTC",
      });
      this.customers.push(made.id);
    }
    await this.money();
    await this.paywallAndChats();
    await this.openPortal();
    await this.look();
    await this.replays();
    await this.refuse();
    await this.call("POST", "/v1/secrets/api/keys", { name: HOSTILE, type: "private_key", roles: ["all_reader"] });
  }

  /** A call with a hostile path that is refused: its request id. */
  async refuse() {
    const path = `/v1/customers/${encodeURIComponent(HOSTILE)}`;
    const answer = await fetch(this.farebox.url + path, { headers: { "x-api-key": this.farebox.key } });
    this.refused = answer.headers.get("x-request-id");
  }

  /** An endpoint that was made late, with replays; and one whose circuit is open. */
  async replays() {
    const late = { url: this.receiver.url + "/good/late", types: ["*"], description: HOSTILE, signatures: ["v1", "v1a"] };
    const from = "2020-01-01T00:00:00Z";
    this.late = (await this.call("POST", "/v1/webhooks/endpoints", late)).id;
    this.sleepy = (await this.call("POST", "/v1/webhooks/endpoints", { ...late, description: "Asleep" })).id;
    const path = `/v1/webhooks/endpoints/${this.late}`;
    const first = await this.call("POST", `${path}/replays`, { from, only: "all", types: ["customer.*"] });
    for (let tries = 0; tries < 100; tries += 1) {
      if ((await this.call("GET", `/v1/webhooks/replays/${first.id}`)).status === "done") break;
      await sleep(100);
    }
    await this.call("POST", `${path}/rotate`, { overlap_seconds: 604800 });
    await this.call("POST", `${path}/replays`, { from, only: "all", max_rps: 1, subjects: [`customer:${this.customers[0]}`, HOSTILE] });
    await this.call("POST", `${path}/replays`, { from, only: "all", max_rps: 1 }).catch(() => {});
  }

  /** What the first customer sees in the portal: everything that there is. */
  async openPortal() {
    const value = { allow_top_up: true, allow_webhooks: true };
    await this.call("PUT", "/v1/settings/customer_portal_config", { value });
    const own = {
      url: this.receiver.url + "/bad", types: ["wallet.*"], description: "Our books",
      channels: [`customer:${this.customers[0]}`],
    };
    this.own = (await this.call("POST", "/v1/webhooks/endpoints", own)).id;
    await this.call("PUT", `/v1/wallets/${this.wallet}`, { description: "Told to the customer" });
    this.portal = (await this.call("GET", "/v1/customers/portal/user_1")).url;
  }

  /** Ids of what came of it. */
  async look() {
    const requests = (await this.call("GET", `/v1/paywalls/${this.paywall}/requests?limit=50`)).data;
    this.request = requests.find((one) => one.status === "completed").requestId;
    this.blocked = requests.find((one) => one.status === "blocked").requestId;
    for (let tries = 0; !this.delivery && tries < 100; tries += 1) {
      const list = (await this.call("GET", `/v1/webhooks/deliveries?endpoint_id=${this.failing}`)).data;
      const tried = list.find((one) => one.attempts > 0);
      if (tried) { this.delivery = tried.id; this.event = tried.event_id; }
      await sleep(100);
    }
    const own = `/v1/webhooks/deliveries?endpoint_id=${this.own}`;
    for (let tries = 0; !this.ownDelivery && tries < 100; tries += 1) {
      this.ownDelivery = (await this.call("GET", own)).data.find((one) => one.attempts > 0)?.id;
      await sleep(100);
    }
    const entries = await this.call("GET", `/v1/wallets/${this.hostileWallet}/transactions`);
    this.entry = entries.items.at(0).id;
    this.auditRow = (await this.call("POST", "/v1/activity", { limit: 1 })).data[0].id;
  }

  async money() {
    const alerts = {
      alert_enabled: true,
      critical: { threshold: "10", condition: "below" },
      warning: { threshold: "40", condition: "below" },
    };
    const wallet = await this.call("POST", "/v1/wallets", {
      customer_id: this.customers[0], currency: "usd", name: "Prepaid", alert_settings: alerts,
    });
    this.wallet = wallet.id;
    const path = `/v1/wallets/${wallet.id}`;
    const add = (credits, reason, more = {}) =>
      this.call("POST", `${path}/top-up`, { credits_to_add: credits, transaction_reason: reason, ...more });
    await add("100", "PURCHASED_CREDIT_DIRECT", { description: "Invoice 2026-114" });
    await add("20", "FREE_CREDIT_GRANT", { priority: 1, expiry_date_utc: "2027-06-01T00:00:00.000Z" });
    for (const credits of ["12.5", "30", "7.25", "41", "3.4", "18"]) {
      await this.call("POST", `${path}/debit`, { credits, transaction_reason: "MANUAL_BALANCE_DEBIT", description: "Usage of a day" });
    }
    for (const customer of this.customers.slice(1)) {
      const made = await this.call("POST", "/v1/wallets", { customer_id: customer, currency: "usd", initial_credits_to_load: "15" });
      this.hostileWallet = made.id;
    }
    await this.call("POST", "/v1/wallets", { customer_id: this.customers[1], currency: "eur", initial_credits_to_load: "80" });
    await this.call("POST", `/v1/wallets/${this.hostileWallet}/debit`, {
      credits: "1", transaction_reason: "MANUAL_BALANCE_DEBIT", description: HOSTILE, metadata: { why: HOSTILE },
    });
  }

  async paywallAndChats() {
    const made = await this.call("POST", "/v1/paywalls", { name: "Support chat", currency: "USD" });
    this.paywall = made.id;
    this.key = made.apiKey;
    const connection = { kind: "openai", baseUrl: this.farebox.provider.url + "/v1", key: "sk-fake" };
    await this.call("PUT", `/v1/paywalls/${made.id}/providers/openai`, connection);
    await this.call("POST", "/v1/paywalls", { name: HOSTILE, currency: "EUR" });
    const bearer = { authorization: "Bearer " + made.apiKey };
    for (const user of ["ann", "bob", HOSTILE]) {
      await this.call("POST", "/v1/user/balance/deposit", { user, amount: "5" }, bearer);
      for (const words of [12, 40, 90]) {
        await this.chat(user, `Tell me [words ${words}] [prompt-tokens ${words * 30}]`);
      }
    }
    await this.chat("poor", "Hello").catch(() => {});
    await this.chat("ann", "Hello", `gpt-${HOSTILE}`).catch(() => {});
    await this.call("POST", "/v1/user/charge", { user: "ann", amount: "1.25" }, bearer);
    await this.call("POST", "/v1/user/charge", { user: "bob", amount: "99" }, bearer);
    await this.call("POST", "/v1/user/holds", { user: "ann", amount: "0.5", expiresInSeconds: 3600 }, bearer);
  }

  chat(user, content, model = "gpt-4o-mini") {
    const body = { user, model, max_tokens: 100, messages: [{ role: "user", content }] };
    return this.call("POST", "/v1/chat/completions", body, { authorization: "Bearer " + this.key });
  }
}

/** Every page that stands at a path, by a name for its picture. */
export function pages(house) {
  const paywall = `/paywalls/${house.paywall}`;
  return {
    home: "/",
    customers: "/customers",
    "customers-search": "/customers?q=grace",
    "customers-none": "/customers?q=nobody",
    "customer-new": "/customers/new",
    customer: `/customers/${house.customers[0]}`,
    "customer-hostile": `/customers/${house.customers.at(-1)}`,
    "customer-edit": `/customers/${house.customers.at(-1)}/edit`,
    wallet: `/wallets/${house.wallet}`,
    "wallet-hostile": `/wallets/${house.hostileWallet}`,
    "wallet-top-up": `/wallets/${house.wallet}/do/top-up`,
    "wallet-debit": `/wallets/${house.wallet}/do/debit`,
    "wallet-alerts": `/wallets/${house.wallet}/do/alerts`,
    "wallet-auto-topup": `/wallets/${house.wallet}/do/auto-topup`,
    "wallet-terminate": `/wallets/${house.wallet}/do/terminate`,
    paywalls: "/paywalls",
    "paywall-new": "/paywalls/new",
    paywall,
    "paywall-requests": `${paywall}/requests`,
    request: `${paywall}/requests/${house.request}`,
    "request-blocked": `${paywall}/requests/${house.blocked}`,
    "paywall-users": `${paywall}/users`,
    "paywall-user": `${paywall}/users/${encodeURIComponent(HOSTILE)}`,
    "paywall-prices": `${paywall}/prices`,
    "paywall-settings": `${paywall}/settings`,
    playground: `${paywall}/playground`,
    webhooks: "/webhooks",
    "webhook-new": "/webhooks/new",
    webhook: `/webhooks/${house.failing}`,
    "webhook-replays": `/webhooks/${house.late}`,
    "webhook-replay": `/webhooks/${house.late}/replay`,
    "webhook-secret": `/webhooks/${house.late}/secret`,
    deliveries: "/webhooks/deliveries",
    delivery: `/webhooks/deliveries/${house.delivery}`,
    events: "/events",
    "events-filtered": "/events?type=wallet.created",
    event: `/events/${house.event}`,
    entry: `/wallets/${house.hostileWallet}/entries/${house.entry}`,
    developers: "/developers",
    "key-new": "/developers/new",
    "request-log": "/developers/requests",
    "request-log-refused": `/developers/requests?status=4&path=${encodeURIComponent("/v1")}`,
    "request-log-lost": `/developers/requests?id=${encodeURIComponent(HOSTILE)}`,
    "request-logged": `/developers/requests/${house.refused}`,
    clock: "/clock",
    audit: "/audit",
    "audit-row": `/audit/${house.auditRow}`,
    settings: "/settings",
    "setting-alerts": "/settings/values/wallet_balance_alert_config",
    "setting-bonus": "/settings/values/bonus_credits_topup_config",
    "setting-limits": "/settings/values/tenant_config",
    "setting-expiry": "/settings/values/credit_expiry_config",
    "setting-portal": "/settings/values/customer_portal_config",
    system: "/system",
    account: "/account",
    portal: "/portal",
    "portal-transactions": "/portal/transactions",
    "portal-details": "/portal/details",
    "portal-webhooks": "/portal/webhooks",
    "portal-webhook": `/portal/webhooks/${house.own}`,
    "portal-delivery": `/portal/webhooks/deliveries/${house.ownDelivery}`,
    missing: `/customers/${house.customers[0].slice(0, -1)}7`,
  };
}
