// The dashboard in a real browser: a newcomer's tour, each action, by keyboard alone, with hostile
// names everywhere, at 360 pixels, and under axe.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { EMAIL, House, PASSWORD, become, browser, pages } from "./house.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let house, chromium, context, page;
const complaints = [];
before(async () => {
  house = await House.start();
  chromium = await browser();
  context = await chromium.newContext({ viewport: { width: 1280, height: 860 } });
  page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of (401|403|404)/.test(message.text())) complaints.push(message.text());
  });
  await become(page, house.farebox);
  await page.goto(house.portal);
});
after(async () => {
  await chromium.close();
  assert.equal(await house.end(), 0);
});

const open = (path) => page.goto(house.farebox.url + path);
const says = async (text) => assert.match(await page.locator("main").innerText(), text);

test("a newcomer makes a customer, tops the wallet up after a look at the effect, and finds why", async () => {
  await open("/");
  await says(/Money in/);
  await page.click("text=Customers");
  await page.click("text=Create a customer");
  await page.fill("#name", "Mary Somerville");
  await page.fill("#external_id", "mary");
  await page.fill("#currency", "USD");
  await page.fill("#credits", "10");
  await page.click("button.main");
  await says(/The customer was created/);
  await page.click("#wallets tbody a");
  await page.click("text=Top up");
  await page.fill("#credits_to_add", "25");
  await page.click("button.main");
  await says(/say in a few words why/i);
  await page.fill("#reason", "Goodwill for ticket 4711");
  await page.fill("#credits_to_add", "25");
  await page.click("button.main");
  await says(/nothing has happened yet[\s\S]*10\.00[\s\S]*35\.00/i);
  await page.click("button.main");
  await says(/Top up: done[\s\S]*35\.00/);
  await page.click("text=Changes in the audit log");
  await says(/wallet\.topped_up[\s\S]*Goodwill for ticket 4711/);
});

test("a charge from elsewhere is seen without loading the page again", async () => {
  await open(`/wallets/${house.wallet}`);
  await page.evaluate(() => { window.stayed = true; });
  await page.waitForTimeout(500);
  await house.call("POST", `/v1/wallets/${house.wallet}/debit`, {
    credits: "0.125", transaction_reason: "MANUAL_BALANCE_DEBIT", description: "seen at once",
  });
  await page.waitForSelector("text=seen at once", { timeout: 5_000 });
  assert.equal(await page.evaluate(() => window.stayed), true);
});

test("alerts, freezing and terminating each show what comes of them first", async () => {
  await open(`/wallets/${house.wallet}/do/alerts`);
  await page.fill("#critical", "5");
  await page.fill("#reason", "lower level");
  await page.click("button.main");
  await page.click("button.main");
  await says(/Edit alerts: done/);
  for (const [deed, state] of [["freeze", /frozen/], ["unfreeze", /active/]]) {
    await open(`/wallets/${house.wallet}/do/${deed}`);
    await page.fill("#reason", "trying it");
    await page.click("button.main");
    await page.click("button.main");
    await says(state);
  }
  await open(`/wallets/${house.hostileWallet}/do/terminate`);
  await page.fill("#reason", "the customer left");
  await page.click("button.main");
  await says(/After[\s\S]*0\.00[\s\S]*closed/);
  await page.click("button.danger");
  await says(/closed/);
});

test("an automatic top-up shows what it does at once, and is set with a reason", async () => {
  await open(`/wallets/${house.wallet}`);
  await page.click("text=Automatic");
  await page.fill("#threshold", "500");
  await page.fill("#amount", "1000");
  await page.fill("#cooldown", "2");
  await page.fill("#reason", "agreed by mail");
  await page.click("button.main");
  await says(/nothing has happened yet[\s\S]*Automatic top-up: off[\s\S]*1,000 at 500 or below/i);
  await page.click("button.main");
  await says(/Automatic top-up: done[\s\S]*not again for 2 hours/);
});

