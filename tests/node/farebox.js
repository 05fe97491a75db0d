// One real `farebox serve` with the fake provider behind a paywall, as processes of their own.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, openSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import OpenAI from "openai";

const START_MS_MAX = 20_000;
const KEY = "sk_" + randomBytes(24).toString("hex");

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

async function isLive(url) {
  try {
    return (await fetch(url + "/livez")).ok;
  } catch {
    return false;
  }
}

async function startProvider(binary) {
  const program = process.env.FAREBOX_FAKE_PROVIDER ?? join(dirname(binary), "examples", "provider");
  const child = spawn(program, ["127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  const [address] = await once(createInterface({ input: child.stdout }), "line");
  return { child, url: "http://" + address.trim() };
}

export class Farebox {
  key = KEY;

  static async start() {
    const binary = process.env.FAREBOX_BINARY;
    if (!binary) throw new Error("FAREBOX_BINARY must name the binary; scripts/test sets it");
    const farebox = new Farebox();
    farebox.provider = await startProvider(binary);
    farebox.folder = mkdtempSync(join(tmpdir(), "farebox-node-"));
    const listen = `127.0.0.1:${await freePort()}`;
    farebox.url = `http://${listen}`;
    const log = join(farebox.folder, "serve.log");
    const out = openSync(log, "w");
    farebox.child = spawn(binary, ["serve"], {
      cwd: farebox.folder,
      stdio: ["ignore", out, out],
      env: {
        PATH: process.env.PATH,
        FAREBOX_LISTEN: listen,
        FAREBOX_DATA_DIR: farebox.folder,
        FAREBOX_API_KEY: KEY,
        FAREBOX_ENCRYPTION_KEY: randomBytes(32).toString("base64"),
        FAREBOX_ALLOW_PRIVATE_TARGETS: "127.0.0.0/8",
      },
    });
    const end = Date.now() + START_MS_MAX;
    while (!(await isLive(farebox.url))) {
      if (farebox.child.exitCode !== null || Date.now() > end) {
        farebox.child.kill("SIGKILL");
        farebox.provider.child.kill();
        throw new Error("farebox serve does not answer:\n" + readFileSync(log, "utf8"));
      }
      await sleep(50);
    }
    return farebox;
  }

  /** Ends both processes, and gives the status with which the server ended. */
  async end() {
    this.provider.child.kill();
    const ended = once(this.child, "exit");
    this.child.kill("SIGTERM");
    const [status] = await ended;
    rmSync(this.folder, { recursive: true });
    return status;
  }

  async call(method, path, body, headers = { "x-api-key": KEY }) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: body && JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  /** The user of a paywall of its own, with so much money. */
  async user(amount) {
    const made = await this.call("POST", "/v1/paywalls", { name: "Node", currency: "USD" });
    const connection = { kind: "openai", baseUrl: this.provider.url + "/v1", key: "sk-fake" };
    await this.call("PUT", `/v1/paywalls/${made.id}/providers/openai`, connection);
    const user = new User(this, made.apiKey);
    if (amount) {
      const body = { user: user.name, amount };
      await this.call("POST", "/v1/user/balance/deposit", body, user.headers);
    }
    return user;
  }
}

class User {
  /** HTTP requests that the client made. */
  requests = 0;

  constructor(farebox, key) {
    this.farebox = farebox;
    this.key = key;
    this.name = "user-" + randomBytes(6).toString("hex");
    this.headers = { authorization: "Bearer " + key };
  }

  openai(headers = {}) {
    return new OpenAI({
      baseURL: this.farebox.url + "/v1",
      apiKey: this.key,
      defaultHeaders: { "X-Paywall-User": this.name, ...headers },
      fetch: (...args) => {
        this.requests += 1;
        return fetch(...args);
      },
    });
  }

  /** Units of the balance. */
  async balance() {
    const path = `/v1/user/balance?user=${this.name}`;
    return Number((await this.farebox.call("GET", path, undefined, this.headers)).balance);
  }
}
