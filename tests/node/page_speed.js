// How heavy the dashboard's pages are and how long each takes, with many customers and entries:
//   FAREBOX_BINARY=target/release/farebox node tests/node/page_speed.js [customers] [charges]
// Prints a table. Rounds of all pages follow each other, so that no page profits from its own cache.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { House, become, browser, pages } from "./house.js";

const CUSTOMERS = Number(process.argv[2] ?? 100_000);
const CHARGES = Number(process.argv[3] ?? 1_000_000);
const BATCH = 1_000;
const COPIES = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "customer_copies.py");
const ROUNDS = 40;

const house = await House.start();
const bearer = { authorization: "Bearer " + house.key };

async function inParallel(count, work) {
  let next = 0;
  const lane = async () => { while (next < count) await work(next++); };
  await Promise.all(Array.from({ length: 4 }, lane));
}

async function session() {
  const chromium = await browser();
  const context = await chromium.newContext();
  await become(await context.newPage(), house.farebox);
  const cookies = await context.cookies();
  await chromium.close();
  return cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
}

try {
  const began = Date.now();
  await house.call("POST", `/v1/webhooks/endpoints/${house.endpoint}/pause`, {});
  // Customers without a history are copies of one, put beside it in the file.
  const copied = spawnSync("python3", [COPIES, join(house.farebox.folder, "farebox.db"), CUSTOMERS]);
  if (copied.status) throw new Error(String(copied.stderr));
  console.error(`${CUSTOMERS} customers after ${Date.now() - began} ms`);
  await house.call("POST", "/v1/user/balance/deposit", { user: "user-1", amount: "1000000" }, bearer);
  await inParallel(CHARGES / BATCH, async () => {
    const charges = Array.from({ length: BATCH }, () => ({ user: "user-1", amount: "0.001" }));
    await house.call("POST", "/v1/charges/batch", { charges }, bearer);
  });
  console.error(`${CHARGES} charges after ${Date.now() - began} ms`);
  const cookie = await session();
  const get = (path) => fetch(house.farebox.url + path, { headers: { cookie }, redirect: "error" });
  for (let tries = 0; tries < 600; tries += 1) {
    if (!/being added up/.test(await (await get("/")).text())) break;
  }
  const busy = await house.call("GET", `/v1/paywalls/${house.paywall}/users/user-1`);
  const all = {
    ...pages(house),
    "home-12m": "/?range=12m",
    "customers-search": "/customers?q=copy-77",
    "wallet-busy": `/wallets/${busy.walletId}`,
    "wallet-busy-failed": `/wallets/${busy.walletId}?kind=failed`,
  };
  delete all.missing;
  const took = Object.fromEntries(Object.keys(all).map((name) => [name, []]));
  const weight = {};
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, path] of Object.entries(all)) {
      const start = performance.now();
      const body = Buffer.from(await (await get(path)).arrayBuffer());
      took[name].push(performance.now() - start);
      weight[name] = [body.length, gzipSync(body).length];
    }
  }
  console.log("| page | p50 ms | p95 ms | bytes | gzipped |\n|---|---|---|---|---|");
  for (const [name, times] of Object.entries(took)) {
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.floor((times.length - 1) * share)].toFixed(1);
    console.log(`| ${name} | ${at(0.5)} | ${at(0.95)} | ${weight[name].join(" | ")} |`);
  }
} finally {
  await house.end();
}
