"""The published `anthropic` client against the fake provider and against a paywall before it."""

import anthropic
import pytest
from llm import MESSAGE_MODEL, skip_unless_built

WEATHER = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
def client(target):
    skip_unless_built(target, "/v1/messages")
    return target.anthropic()


def options(prompt, **more):
    messages = [{"role": "user", "content": prompt}]
    return {"model": MESSAGE_MODEL, "messages": messages, "max_tokens": 100, **more}


def test_a_message_is_answered_with_its_usage(client):
    answer = client.messages.create(**options("Say it [words 3] [cached 2]"))
    assert answer.content[0].text == "amber birch cedar"
    assert (answer.stop_reason, answer.model) == ("end_turn", MESSAGE_MODEL)
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (4, 2, 3)


def test_a_cap_ends_the_message(client):
    answer = client.messages.create(**options("Go on", max_tokens=4))
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 4)


def test_a_stream_says_what_the_plain_answer_says(client):
    plain = client.messages.create(**options("Hello [words 20]")).content[0].text
    for way in ("", "[gap 1]", "[odd-framing]", "[multi-line]"):
        with client.messages.stream(**options(f"{way} Hello [words 20]")) as stream:
            said = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert said == plain, way
        assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 20)


def test_events_keep_their_order(client):
    events = client.messages.create(**options("Hello [words 1]", stream=True))
    kinds = [event.type for event in events if event.type != "ping"]
    assert kinds == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]


def test_a_tool_is_called_plain_and_streamed(client):
    asked = options("[tool] Weather?", tools=[WEATHER])
    answer = client.messages.create(**asked)
    assert answer.stop_reason == "tool_use"
    assert (answer.content[0].name, answer.content[0].input) == ("weather", {"city": "Paris"})
    with client.messages.stream(**asked) as stream:
        assert stream.get_final_message().content[0].input == {"city": "Paris"}


def test_tokens_are_counted_without_an_answer(target):
    skip_unless_built(target, "/v1/messages/count_tokens")
    asked = options("one two three")
    del asked["max_tokens"]
    counted = target.anthropic().messages.count_tokens(**asked)
    assert counted.input_tokens == 3


def test_a_providers_refusal_of_the_request_arrives_unchanged(client):
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(**options("[status 400]"))
    assert "The prompt asked for this error" in str(refused.value)


def test_models_are_listed(target):
    skip_unless_built(target, "/v1/chat/completions")
    models = list(target.anthropic().models.list())
    assert MESSAGE_MODEL in [model.id for model in models]
