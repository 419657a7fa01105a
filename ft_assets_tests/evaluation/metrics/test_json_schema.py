"""JSON that a schema allows, and schemas that are none."""

import http.server
import threading
from typing import Any

import pytest
from pydantic import ValidationError

from ft_assets.evaluation.metrics.json_schema import json_matcher
from ft_assets.recipe_evaluation import Evaluation
from ft_assets_tests.evaluation.metrics.rows import evaluation

TICKET = {
    "type": "object",
    "properties": {
        "priority": {"$ref": "#/$defs/level"},
        "tags": {"type": "array", "prefixItems": [{"const": "a"}]},
    },
    "required": ["priority"],
    "additionalProperties": False,
    "$defs": {"level": {"enum": [1, 2, 3]}},
}


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ('{"priority": 2}', True),
        (' {"priority": 2.0, "tags": ["a", 7]}\n', True),
        ('{"priority": 4}', False),
        ('{"priority": 2, "tags": ["b"]}', False),
        ('{"priority": 2, "more": 1}', False),
        ('{"priority": 2} and that is it', False),
        ('```json\n{"priority": 2}\n```', False),
        ("{'priority': 2}", False),
        ('{"priority": NaN}', False),
        ("[" * 100_000, False),
        ('{"priority": ' + "[" * 3_000 + "]" * 3_000 + "}", False),
        ("9" * 10_000, False),
    ],
)
def test_the_whole_answer_must_be_json_that_the_schema_allows(answer: str, allowed: bool) -> None:
    assert json_matcher(TICKET)(answer) == allowed


@pytest.mark.parametrize("answer", ["1e999", "-1e999", "1e-999", "0", '"\\ud800"'])
def test_numbers_out_of_range_and_odd_text_are_no_crash(answer: str) -> None:
    schema = {"multipleOf": 0.01, "maximum": 5, "pattern": "^a"}
    assert json_matcher(schema)(answer) in (True, False)


def test_a_schema_that_refers_to_itself_for_ever_allows_nothing() -> None:
    assert not json_matcher({"$ref": "#"})("1")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "not a JSON Schema: \\$.type"),
        ({"properties": {"a": {"pattern": "["}}}, "properties.a.pattern"),
        ({"properties": {"a": {"$ref": "#/$defs/missing"}}}, "#/\\$defs/missing"),
        ({"not": {"$ref": "https://example.com/other.json"}}, "nothing is fetched"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "draft 2020-12"),
        ({"$schema": 7}, "draft 2020-12"),
        ("type: object", "valid dictionary"),
    ],
)
def test_a_schema_that_is_wrong_is_refused_by_the_recipe(schema: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        evaluation({"kind": "json_schema", "schema": schema})


def test_a_remote_reference_is_never_fetched() -> None:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        schema = {"$ref": f"http://127.0.0.1:{server.server_port}/schema.json"}
        with pytest.raises(ValidationError, match="nothing is fetched"):
            evaluation({"kind": "json_schema", "schema": schema})
        with pytest.raises(Exception, match="Unresolvable"):  # also where no recipe checked it
            json_matcher(schema)("{}")
        server.shutdown()
    assert asked == []


def test_a_recipe_with_a_schema_can_be_written_and_read_again() -> None:
    found = evaluation({"kind": "json_schema", "schema": TICKET})
    assert Evaluation.model_validate(found.model_dump()) == found
    assert Evaluation.model_validate_json(found.model_dump_json()) == found