test("the wizard makes a paywall, and the playground chats through one", async () => {
  await open("/paywalls/new");
  await page.fill("#name", "From the wizard");
  await page.fill("#markup", "20");
  await page.click("button.main");
  await says(/shown this once[\s\S]*fbx_test_pw_/i);
  await open(`/paywalls/${house.paywall}/playground`);
  await page.fill("#user", "ann");
  await page.fill("#message", "Hello [words 5]");
  await page.click("button.main");
  await page.waitForFunction(() => /Charged/.test(document.querySelector("#story").innerText), null, { timeout: 10_000 });
  assert.match(await page.locator(".it-said").innerText(), /amber birch/);
  await open(`/paywalls/${house.paywall}/settings`);
  await page.fill("#insufficientFunds", "No money, {{ name }}: {{ url }}");
  assert.match(await page.locator("#insufficientFunds-shown").innerText(), /No money, Support chat: https/);
});

test("webhooks are tested, paused and sent again by hand", async () => {
  await open(`/webhooks/${house.endpoint}`);
  await page.click("text=Send a test");
  await says(/A test is on its way/);
  await page.click("text=Pause");
  await says(/Paused/);
  await page.click("text=Resume");
  await open(`/webhooks/deliveries/${house.delivery}`);
  await says(/500[\s\S]*no such thing today/);
  await page.click("text=Send again");
  await says(/It is sent again/);
});

test("a replay is counted, started and seen to move without loading the page again", async () => {
  await open(`/webhooks/${house.sleepy}`);
  await says(/never|No replay yet/);
  await page.click("text=Start one");
  await page.fill("#from", "2020-01-01T00:00:00");
  await page.selectOption("#only", "all");
  await page.fill("#max_rps", "5");
  await page.click("button.main");
  await says(/nothing has been sent yet[\s\S]*\d+ events/i);
  await page.click("text=Start the replay");
  await says(/The replay has begun/);
  await page.evaluate(() => { window.stayed = true; });
  await page.locator("#replays button").focus();
  const value = () => page.locator("#replays progress").evaluate((bar) => bar.value);
  const first = await value();
  await page.waitForFunction((seen) => document.querySelector("#replays progress").value > seen, first, { timeout: 10_000 });
  assert.equal(await page.evaluate(() => window.stayed), true);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancel");
  await page.keyboard.press("Enter");
  await page.waitForSelector("text=Canceled: what it had not sent stands");
});

test("a secret is rotated with an overlap, shown once, and the old one ended", async () => {
  await open(`/webhooks/${house.sleepy}`);
  await page.click("text=New secret");
  await page.selectOption("#overlap", "3600");
  await page.click("button.main");
  await says(/shown this once[\s\S]*whsec_[\s\S]*signs until/i);
  await page.click("text=Open the endpoint");
  await page.click("text=End now");
  await says(/That secret signs no more/);
  assert.doesNotMatch(await page.content(), /whsec_/);
});

test("a request is found by its id, and the list narrowed to what was refused", async () => {
  await open("/developers");
  await page.click("text=Requests");
  await says(/begins anew when the process starts/);
  await page.fill("#id", house.refused);
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(house.refused));
  await says(/not_found[\s\S]*until the answer began/);
  await page.click("text=Other requests of this key");
  await page.selectOption("#status", "4");
  await page.click("text=Filter");
  await page.waitForURL(/status=4/);
  await says(/404/);
});

test("a setting is changed by its fields, refused beside the field, and set back", async () => {
  await open("/settings");
  await page.click("text=Expiry of credits");
  await page.fill("#notice_days", "14, 14");
  await page.click("button.main");
  await says(/Nothing was saved[\s\S]*Stands there twice/);
  assert.equal(await page.locator("#notice_days").getAttribute("aria-invalid"), "true");
  await page.fill("#notice_days", "14, 3");
  await page.click("button.main");
  await says(/Saved: it holds from now on/);
  assert.equal(await page.inputValue("#notice_days"), "14, 3");
  await page.click("text=Back to the default");
  await says(/The default holds again/);
  assert.equal(await page.inputValue("#notice_days"), "7, 1");
});

