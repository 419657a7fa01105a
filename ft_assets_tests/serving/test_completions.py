"""The rest of OpenAI's interface, with OpenAI's client: plain texts, probabilities, tools, one answer a request."""

import math

import openai
import pytest

from ft_assets_tests.serving.conftest import PROMPT, Api, Installation, recorded


@pytest.fixture(scope="module")
def client(api: Api) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{api.server.url}/v1", api_key="none", max_retries=0)


def test_a_text_is_gone_on_with_as_it_is(client: openai.OpenAI, api: Api, installation: Installation):
    whole = client.completions.create(model="base", prompt="Once upon", max_tokens=8)
    listed = client.completions.create(model="base", prompt=["Once upon"], max_tokens=8)
    assert whole.choices[0].text == listed.choices[0].text
    assert whole.usage is not None and whole.usage.completion_tokens <= 8
    chat = api.ask("base", messages=[{"role": "user", "content": "Once upon"}], max_tokens=8).json()
    assert whole.usage.prompt_tokens < chat["usage"]["prompt_tokens"]  # no template around it
    assert recorded(installation.home, whole.id)["messages"] == [{"role": "user", "content": "Once upon"}]


def test_a_streamed_text_is_the_same_text(client: openai.OpenAI):
    whole = client.completions.create(model="base", prompt="Once upon", max_tokens=8)
    text, usage = "", None
    options = {"include_usage": True}
    for chunk in client.completions.create(
        model="base", prompt="Once upon", max_tokens=8, stream=True, stream_options=options
    ):
        text += "".join(choice.text for choice in chunk.choices)
        usage = chunk.usage or usage
    assert (text, usage) == (whole.choices[0].text, whole.usage)


def test_probabilities_are_told_for_every_token(client: openai.OpenAI):
    ask = {"model": "base", "messages": PROMPT, "max_tokens": 5, "logprobs": True, "top_logprobs": 2}
    answer = client.chat.completions.create(**ask)
    assert answer.usage is not None and answer.choices[0].logprobs is not None
    told = answer.choices[0].logprobs.content or []
    assert len(told) == answer.usage.completion_tokens
    for entry in told:
        assert entry.logprob == pytest.approx(entry.top_logprobs[0].logprob)  # greedy takes the likeliest
        assert sum(math.exp(top.logprob) for top in entry.top_logprobs) <= 1
    streamed = [
        entry
        for chunk in client.chat.completions.create(**ask, stream=True)
        for choice in chunk.choices
        if choice.logprobs
        for entry in choice.logprobs.content or []
    ]
    assert [entry.token for entry in streamed] == [entry.token for entry in told]
    assert [entry.logprob for entry in streamed] == pytest.approx([entry.logprob for entry in told], abs=1e-5)


def test_probabilities_of_a_text(client: openai.OpenAI):
    answer = client.completions.create(model="base", prompt="Once upon", max_tokens=4, logprobs=3)
    told = answer.choices[0].logprobs
    assert told is not None and answer.usage is not None
    assert told.token_logprobs is not None and told.top_logprobs is not None
    assert len(told.token_logprobs) == answer.usage.completion_tokens
    assert told.token_logprobs == [pytest.approx(max(top.values())) for top in told.top_logprobs]
    ask = {"model": "base", "prompt": "Once upon", "max_tokens": 4, "logprobs": 3}
    streamed = [chunk.choices[0].logprobs for chunk in client.completions.create(**ask, stream=True)]
    offsets = [at for each in streamed if each for at in each.text_offset or []]
    assert offsets == told.text_offset
    assert offsets[:2] == [0, len((told.tokens or [""])[0])]


def test_no_probabilities_unless_asked(client: openai.OpenAI):
    assert (
        client.chat.completions.create(model="base", messages=PROMPT, max_tokens=2).choices[0].logprobs
        is None
    )


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_more_than_one_answer_is_refused_with_what_to_do(api: Api, path: str):
    asked = {"messages": PROMPT} if path.startswith("chat") else {"prompt": "x"}
    answer = api.http.post(f"/v1/{path}", json={"model": "base", "n": 2, **asked})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "n"
    assert "one answer a request" in error["message"]


def test_several_prompts_are_refused(api: Api):
    answer = api.http.post("/v1/completions", json={"model": "base", "prompt": ["a", "b"]})
    assert (answer.status_code, answer.json()["error"]["param"][:6]) == (400, "prompt")
    empty = api.http.post("/v1/completions", json={"model": "base", "prompt": ""})
    assert (empty.status_code, empty.json()["error"]["param"]) == (400, "prompt")


def test_tools_are_refused_where_the_template_has_no_place_for_them(api: Api):
    tool = {
        "type": "function",
        "function": {"name": "now", "parameters": {"type": "object", "properties": {}}},
    }
    answer = api.ask("base", tools=[tool])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_tools")
    assert api.ask("base", tools=[tool], tool_choice="none").status_code == 200


def test_tools_are_rendered_through_the_template(installation: Installation):
    import asyncio

    from ft_assets.serving.prompts import Prompts
    from ft_assets.sources.example import Message

    prompts = Prompts(installation.folder, 4096)
    template = prompts._tokenizer.chat_template
    prompts._tokenizer.chat_template = (
        "{% for tool in tools or [] %}{{ tool.function.name }}{% endfor %}" + template
    )
    turns = [Message(role="user", content="hello")]
    plain = asyncio.run(prompts.of_chat(turns))
    tools = [{"type": "function", "function": {"name": "now"}}]
    assert len(asyncio.run(prompts.of_chat(turns, tools))) > len(plain)
    prompts.close()


def test_health(api: Api):
    assert [api.http.get(path).status_code for path in ("/healthz", "/livez", "/readyz")] == [200] * 3
