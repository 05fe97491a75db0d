"""One real `farebox serve` for the run, and a webhook receiver a test can ask."""

import base64
import http.server
import os
import pathlib
import queue
import secrets
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import httpx
import llm
import pytest

START_SECONDS_MAX = 20


class Server:
    """A running `farebox serve` with a database of its own."""

    def __init__(self, url, api_key):
        self.url = url
        self.api_key = api_key

    def call(self, method, path, body=None):
        """One management call; the published clients do not know these routes."""
        return httpx.request(
            method, self.url + path, json=body, headers={"x-api-key": self.api_key}, timeout=10
        )

    def call_as(self, paywall_key, method, path, body=None):
        """One call with the key of a paywall."""
        headers = {"authorization": "Bearer " + paywall_key}
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=10)


class Receiver(http.server.ThreadingHTTPServer):
    """Takes webhooks and keeps each one's headers and raw body."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _ReceiverHandler)
        self.received = queue.Queue()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"

    def next(self, seconds=15):
        return self.received.get(timeout=seconds)


class _ReceiverHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.put(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """The run's output is for results."""


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_live(url):
    try:
        with urllib.request.urlopen(url + "/livez", timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _wait_until_live(process, url, log):
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.exit(f"farebox serve ended with {process.returncode}:\n{log.read_text()}", 1)
        if _is_live(url):
            return
        time.sleep(0.1)
    process.kill()
    pytest.exit(f"farebox serve did not answer /livez:\n{log.read_text()}", 1)


@pytest.fixture(scope="session")
def farebox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("farebox")
    log = pathlib.Path(folder, "serve.log")
    listen = f"127.0.0.1:{_free_port()}"
    api_key = "sk_" + secrets.token_hex(24)
    env = {
        "PATH": os.environ.get("PATH", ""),
        "FAREBOX_LISTEN": listen,
        "FAREBOX_DATA_DIR": str(folder),
        "FAREBOX_API_KEY": api_key,
        "FAREBOX_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "FAREBOX_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [os.environ["FAREBOX_BINARY"], "serve"],
            cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )
    _wait_until_live(process, f"http://{listen}", log)
    yield Server(f"http://{listen}", api_key)
    process.terminate()
    assert process.wait(timeout=20) == 0, "SIGTERM ends farebox serve with exit status 0"


@pytest.fixture
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def flexprice(farebox):
    from flexprice import Flexprice

    with Flexprice(server_url=farebox.url + "/v1", api_key_auth=farebox.api_key) as client:
        yield client


@pytest.fixture
def external_id():
    return "user-" + secrets.token_hex(6)


@pytest.fixture(scope="session")
def provider():
    running = llm.Provider()
    yield running
    running.end()


@pytest.fixture(params=["provider", "farebox"])
def target(request, provider):
    """The same test talks to the fake provider and to a paywall in front of it."""
    if request.param == "provider":
        return llm.Target(provider.url, "sk-any")
    farebox = request.getfixturevalue("farebox")
    made = llm.paywall(farebox, provider)
    made.deposit("10.00")
    return made


@pytest.fixture
def paywall(farebox, provider):
    """Makes paywalls with settings of the test's own."""
    return lambda **settings: llm.paywall(farebox, provider, **settings)
