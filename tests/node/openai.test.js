// The published `openai` client for Node against a paywall in front of the fake provider.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import OpenAI from "openai";

import { Farebox } from "./farebox.js";

const MODEL = "gpt-4o-mini";
const WEATHER = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } } },
  },
};

let farebox;
before(async () => {
  farebox = await Farebox.start();
});
after(async () => {
  assert.equal(await farebox.end(), 0, "SIGTERM ends farebox serve with exit status 0");
});

function ask(content, more = {}) {
  return { model: MODEL, max_tokens: 100, messages: [{ role: "user", content }], ...more };
}

async function said(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  return text;
}

test("a chat is answered with its usage, and charged", async () => {
  const user = await farebox.user("10.00");
  const prompt = "Say it [words 3] [prompt-tokens 40000]";
  const { data, response } = await user.openai().chat.completions.create(ask(prompt)).withResponse();
  assert.equal(data.choices[0].message.content, "amber birch cedar");
  assert.deepEqual([data.usage.prompt_tokens, data.usage.completion_tokens], [40_000, 3]);
  const cost = Number(response.headers.get("x-paywall-cost"));
  assert.ok(cost > 0, `cost ${cost}`);
  assert.equal(await user.balance(), 10_000_000 - Math.round(cost * 1_000_000));
  assert.equal(user.requests, 1);
});

test("a stream says what the plain answer says, however it is framed", async () => {
  const user = await farebox.user("10.00");
  const client = user.openai();
  const plain = await client.chat.completions.create(ask("Hello [words 20]"));
  for (const way of ["", "[gap 1]", "[odd-framing]", "[multi-line]"]) {
    const stream = await client.chat.completions.create(
      ask(`${way} Hello [words 20]`, { stream: true }),
    );
    assert.equal(await said(stream), plain.choices[0].message.content, way);
  }
  const emojis = ask("[emoji-split] [words 3]", { stream: true });
  assert.equal(await said(await client.chat.completions.create(emojis)), "amber🦀 birch🦀 cedar🦀");
});

test("usage comes last in a stream that asks for it", async () => {
  const user = await farebox.user("10.00");
  const more = { stream: true, stream_options: { include_usage: true } };
  const chunks = [];
  const stream = await user.openai().chat.completions.create(ask("Hello [words 5]", more));
  for await (const chunk of stream) chunks.push(chunk);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 5);
  assert.ok(chunks.slice(0, -1).every((chunk) => !chunk.usage));
});

test("a tool is called, plain and streamed", async () => {
  const user = await farebox.user("10.00");
  const body = ask("[tool] Weather?", { tools: [WEATHER] });
  const plain = await user.openai().chat.completions.create(body);
  assert.equal(plain.choices[0].finish_reason, "tool_calls");
  const streamed = await user.openai().chat.completions.stream(body).finalChatCompletion();
  for (const answer of [plain, streamed]) {
    const call = answer.choices[0].message.tool_calls[0].function;
    assert.deepEqual([call.name, JSON.parse(call.arguments)], ["weather", { city: "Paris" }]);
  }
});

test("a user without money is answered in the chat", async () => {
  const user = await farebox.user();
  const plain = await user.openai().chat.completions.create(ask("Hello"));
  assert.equal(plain.paywall.reason, "insufficient_balance");
  const stream = await user.openai().chat.completions.create(ask("Hello", { stream: true }));
  assert.equal(await said(stream), plain.choices[0].message.content);
});

test("a 402 is one request, and an error that says why", async () => {
  for (const stream of [false, true]) {
    const user = await farebox.user();
    const client = user.openai({ "X-Paywall-On-Block": "error" });
    await assert.rejects(client.chat.completions.create(ask("Hello", { stream })), (error) => {
      assert.ok(error instanceof OpenAI.APIError, String(error));
      assert.deepEqual([error.status, error.code], [402, "insufficient_balance"]);
      return true;
    });
    assert.equal(user.requests, 1);
  }
});

test("a stream that dies is not taken for a whole one", async () => {
  const user = await farebox.user("10.00");
  const create = () => user.openai().chat.completions.create(ask("[cut 3] [gap 1]", { stream: true }));
  await assert.rejects(async () => said(await create()), OpenAI.APIError);
});
