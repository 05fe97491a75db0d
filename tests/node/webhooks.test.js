// What docs/webhooks.md tells Node's users to write, against deliveries of a real `farebox serve`.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

import { Farebox } from "./farebox.js";

const DOCS = new URL("../../docs/webhooks.md", import.meta.url);

let farebox, receiver, endpoint, delivery;

before(async () => {
  farebox = await Farebox.start();
  const deliveries = [];
  receiver = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    deliveries.push({ headers: request.headers, body: Buffer.concat(parts) });
    response.end();
    receiver.emit("delivery");
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  const url = `http://127.0.0.1:${receiver.address().port}/hooks`;
  const types = ["customer.created"];
  endpoint = await farebox.call("POST", "/v1/webhooks/endpoints", { url, types });
  const came = once(receiver, "delivery");
  await farebox.call("POST", "/v1/customers", { external_id: "node", name: "Zoë 🦀" });
  await came;
  [delivery] = deliveries;
});

after(async () => {
  receiver.closeAllConnections();
  receiver.close();
  assert.equal(await farebox.end(), 0);
});

for (const [name, Webhook] of Object.entries({ standardwebhooks: StandardWebhook, svix: SvixWebhook })) {
  test(`${name} takes a delivery, and no changed one`, () => {
    const webhook = new Webhook(endpoint.secret);
    const event = webhook.verify(delivery.body, delivery.headers);
    assert.equal(event.customer.name, "Zoë 🦀");
    assert.equal(event.id, delivery.headers["webhook-id"]);
    const changed = delivery.body.toString().replace("Zoë", "Zoe");
    assert.throws(() => webhook.verify(changed, delivery.headers));
    for (const header of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
      const headers = { ...delivery.headers, [header]: "1" + delivery.headers[header] };
      for (const name of Object.keys(headers)) if (name.startsWith("svix-")) delete headers[name];
      assert.throws(() => webhook.verify(delivery.body, headers), header);
    }
  });
}

test("the snippet of the docs does what it says", async () => {
  const [, snippet] = readFileSync(DOCS, "utf8").match(/```js\n(import .*?)```/s);
  const body = snippet.replace(/^import .*$/gm, "") + "\nreturn event;";
  const run = new Function("Webhook", "secret", "rawBody", "headers", body);
  const event = run(StandardWebhook, endpoint.secret, delivery.body, delivery.headers);
  assert.equal(event.event_type, "customer.created");
  const other = "whsec_" + Buffer.alloc(24).toString("base64");
  assert.throws(() => run(StandardWebhook, other, delivery.body, delivery.headers));
});
