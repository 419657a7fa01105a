"""The engine against transformers and PEFT themselves."""

import json
from pathlib import Path

import pytest
import torch  # noqa: TID253
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.curation.chat import encode_example, encode_prompt
from ft_assets.errors import BrokenEnvironment, Refused, WrongInput
from ft_assets.evaluation.generation import Engine, Request, Token
from ft_assets_tests.evaluation.conftest import write_adapter

PROMPTS = ["hello", "what is a list?", "x" * 90, "def f(a):\n    return a + 1", "¿qué?", "z"]


def ask(text: str, adapter: str | None = None, tokens: int = 12, **settings: object) -> Request:
    return Request([{"role": "user", "content": text}], adapter, tokens, **settings)  # type: ignore[arg-type]


def peft_answer(base: Path, adapter: Path | None, text: str, tokens: int) -> list[int]:
    """Ids that transformers generates for one prompt alone, with PEFT's ordinary single adapter."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    ids = encode_prompt(AutoTokenizer.from_pretrained(base), [{"role": "user", "content": text}])
    options = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
    answer = model.generate(
        input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), **options
    )
    return answer[0, len(ids) :].tolist()


def token_ids(engine: Engine, requests: list[Request]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in requests]
    for step in engine.decode(requests):
        for token in step:
            found[token.request_index].append(token.token_id)
    return found


def test_each_row_of_a_mixed_batch_answers_as_it_would_alone(
    engine: Engine, tiny_base: Path, tiny_adapters: dict[str, Path]
) -> None:
    names = [None, "one", "two", "one", None, "two"]
    mixed = token_ids(engine, [ask(text, name) for text, name in zip(PROMPTS, names, strict=True)])
    alone = [
        peft_answer(tiny_base, tiny_adapters[name] if name else None, text, 12)
        for text, name in zip(PROMPTS, names, strict=True)
    ]
    assert mixed == alone
    assert len({tuple(ids) for ids in mixed}) > 3, "the arms must differ, else this test shows nothing"


def test_base_rows_are_untouched_by_adapters_in_memory(engine: Engine, tiny_base: Path) -> None:
    bare = Engine.load(tiny_base, "cpu")
    requests = [ask(text) for text in PROMPTS]
    assert engine.generate(requests) == bare.generate(requests)


def test_scores_equal_those_of_a_plain_forward(
    engine: Engine, tiny_base: Path, tiny_adapters: dict[str, Path]
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    rows = [
        conversation(text, answer) for text, answer in zip(PROMPTS, [*PROMPTS[1:], "y" * 80], strict=True)
    ]
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32).eval()
    for name in (None, "one"):
        plain = model if name is None else PeftModel.from_pretrained(model, tiny_adapters[name]).eval()
        for turns, (nats, tokens) in zip(rows, engine.score(rows, name), strict=True):
            ids, mask = encode_example(engine.tokenizer, turns)
            with torch.no_grad():
                chances = plain(torch.tensor([ids])).logits[0].log_softmax(-1)
            wanted = [-chances[at - 1, ids[at]].item() for at in range(len(ids)) if mask[at]]
            assert tokens == len(wanted)
            assert nats == pytest.approx(sum(wanted), rel=1e-5)


def test_examining_equals_scoring_and_generating_apart(engine: Engine) -> None:
    rows = [conversation(text, text[::-1]) for text in PROMPTS]
    for adapter in (None, "two"):
        examined = engine.examine(rows, adapter, 10)
        assert [(pytest.approx(one.nats, rel=1e-6), one.tokens) for one in examined] == engine.score(
            rows, adapter
        )
        assert [one.answer for one in examined] == engine.generate(
            [ask(text, adapter, 10) for text in PROMPTS]
        )


def test_each_request_keeps_its_own_limit(engine: Engine) -> None:
    answers = engine.generate(
        [ask(text, "one", limit) for text, limit in zip(PROMPTS, range(1, 7), strict=True)]
    )
    for answer, limit in zip(answers, range(1, 7), strict=True):
        assert answer.answer_tokens == limit if answer.finish == "length" else answer.answer_tokens <= limit


def test_the_end_token_ends_an_answer_and_is_not_text(engine: Engine) -> None:
    first = token_ids(engine, [ask("hello", "one")])[0]
    at = first.index(first[3])
    ends, engine._ends = engine._ends, frozenset({first[3]})
    try:
        steps = [token for step in engine.decode([ask("hello", "one")]) for token in step]
        assert [token.token_id for token in steps] == first[: at + 1]
        assert steps[-1].finish == "stop"
        whole = engine.tokenizer.decode(first[:at], skip_special_tokens=True)
        assert "".join(token.text for token in steps) == whole.rstrip("\ufffd")
    finally:
        engine._ends = ends


def test_a_stop_string_ends_an_answer_before_it(engine: Engine) -> None:
    whole = engine.generate([ask("z", "two", 40)])[0].text
    stop = whole[5:8]
    answer = engine.generate([ask("z", "two", 40, stop=("never there", stop))])[0]
    assert answer.text == whole[: whole.index(stop)]
    assert answer.finish == "stop"


def test_a_cancelled_request_leaves_and_the_others_go_on(engine: Engine) -> None:
    seen: list[Token] = []
    alone = engine.generate([ask("z", "two", 12)])[0]

    def cancelled(index: int) -> bool:
        return index == 0 and len(seen) >= 4

    for step in engine.decode([ask("hello", "one"), ask("z", "two")], cancelled):
        seen += step
    assert sum(token.request_index == 0 for token in seen) == 2
    assert "".join(token.text for token in seen if token.request_index == 1) == alone.text
    assert list(engine.decode([ask("hello")], lambda index: True)) == []


def test_sampling_is_repeatable_by_seed_whatever_else_is_in_the_batch(engine: Engine) -> None:
    def sampled(seed: int | None, *others: Request) -> str:
        return engine.generate([ask("hello", "one", 12, temperature=1.5, top_p=0.9, seed=seed), *others])[
            0
        ].text

    assert sampled(7) == sampled(7, ask("z"), ask("what?", "two", temperature=1.0))
    assert len({sampled(seed) for seed in range(6)}) > 3
    assert len({sampled(None) for _ in range(6)}) > 3


def test_tiny_nucleus_and_zero_temperature_are_greedy(engine: Engine) -> None:
    greedy = engine.generate([ask("hello", "one")])
    assert engine.generate([ask("hello", "one", temperature=1.0, top_p=1e-9)]) == greedy
    assert engine.generate([ask("hello", "one", temperature=5e-324)]) == greedy, "the least above 0"


def test_adapters_come_and_go_while_a_decode_is_suspended(
    tiny_base: Path, tiny_adapters: dict[str, Path]
) -> None:
    engine = Engine.load(tiny_base, "cpu")
    whole = engine.generate([ask("hello")])[0].text
    steps = engine.decode([ask("hello")])
    text = "".join(token.text for token in next(steps))
    engine.add_adapter("models@12.3", tiny_adapters["one"])
    text += "".join(token.text for token in next(steps))
    engine.add_adapter("two", tiny_adapters["two"])
    engine.drop_adapter("models@12.3")
    text += "".join(token.text for step in steps for token in step)
    assert text == whole
    assert engine.adapters == ["two"]
    engine.drop_adapter("two")
    assert engine.generate([ask("hello")])[0].text == whole


def test_a_name_used_again_means_the_new_adapter(tiny_base: Path, tiny_adapters: dict[str, Path]) -> None:
    engine = Engine.load(tiny_base, "cpu")
    engine.add_adapter("x", tiny_adapters["one"])
    engine.add_adapter("x", tiny_adapters["one"])
    one = engine.generate([ask("hello", "x")])
    with pytest.raises(WrongInput, match="taken"):
        engine.add_adapter("x", tiny_adapters["two"])
    engine.drop_adapter("x")
    engine.add_adapter("x", tiny_adapters["two"])
    assert engine.generate([ask("hello", "x")]) != one


def test_an_adapter_in_use_is_not_dropped(tiny_base: Path, tiny_adapters: dict[str, Path]) -> None:
    engine = Engine.load(tiny_base, "cpu")
    engine.add_adapter("one", tiny_adapters["one"])
    steps = engine.decode([ask("hello", "one")])
    next(steps)
    with pytest.raises(Refused, match="answering"):
        engine.drop_adapter("one")
    steps.close()  # the client went away
    engine.drop_adapter("one")
    with pytest.raises(WrongInput, match="not loaded"):
        engine.generate([ask("hello", "one")])


def test_an_adapter_of_another_base_is_refused_and_leaves_nothing_behind(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(tiny_adapters["one"] / "adapter_model.safetensors")
    folder = tmp_path / "short"
    folder.mkdir()
    (folder / "adapter_config.json").write_bytes((tiny_adapters["one"] / "adapter_config.json").read_bytes())
    engine = Engine.load(tiny_base, "cpu")
    whole = engine.generate([ask("hello")])
    with pytest.raises(BrokenEnvironment, match=r"no adapter_model\.safetensors"):
        engine.add_adapter("short", folder)
    first = sorted(weights)[0]
    for wrong in (
        {name: weight for name, weight in weights.items() if name != first},
        {**weights, first: torch.zeros(3, 3)},
        {**weights, first.replace("layers.0", "layers.77"): weights[first].clone()},
    ):
        save_file(wrong, folder / "adapter_model.safetensors")
        with pytest.raises(Refused, match="does not fit"):
            engine.add_adapter("short", folder)
    assert engine.adapters == []
    assert engine.generate([ask("hello")]) == whole
    engine.add_adapter("one", tiny_adapters["one"])


@pytest.mark.parametrize(
    "wanted",
    [
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [5, 6]},
        {"bias": "all"},
        {"init_lora_weights": "pissa"},
        {"layer_replication": [(0, 1), (0, 2)]},
        {"alora_invocation_tokens": [5]},
    ],
    ids=lambda wanted: next(iter(wanted)),
)
def test_an_adapter_that_would_change_the_others_is_refused(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path, wanted: dict[str, object]
) -> None:
    folder = write_adapter(tiny_base, tmp_path, 4, 0, **wanted)
    engine = Engine.load(tiny_base, "cpu")
    engine.add_adapter("one", tiny_adapters["one"])
    asked = [ask("hello"), ask("hello", "one")]
    before = engine.generate(asked)
    with pytest.raises(Refused, match=f"share it, which {next(iter(wanted))} does not allow"):
        engine.add_adapter("other", folder)
    assert engine.generate(asked) == before


def test_an_adapter_that_is_no_lora_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    from peft import IA3Config, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    get_peft_model(model, IA3Config(task_type="CAUSAL_LM")).save_pretrained(tmp_path)
    with pytest.raises(Refused, match="only LoRA adapters share a base"):
        Engine.load(tiny_base, "cpu").add_adapter("other", tmp_path)


def test_dora_of_the_embeddings_is_refused_as_no_batch_could_hold_it(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = write_adapter(tiny_base, tmp_path, 4, 0, use_dora=True, target_modules=["embed_tokens"])
    engine = Engine.load(tiny_base, "cpu")
    engine.add_adapter("one", tiny_adapters["one"])
    before = engine.generate([ask("hello"), ask("hello", "one")])
    with pytest.raises(Refused, match="knows no batch of several adapters"):
        engine.add_adapter("other", folder)
    assert engine.generate([ask("hello"), ask("hello", "one")]) == before


def test_an_adapter_that_fails_half_way_is_in_the_way_of_no_other(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    settings = json.loads((tiny_adapters["one"] / "adapter_config.json").read_bytes())
    settings["target_modules"] = ["q_proj", "input_layernorm"]  # PEFT fails at the second
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    (tmp_path / "adapter_model.safetensors").write_bytes(
        (tiny_adapters["one"] / "adapter_model.safetensors").read_bytes()
    )
    engine = Engine.load(tiny_base, "cpu")
    with pytest.raises(Refused):
        engine.add_adapter("wrong", tmp_path)
    engine.add_adapter("one", tiny_adapters["one"])
    engine.drop_adapter("one")
    engine.add_adapter("two", tiny_adapters["two"])
    assert engine.generate([ask("hello", "two")])


def test_a_pickled_adapter_is_never_read(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    config = json.loads((tiny_adapters["one"] / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    torch.save({}, tmp_path / "adapter_model.bin")
    with pytest.raises(BrokenEnvironment, match="safetensors"):
        Engine.load(tiny_base, "cpu").add_adapter("pickle", tmp_path)


def test_an_adapter_of_zeros_changes_nothing(tiny_base: Path, tmp_path: Path) -> None:
    engine = Engine.load(tiny_base, "cpu")
    engine.add_adapter("zero", write_adapter(tiny_base, tmp_path, 4, 0, scale=0.0))
    assert token_ids(engine, [ask(text, "zero") for text in PROMPTS]) == token_ids(
        engine, [ask(text) for text in PROMPTS]
    )


def test_a_prompt_that_fills_the_context_is_refused(engine: Engine) -> None:
    with pytest.raises(WrongInput, match="context"):
        engine.generate([ask("hello"), ask("x" * (engine.context + 1))])
    with pytest.raises(WrongInput, match="context"):
        engine.score([conversation("x", "y" * engine.context)])


def test_nothing_asked_nothing_answered(engine: Engine) -> None:
    assert engine.generate([]) == []
    assert engine.score([]) == []
    assert engine.examine([], None, 4) == []


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.text(max_size=30), st.sampled_from([None, "one", "two"])), min_size=1, max_size=5)
)
def test_a_rows_loss_does_not_depend_on_its_batch(engine: Engine, rows: list[tuple[str, str | None]]) -> None:
    for adapter in (None, "one"):
        turns = [conversation(text, text[::-1] + ".") for text, _ in rows]
        together = engine.score(turns, adapter)
        alone = [engine.score([one], adapter)[0] for one in turns]
        assert [nats for nats, _ in together] == pytest.approx([nats for nats, _ in alone], rel=1e-5)


def conversation(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def test_the_second_adapter_of_a_kind_is_loaded_without_peft_and_answers_as_with_it(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    first, second = (write_adapter(tiny_base, tmp_path / str(seed), 4, seed) for seed in (5, 6))
    engine = Engine.load(tiny_base, "cpu")
    engine.add_adapter("first", first)
    with monkeypatch.context() as patch:
        patch.setattr(PeftModel, "load_adapter", None)  # whoever calls it now fails
        engine.add_adapter("second", second)
    together = token_ids(engine, [ask("hello", "first"), ask("hello", "second"), ask("hello")])
    assert together == [peft_answer(tiny_base, folder, "hello", 12) for folder in (first, second, None)]
    engine.drop_adapter("first")
    engine.add_adapter("again", first)
    assert token_ids(engine, [ask("hello", "again")]) == together[:1]


def test_a_request_that_joins_a_running_batch_changes_no_answer(engine: Engine) -> None:
    wanted = [ask("x" * 40, "one"), ask("z", "two"), ask("hello"), ask("hm", "one", 3), ask("y" * 70, "two")]
    alone = [token_ids(engine, [each])[0] for each in wanted]
    decoding = engine.start()
    found: list[list[int]] = [[] for _ in wanted]
    for index, request in enumerate(wanted):
        decoding.join(index, request)
        for _ in range(2):
            for token in decoding.step():
                found[token.request_index].append(token.token_id)
    while step := decoding.step():
        for token in step:
            found[token.request_index].append(token.token_id)
    assert found == alone
    assert len(decoding) == 0


def test_a_request_that_cannot_join_leaves_the_others_alone(engine: Engine) -> None:
    alone = token_ids(engine, [ask("hello", "one")])[0]
    decoding = engine.start()
    decoding.join(0, ask("hello", "one"))
    found = [token.token_id for token in decoding.step()]
    for wrong in (ask("x" * (engine.context + 1)), ask("z", "nobody")):
        with pytest.raises(WrongInput):
            decoding.join(1, wrong)
    while step := decoding.step():
        found += [token.token_id for token in step]
    assert found == alone


def test_probabilities_are_those_of_a_plain_forward(engine: Engine, tiny_base: Path) -> None:
    from transformers import AutoModelForCausalLM

    request = ask("what?", None, 5, logprobs=3)
    tokens = [token for step in engine.decode([request, ask("z", "one")]) for token in step]
    mine = [token for token in tokens if token.request_index == 0]
    assert all(token.odds is None for token in tokens if token.request_index == 1)
    prompt = encode_prompt(engine.tokenizer, request.messages)
    ids = prompt + [token.token_id for token in mine]
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
        values = plain(torch.tensor([ids])).logits[0].log_softmax(-1)
    for at, token in enumerate(mine, len(prompt) - 1):
        best = values[at].topk(3)
        expected = [(token.token_id, values[at, token.token_id].item())]
        expected += zip(best.indices.tolist(), best.values.tolist(), strict=True)
        assert token.odds is not None
        assert [name for name, _ in token.odds] == [name for name, _ in expected]
        assert [value for _, value in token.odds] == pytest.approx([v for _, v in expected], abs=1e-4)


def test_one_broken_adapter_breaks_no_other_answer(tiny_base: Path, tmp_path: Path) -> None:
    engine = Engine.load(tiny_base, "cpu")
    engine.add_adapter("bad", write_adapter(tiny_base, tmp_path, 4, 0, scale=float("inf")))
    alone = engine.generate([ask("z", temperature=1.0, seed=1)])[0].text
    steps = engine.decode([ask("z", temperature=1.0, seed=1), ask("z", "bad", temperature=1.0)])
    tokens = [token for step in steps for token in step]
    assert {token.broken for token in tokens if token.request_index == 1} == {True}
    assert "".join(token.text for token in tokens if token.request_index == 0) == alone
