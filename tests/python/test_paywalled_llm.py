"""What the published LLM clients do when a paywall refuses: they ask once, and say why."""

import anthropic
import openai
import pytest
from llm import CHAT_MODEL, MESSAGE_MODEL, skip_unless_built

AS_ERROR = {"X-Paywall-On-Block": "error"}


def chat(client, prompt="Hello", **options):
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(
        model=CHAT_MODEL, messages=messages, max_tokens=50, **options
    )


def message(client, prompt="Hello"):
    messages = [{"role": "user", "content": prompt}]
    return client.messages.create(model=MESSAGE_MODEL, messages=messages, max_tokens=50)


@pytest.fixture
def empty(paywall):
    """A paywall whose user has no money."""
    made = paywall()
    skip_unless_built(made, "/v1/chat/completions")
    return made


def test_openais_client_asks_once_on_a_402(empty):
    for stream in (False, True):
        empty.requests = 0
        with pytest.raises(openai.APIStatusError) as refused:
            chat(empty.openai(AS_ERROR), stream=stream)
        assert refused.value.status_code == 402
        assert refused.value.code == "insufficient_balance"
        assert empty.requests == 1


def test_anthropics_client_asks_once_on_a_402(empty):
    skip_unless_built(empty, "/v1/messages")
    with pytest.raises(anthropic.APIStatusError) as refused:
        message(empty.anthropic(AS_ERROR))
    assert refused.value.status_code == 402
    assert refused.value.body["error"]["type"] == "billing_error"
    assert empty.requests == 1


def test_a_user_without_money_is_answered_in_the_chat(empty):
    plain = chat(empty.openai())
    assert plain.choices[0].finish_reason == "stop"
    assert plain.usage.total_tokens == 0
    assert plain.model_extra["paywall"]["reason"] == "insufficient_balance"
    chunks = chat(empty.openai(), stream=True)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == plain.choices[0].message.content


def test_clients_ask_once_when_the_day_is_used_up(paywall):
    made = paywall(limits={"maxRequests": 1})
    skip_unless_built(made, "/v1/chat/completions")
    made.deposit("10.00")
    client = made.openai(AS_ERROR)
    chat(client)
    made.requests = 0
    with pytest.raises(openai.RateLimitError) as refused:
        chat(client)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert int(refused.value.response.headers["retry-after"]) > 0
    assert made.requests == 1


def test_a_wrong_key_is_refused_once(empty):
    empty.api_key = "pw_nobody"
    with pytest.raises(openai.AuthenticationError):
        chat(empty.openai())
    assert empty.requests == 1


def test_a_call_is_charged_and_says_what_it_cost(target):
    if not target.is_farebox:
        pytest.skip("the provider charges nobody")
    skip_unless_built(target, "/v1/chat/completions")
    before = balance(target)
    raw = target.openai().chat.completions.with_raw_response.create(
        model=CHAT_MODEL, messages=[{"role": "user", "content": "[prompt-tokens 40000]"}],
        max_tokens=50,
    )
    assert raw.headers["x-paywall-status"] == "ok"
    assert float(raw.headers["x-paywall-cost"]) > 0
    assert balance(target) < before


def balance(target):
    path = f"/v1/user/balance?user={target.user}"
    return int(target.server.call_as(target.api_key, "GET", path).json()["balance"])