test("time moves by the clock's form, keys are made, the books are proved", async () => {
  await open("/clock");
  await page.click("text=Give it a clock of its own");
  await page.fill("#clock-by", "2h");
  await page.click("text=Move time, and run what falls due");
  await says(/Time moved on by 2h/);
  await open("/developers/new");
  await page.fill("#name", "backend");
  await page.click("button.main");
  await says(/fbx_test_sk_/);
  await open("/system");
  await page.click("text=Prove the books now");
  await says(/The proof/);
});

test("everything is reached by the keyboard", async () => {
  await open("/");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Control+k");
  await page.keyboard.type("grace");
  await page.waitForSelector("#palette-list >> text=Grace Hopper");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/customers\/cust_/);
  await page.keyboard.press("g");
  await page.keyboard.press("w");
  await page.waitForURL(/\/webhooks$/);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("create a paywall");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/paywalls\/new$/);
});

test("forms work without the script", async () => {
  const { cookies } = await context.storageState();
  const plain = await chromium.newContext({ javaScriptEnabled: false });
  await plain.addCookies(cookies);
  const bare = await plain.newPage();
  await bare.goto(house.farebox.url + "/customers?q=turing");
  await bare.click("text=Alan Turing");
  await bare.click("#wallets tbody a");
  await bare.click("text=Debit");
  await bare.fill("#credits", "1");
  await bare.fill("#reason", "no script");
  await bare.click("button.main");
  await bare.click("button.main");
  assert.match(await bare.locator("main").innerText(), /Debit: done/);
  await plain.close();
});

test("no page runs what its data says, none scrolls sideways at 360 pixels, all are strict", async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const [name, path] of Object.entries(pages(house))) {
    const answer = await open(path);
    const policy = answer.headers()["content-security-policy"];
    assert.match(policy, /default-src 'none'/, name);
    assert.doesNotMatch(policy, /unsafe/, name);
    assert.ok(answer.status() < 500 && (name === "missing") === (answer.status() === 404), `${name}: ${answer.status()}`);
    const found = await page.evaluate(() => ({
      hacked: window.hacked,
      wide: document.documentElement.scrollWidth - innerWidth,
      styles: document.querySelectorAll("[style]").length,
    }));
    assert.equal(found.hacked, undefined, name);
    assert.ok(found.wide <= 0, `${name} is ${found.wide} pixels too wide`);
  }
  await page.setViewportSize({ width: 1280, height: 860 });
  assert.deepEqual(complaints, []);
});

test("axe finds no serious fault on any page, light or dark", async () => {
  const faults = new Map();
  for (const colorScheme of ["light", "dark"]) {
    // axe is put in by the test, past the policy that the pages themselves keep.
    const own = await chromium.newContext({ colorScheme, bypassCSP: true, storageState: await context.storageState() });
    const tab = await own.newPage();
    for (const [name, path] of Object.entries(pages(house))) {
      await tab.goto(house.farebox.url + path);
      await tab.evaluate(AXE);
      const { violations } = await tab.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      for (const one of violations.filter(({ impact }) => ["serious", "critical"].includes(impact))) {
        const [node] = one.nodes;
        const fault = `${colorScheme} ${one.id}: ${node.html.slice(0, 120)} ${node.failureSummary.split("\n")[1] ?? ""}`;
        faults.set(fault, name);
      }
    }
    await own.close();
  }
  assert.deepEqual([...faults], []);
});

test("signing out ends the session, and the password lets in again", async () => {
  await page.setViewportSize({ width: 1280, height: 860 });
  await open("/");
  await page.click("text=Sign out");
  await page.waitForURL(/sign-in/);
  await open("/customers");
  await page.fill("#email", EMAIL);
  await page.fill("#password", PASSWORD);
  await page.click("button.main");
  await page.waitForURL(/\/customers$/);
});
