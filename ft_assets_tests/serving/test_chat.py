"""The chat endpoint of a real server: OpenAI's client, addresses, streams, batches, limits."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
import sqlalchemy as sa

from ft_assets.storage.tables import interactions
from ft_assets_tests.serving.conftest import PROMPT, Api, Installation, recorded, until
from ft_assets_tests.serving.factory import promote


@pytest.fixture(scope="module")
def client(api: Api) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{api.server.url}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def addresses(api: Api, installation: Installation) -> list[str]:
    names = installation.release("chat", 3)
    promote(installation.home, "chat", names[0])
    until(lambda: (api.model("chat") or {}).get("champion") == names[0])
    return names


def test_the_openai_client_gets_an_answer_that_names_its_adapter(
    client: openai.OpenAI, addresses: list[str], installation: Installation
):
    raw = client.chat.completions.with_raw_response.create(
        model="chat",
        messages=PROMPT,
        max_completion_tokens=7,
        temperature=0,
        user="ann",
        extra_headers={"x-ft-slice": "json"},
    )
    answer = raw.parse()
    assert answer.model == raw.headers["x-ft-adapter"] == addresses[0]
    assert answer.id == raw.headers["x-ft-inference-id"]
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 7
    assert answer.choices[0].finish_reason in ("stop", "length")
    row = recorded(installation.home, answer.id)
    assert (row["model"], row["address"], row["slice"]) == ("chat", addresses[0], "json")
    assert (row["answer"], row["messages"]) == (answer.choices[0].message.content, PROMPT)
    assert (row["prompt_tokens"], row["answer_tokens"]) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert row["error"] is None and row["rollout"] is None and row["latency_ms"] > 0


def test_a_stream_has_the_same_text_and_is_recorded_before_it_ends(
    client: openai.OpenAI, addresses: list[str], installation: Installation
):
    whole = client.chat.completions.create(model="chat", messages=PROMPT, max_tokens=9, temperature=0)
    stream = client.chat.completions.create(
        model="chat", messages=PROMPT, max_tokens=9, stream=True, stream_options={"include_usage": True}
    )
    text, usage = "", None
    for chunk in stream:
        assert chunk.model == addresses[0]
        if chunk.choices and chunk.choices[0].finish_reason:
            assert recorded(installation.home, chunk.id)["answer"] == text
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    assert text == whole.choices[0].message.content
    assert usage == whole.usage


def test_users_are_never_stored_in_clear(api: Api, installation: Installation, addresses: list[str]):
    names = {"ann@example.org": api.ask("chat", user="ann@example.org")}
    names["bob@example.org"] = api.http.post(
        "/v1/chat/completions",
        json={"model": "chat", "messages": PROMPT, "max_tokens": 1},
        headers={"x-ft-user": "bob@example.org"},
    )
    for user, answer in names.items():
        row = recorded(installation.home, answer.json()["id"])
        assert len(row["user"]) == 64
        assert user not in json.dumps(row, default=str)
        assert user not in api.server.log.read_text()
    assert api.ask("chat").headers["x-ft-inference-id"] != ""


def test_an_address_pins_a_release_and_base_is_the_bare_base(api: Api, addresses: list[str]):
    for name in [*addresses, "base"]:
        answer = api.ask(name)
        assert answer.headers["x-ft-adapter"] == answer.json()["model"] == name
    texts = {
        api.ask(name, max_tokens=12).json()["choices"][0]["message"]["content"]
        for name in [*addresses, "base"]
    }
    assert len(texts) == 4


def test_an_unknown_model_is_answered_with_those_that_exist(client: openai.OpenAI, addresses: list[str]):
    with pytest.raises(openai.NotFoundError) as refusal:
        client.chat.completions.create(model="chat@000000000000", messages=PROMPT)
    assert refusal.value.code == "model_not_found"
    assert all(name in refusal.value.message for name in ["base", "chat", *addresses])


def test_models_lists_base_names_and_addresses(client: openai.OpenAI, addresses: list[str]):
    assert {"base", "chat", *addresses} <= {model.id for model in client.models.list()}
    assert client.models.retrieve(addresses[0]).id == addresses[0]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_adapters_mixed_in_one_batch_answer_as_they_do_alone(api: Api, addresses: list[str]):
    names = [*addresses, "base"] * 3

    def text(asked: tuple[int, str]) -> str:
        number, name = asked
        messages = [{"role": "user", "content": f"Question {'x' * number} number {number}"}]
        answer = api.ask(name, messages=messages, max_tokens=12).json()
        return answer["choices"][0]["message"]["content"]

    alone = [text(asked) for asked in enumerate(names)]
    with ThreadPoolExecutor(len(names)) as pool:
        together = list(pool.map(text, enumerate(names)))
    assert together == alone


def test_the_same_seed_draws_the_same_answer(api: Api, addresses: list[str]):
    def draw(seed: int) -> str:
        answer = api.ask("chat", temperature=1.0, top_p=0.9, seed=seed, max_tokens=20).json()
        return answer["choices"][0]["message"]["content"]

    assert draw(3) == draw(3) != draw(4)


def test_a_stop_text_ends_the_answer_before_it(api: Api):
    whole = api.ask("base", max_tokens=12).json()["choices"][0]["message"]["content"]
    stop = whole[len(whole) // 2]
    choice = api.ask("base", max_tokens=12, stop=stop).json()["choices"][0]
    assert choice["message"]["content"] == whole[: whole.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_a_prompt_that_leaves_no_room_is_refused_with_the_numbers(api: Api):
    answer = api.ask("base", messages=[{"role": "user", "content": "x" * 5_000}])
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "4096" in error["message"]
    assert any(number.isdigit() and int(number) > 5_000 for number in error["message"].split())


def test_an_answer_stops_at_the_end_of_the_context(api: Api):
    room = 20
    prompt = api.ask("base", messages=[{"role": "user", "content": "x" * 4_000}], max_tokens=1).json()[
        "usage"
    ]["prompt_tokens"]
    fill = "x" * (4_000 + 4_096 - prompt - room)
    usage = api.ask("base", messages=[{"role": "user", "content": fill}], max_tokens=1_000).json()["usage"]
    assert usage["total_tokens"] <= 4_096


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"\x00\xff\xfe binary", 400),
        (b'"text"', 400),
        (b"[" * 100_000, 400),
        (b'{"model":' + b'{"a":' * 100_000, 400),
        (b'{"model":"base","messages":[{"role":"user","content":"\\ud800"}]}', 400),
        (b'{"model":"base","messages":[{"role":"user","content":1e999}]}', 400),
        (b'{"model":"base","messages":[{"role":"user","content":"x"}],"seed":' + b"9" * 5_000 + b"}", 400),
        (b'{"model":"base","messages":"' + b"x" * (1 << 20) + b'"}', 413),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback"])
def test_bad_bodies_are_the_callers_fault_and_say_so(api: Api, path: str, content: bytes, status: int):
    answer = api.http.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert len(answer.content) < 2_000


def test_only_json_is_taken(api: Api):
    answer = api.http.post(
        "/v1/chat/completions", content=b"model=base", headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 415


def test_a_slice_name_is_short(api: Api):
    body = {"model": "base", "messages": PROMPT}
    answer = api.http.post("/v1/chat/completions", json=body, headers={"x-ft-slice": "s" * 65})
    assert answer.status_code == 400


def test_a_client_that_leaves_frees_its_place_and_its_answer_is_recorded_as_cut_off(
    api: Api, installation: Installation
):
    body = {
        "model": "base",
        "messages": PROMPT,
        "max_tokens": 4_000,
        "temperature": 1.5,
        "seed": 1,
        "stream": True,
    }
    with (
        httpx.Client(base_url=api.server.url) as leaving,
        leaving.stream("POST", "/v1/chat/completions", json=body) as stream,
    ):
        inference_id = stream.headers["x-ft-inference-id"]
        next(stream.iter_lines())
    row = recorded(installation.home, inference_id)
    assert (row["cancelled"], row["error"]) == (True, None)
    assert row["answer_tokens"] < 4_000
    assert api.ask("base", max_tokens=1).elapsed.total_seconds() < 5


def test_a_client_that_leaves_a_whole_answer_frees_its_place_too(api: Api, installation: Installation):
    body = {
        "model": "base",
        "messages": PROMPT,
        "max_tokens": 4_000,
        "user": "leaver",
    }
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{api.server.url}/v1/chat/completions", json=body, timeout=0.1)
    assert api.ask("base", max_tokens=1).elapsed.total_seconds() < 5
    left = sa.select(interactions).where(interactions.c.cancelled, interactions.c.user.is_not(None))
    until(lambda: len(installation.home.database.rows(left)) >= 1)


def test_metrics_count_by_address(api: Api, addresses: list[str]):
    api.ask(addresses[2])
    metrics = api.http.get("/metrics").text
    assert f'ft_assets_requests_total{{address="{addresses[2]}",status="ok"}}' in metrics
    assert f'ft_assets_latency_seconds_count{{address="{addresses[2]}"}}' in metrics
    assert "ft_assets_loaded_adapters" in metrics
    assert "process_resident_memory_bytes" in metrics
    assert api.http.get("/livez").status_code == api.http.get("/readyz").status_code == 200


def test_nobody_makes_metrics_grow_by_asking_for_paths(api: Api, installation: Installation):
    before = len(api.http.get("/metrics").text)
    for number in range(50):
        assert api.http.get(f"/nothing-{number}").status_code == 404
    told = api.http.get("/metrics").text
    assert "nothing-" not in told and len(told) < before + 1_000
    files = [path for path in installation.home.scratch.rglob("*.db") if "prometheus" in str(path)]
    assert not files, "counted in memory, which no full disk can break"
