"""Where the LLM clients talk to: the fake provider itself, or Farebox in front of it."""

import os
import pathlib
import secrets
import subprocess

import anthropic
import openai
import pytest

CHAT_MODEL = "gpt-4o-mini"
MESSAGE_MODEL = "claude-haiku-4-5"
EMBEDDING_MODEL = "text-embedding-3-small"


class Target:
    """A base URL with a key, and a user whom every client names."""

    def __init__(self, url, api_key, paid_by=None):
        self.url = url
        self.api_key = api_key
        self.is_farebox = paid_by is not None
        self.server = paid_by
        self.user = "user-" + secrets.token_hex(6)
        self.requests = 0

    def _options(self, http_client, headers):
        return {
            "api_key": self.api_key,
            "http_client": http_client(event_hooks={"request": [self._count]}),
            "default_headers": {"X-Paywall-User": self.user, **(headers or {})},
        }

    def _count(self, _request):
        self.requests += 1

    def openai(self, headers=None):
        options = self._options(openai.DefaultHttpxClient, headers)
        return openai.OpenAI(base_url=self.url + "/v1", **options)

    def anthropic(self, headers=None):
        options = self._options(anthropic.DefaultHttpxClient, headers)
        return anthropic.Anthropic(base_url=self.url, **options)

    def deposit(self, amount):
        """Money for this target's user; the provider asks for none."""
        if self.is_farebox:
            answer = self.server.call_as(
                self.api_key, "POST", "/v1/user/balance/deposit",
                {"user": self.user, "amount": amount},
            )
            assert answer.status_code == 200, answer.text


class Provider:
    """The fake provider of `crates/fakes`, as a process of its own."""

    def __init__(self):
        binary = os.environ.get("FAREBOX_FAKE_PROVIDER") or pathlib.Path(
            os.environ["FAREBOX_BINARY"]
        ).parent.joinpath("examples", "provider")
        self.process = subprocess.Popen(
            [binary, "127.0.0.1:0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.url = "http://" + self.process.stdout.readline().strip()

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=10)


def paywall(server, provider, **settings):
    """A paywall of its own whose providers are the fake one; its id and its key."""
    body = {"name": "Proxy", "currency": "USD", **settings}
    answer = server.call("POST", "/v1/paywalls", body)
    if answer.status_code == 501:
        pytest.skip(answer.json()["message"])
    assert answer.status_code == 201, answer.text
    made = answer.json()
    for name in ("openai", "anthropic"):
        base = provider.url + "/v1"
        connection = {"kind": name, "baseUrl": base, "key": "sk-fake-" + name}
        path = f"/v1/paywalls/{made['id']}/providers/{name}"
        answer = server.call("PUT", path, connection)
        if answer.status_code in (404, 501):
            pytest.skip(f"providers cannot be set yet: {answer.status_code}")
        assert answer.status_code in (200, 201), answer.text
    return Target(server.url, made["apiKey"], paid_by=server)


def skip_unless_built(target, path):
    """Tests of a route switch on by themselves once it answers anything but 501."""
    if target.is_farebox:
        answer = target.server.call_as(target.api_key, "POST", path, {})
        if answer.status_code == 501:
            pytest.skip(f"{path} is not built in this version")
