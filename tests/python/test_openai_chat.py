"""The published `openai` client against the fake provider and against a paywall in front of it."""

import json

import httpx2
import openai
import pytest
from llm import CHAT_MODEL, EMBEDDING_MODEL, skip_unless_built

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
def client(target):
    skip_unless_built(target, "/v1/chat/completions")
    return target.openai()


def ask(client, prompt, **options):
    options.setdefault("max_tokens", 100)
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model=CHAT_MODEL, messages=messages, **options)


def test_a_chat_is_answered_with_its_usage(client):
    answer = ask(client, "Say it [words 3]")
    assert answer.choices[0].message.content == "amber birch cedar"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == CHAT_MODEL
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (4, 3, 7)


def test_details_of_usage_arrive(client):
    answer = ask(client, "a b c [cached 2] [reasoning 5] [words 3]")
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    assert answer.usage.completion_tokens_details.reasoning_tokens == 5
    assert answer.usage.completion_tokens == 8


def test_a_cap_ends_the_answer_with_length(client):
    for field in ("max_tokens", "max_completion_tokens"):
        messages = [{"role": "user", "content": "Go on"}]
        answer = client.chat.completions.create(
            model=CHAT_MODEL, messages=messages, **{field: 4}
        )
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 4


def test_a_stream_says_what_the_plain_answer_says(client):
    plain = ask(client, "Hello [words 20]").choices[0].message.content
    for way in ("", "[gap 1]", "[odd-framing]", "[multi-line]"):
        chunks = list(ask(client, f"{way} Hello [words 20]", stream=True))
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert said == plain, way
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert all(chunk.usage is None for chunk in chunks), "nobody asked for the usage"


def test_usage_comes_last_in_a_stream_that_asks_for_it(client):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(ask(client, "Hello [words 5]", **options))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_emojis_survive_being_split(client):
    chunks = list(ask(client, "[emoji-split] [words 3]", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == (
        "amber🦀 birch🦀 cedar🦀"
    )


def test_a_tool_is_called_plain_and_streamed(client):
    plain = ask(client, "[tool] Weather?", tools=[WEATHER])
    assert plain.choices[0].finish_reason == "tool_calls"
    call = plain.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather", {"city": "Paris"}
    )
    with client.chat.completions.stream(
        model=CHAT_MODEL, messages=[{"role": "user", "content": "[tool] Weather?"}],
        tools=[WEATHER], max_tokens=100,
    ) as stream:
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_json_mode_gives_json(client):
    answer = ask(client, "[words 4]", response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content) == {"answer": "amber birch cedar delta"}
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    answer = ask(client, "Where?", response_format=form)
    assert json.loads(answer.choices[0].message.content) == {"city": "Paris"}


def test_several_choices_and_parts_of_a_message_are_understood(client):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "What is it? [words 2]"}, image]
    answer = client.chat.completions.create(
        model=CHAT_MODEL, messages=[{"role": "user", "content": parts}], n=2, max_tokens=50
    )
    assert [choice.message.content for choice in answer.choices] == ["amber birch"] * 2
    assert answer.usage.completion_tokens == 4


def test_a_providers_refusal_of_the_request_arrives_unchanged(client):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, "[status 400]")
    assert "The prompt asked for this error" in str(refused.value)


def test_a_stream_that_dies_is_not_taken_for_a_whole_one(client):
    with pytest.raises((openai.APIError, httpx2.RemoteProtocolError)):
        for chunk in ask(client, "[cut 3] [gap 1]", stream=True):
            assert chunk.choices[0].finish_reason != "stop"


def test_embeddings_are_read_and_counted(target):
    skip_unless_built(target, "/v1/embeddings")
    client = target.openai()
    answer = client.embeddings.create(model=EMBEDDING_MODEL, input=["one two", "three"])
    assert [row.index for row in answer.data] == [0, 1]
    assert answer.data[0].embedding[:2] == [0.125, -0.5]
    assert answer.usage.prompt_tokens == 3


def test_models_are_listed(client):
    models = list(client.models.list())
    assert CHAT_MODEL in [model.id for model in models]
    assert client.models.retrieve(CHAT_MODEL).id == CHAT_MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")
