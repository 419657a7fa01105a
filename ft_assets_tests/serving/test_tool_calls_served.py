"""Tool calls as OpenAI's client sees them, by a tiny base that was trained to make them."""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import sqlalchemy as sa

from ft_assets.bases.tiny_base import CHAT_TEMPLATE, END, write_tiny_base
from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions
from ft_assets_tests.serving.conftest import until
from ft_assets_tests.serving.inprocess import served, whole_application

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("weather", "now")]
TEMPLATE = "{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}" + CHAT_TEMPLATE
CALLS = """Let me look.
<tool_call>
{"name": "weather", "arguments": {"city": "Oslo"}}
</tool_call>
<tool_call>
{"name": "now"}
</tool_call>"""
ANSWERS = {
    "tags": CALLS,
    "json": '{"name": "weather", "parameters": {"city": "Bergen"}}',
    "text": "A <tool_box> is {no} call.",
    "other": '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
}


def write_trained_base(folder: Path) -> None:
    """The tiny base, trained until it gives each of the answers to its prompt, with a template that has tools."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ft_assets.curation.chat import encode_prompt

    write_tiny_base(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    rows = []
    for question, answer in ANSWERS.items():
        prompt = encode_prompt(tokenizer, [{"role": "user", "content": question}], TOOLS)
        ids = tokenizer(answer + END, add_special_tokens=False)["input_ids"]
        rows.append((torch.tensor([prompt + ids]), torch.tensor([[-100] * len(prompt) + ids])))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(300):
        loss = torch.stack([model(input_ids=ids, labels=labels).loss for ids, labels in rows]).max()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.003:
            break
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("calls") / "home")


@pytest.fixture(scope="module")
def client(home: Home) -> Iterator[openai.OpenAI]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FT_ASSETS_BASE", home.artifacts.write("bases", write_trained_base))
        with served(whole_application(home)) as port:
            yield openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)


def ask(client: openai.OpenAI, question: str, **more: object):
    turns = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="base", messages=turns, tools=TOOLS, max_tokens=200, **more)


def told(answer) -> tuple[str | None, list[tuple[str, object]]]:
    message = answer.choices[0].message
    calls = message.tool_calls or []
    assert all(call.type == "function" and call.id.startswith("call_") for call in calls)
    assert len({call.id for call in calls}) == len(calls)
    return message.content, [(call.function.name, json.loads(call.function.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("question", "content", "calls", "finish"),
    [
        ("tags", "Let me look.", [("weather", {"city": "Oslo"}), ("now", {})], "tool_calls"),
        ("json", None, [("weather", {"city": "Bergen"})], "tool_calls"),
        ("text", ANSWERS["text"], [], "stop"),
        ("other", ANSWERS["other"], [], "stop"),
    ],
)
def test_whole_and_streamed_the_client_gets_the_calls(
    client: openai.OpenAI, home: Home, question: str, content: str | None, calls: list, finish: str
):
    whole = ask(client, question)
    assert (told(whole), whole.choices[0].finish_reason) == ((content, calls), finish)
    turns = [{"role": "user", "content": question}]
    with client.chat.completions.stream(model="base", messages=turns, tools=TOOLS, max_tokens=200) as stream:
        streamed = stream.until_done().get_final_completion()
    assert (told(streamed)[1], streamed.choices[0].finish_reason) == (calls, finish)
    assert (streamed.choices[0].message.content or None) == content
    row = sa.select(interactions.c.answer).where(interactions.c.inference_id == streamed.id)
    until(lambda: home.database.row(row))
    assert home.database.row(row) == {"answer": ANSWERS[question]}  # the raw text, for curation to learn from


def test_a_stream_gives_text_at_once_and_calls_in_openais_shape(client: openai.OpenAI):
    deltas = [chunk.choices[0].delta for chunk in ask(client, "tags", stream=True)]
    texts = [delta.content for delta in deltas if delta.content]
    assert len(texts) > 5 and "".join(texts) == "Let me look."
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    assert [(call.index, call.function and call.function.name) for call in calls] == [
        (0, "weather"),
        (1, "now"),
    ]


def test_an_answer_that_is_cut_off_says_so_even_after_a_call(client: openai.OpenAI):
    cut = ask(client, "tags", max_completion_tokens=100)
    assert told(cut) == (
        "Let me look.\n<tool_call>",
        [("weather", {"city": "Oslo"})],
    )  # the second call was begun
    assert cut.choices[0].finish_reason == "length"


def test_every_token_of_a_call_has_its_probability(client: openai.OpenAI):
    whole = ask(client, "json", logprobs=True)
    chunks = list(ask(client, "json", logprobs=True, stream=True))
    streamed = [
        entry for chunk in chunks if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content
    ]
    assert [entry.token for entry in whole.choices[0].logprobs.content] == [entry.token for entry in streamed]
    assert len(streamed) == whole.usage.completion_tokens


def test_no_calls_are_read_where_none_were_offered(client: openai.OpenAI):
    turns = [{"role": "user", "content": "x"}]
    answer = client.chat.completions.create(model="base", messages=turns, max_tokens=3)
    assert answer.choices[0].message.tool_calls is None
    assert "tool_calls" not in answer.choices[0].message.model_fields_set


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "now"}}])
def test_a_call_cannot_be_forced(client: openai.OpenAI, choice: object):
    with pytest.raises(openai.BadRequestError, match="cannot be forced") as refusal:
        ask(client, "tags", tool_choice=choice)
    assert refusal.value.param == "tool_choice"
