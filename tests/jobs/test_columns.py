"""Which columns an output has, and what stands in them."""

import pytest

from airflow_provider_bedrock_llm.core.errors import OutputError
from airflow_provider_bedrock_llm.jobs.columns import Columns, Kind, fit, kind_of_schema

POINT = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "integer"}}}


def row_of(**members):
    return {"id": "1", "answer": None, "error": None, "stop_reason": None, "model": None, "region": None} | members


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ({"type": "string"}, "string"),
        ({"enum": ["a", "b"]}, "string"),
        ({"enum": [1, None]}, "integer"),
        ({"enum": [1, "a"]}, "json"),
        ({"const": True}, "boolean"),
        ({"type": ["number", "null"]}, "number"),
        ({"type": ["number", "string"]}, "json"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "json"),
        ({"type": "array"}, "json"),
        ({"type": "object"}, "json"),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}}, "json"),
        ({}, "json"),
        (True, "json"),
    ],
)
def test_a_schema_tells_the_kind(schema, name):
    assert kind_of_schema({"type": "object", "properties": {"v": schema}}).members["v"].name == name


def test_references_are_followed_and_recursion_ends_in_json_text():
    tree = {
        "type": "object",
        "properties": {"point": {"$ref": "#/$defs/Point"}, "child": {"$ref": "#/$defs/Node"}},
        "$defs": {"Point": POINT, "Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
    }
    members = kind_of_schema(tree).members
    assert {name: kind.name for name, kind in members["point"].members.items()} == {"x": "number", "y": "integer"}
    node, depth = members["child"], 0
    while node.members:
        node, depth = node.members["next"], depth + 1
    assert node.name == "json"
    assert depth < 20


def test_kept_columns_have_the_kind_of_all_their_values():
    columns = Columns(None)
    columns.keep("never")
    for values in ({"n": 1, "m": 1, "t": "a"}, {"n": 2.5, "m": "b", "t": None, "big": 1 << 63}):
        columns.note(row_of(**values))
    kinds = {name: columns.kinds[name].name for name in ("never", "n", "m", "t", "big")}
    assert kinds == {"never": "string", "n": "number", "m": "json", "t": "string", "big": "json"}
    assert columns.flatten(row_of(n=1, m=1, t="a", big=1 << 63))["big"] == str(1 << 63)


def test_names_that_are_taken_get_a_prefix():
    columns = Columns(
        {"type": "object", "properties": {"model": {"type": "string"}, "text": {"type": "string"}, "ok": True}}
    )
    columns.note(row_of(text="t", cost_usd=None))
    assert [name for name in columns.kinds if "model" in name or "text" in name or name == "ok"] == [
        "text",
        "answer_model",
        "answer_text",
        "ok",
        "model",
    ]
    flat = columns.flatten(row_of(text="input", answer={"model": "m", "text": "answer", "ok": {"a": 1}}))
    assert (flat["text"], flat["answer_text"], flat["answer_model"], flat["ok"]) == ("input", "answer", "m", '{"a":1}')


def test_nested_values_are_kept_or_written_as_json():
    columns = Columns({"type": "object", "properties": {"at": POINT}})
    row = row_of(answer={"at": {"x": 1, "y": 2.0}})
    assert columns.flatten(row, nested=True)["at"] == {"x": 1.0, "y": 2}
    assert columns.flatten(row)["at"] == '{"x":1,"y":2.0}'


def test_an_answer_that_is_no_object_is_one_column():
    assert Columns({"type": "integer"}).flatten(row_of(answer=5))["answer"] == 5
    assert Columns(None).flatten(row_of(answer="text"))["answer"] == "text"


def test_a_number_that_does_not_fit_is_an_error_that_names_the_row():
    columns = Columns({"type": "object", "properties": {"n": {"type": "integer"}}})
    with pytest.raises(OutputError, match=r"The row '1' has a value of 'n' that is no 64-bit integer"):
        columns.flatten(row_of(answer={"n": 10**30}))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1.5, Kind("integer")),
        (1, Kind("array", items=Kind("string"))),
        ([], Kind("object", members={})),
    ],
)
def test_what_does_not_fit_is_refused(value, kind):
    with pytest.raises((ValueError, TypeError)):
        fit(value, kind)


def test_half_a_surrogate_pair_is_no_text_and_becomes_a_question_mark():
    assert Columns(None).flatten(row_of(answer="a\ud83d"))["answer"] == "a?"
