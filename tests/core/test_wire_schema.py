"""Schemas as models take them: closed, and with bounds in words where a grammar is compiled."""

import json
from typing import Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.core.schema_repair import repaired
from airflow_provider_bedrock_llm.core.wire_schema import (
    closed_schema,
    compiles_a_grammar,
    grammar_schema,
    takes_forced_tool,
)

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


class Item(BaseModel):
    name: str = Field(min_length=1, description="What was bought")
    minimum: int = Field(ge=1, le=9)


class Order(BaseModel):
    items: list[Item] = Field(max_length=3)
    note: str | None = None
    kind: Literal["new", "old"] = "new"


class Tree(BaseModel):
    children: list["Tree"] = []


class Free(BaseModel):
    counts: dict[str, int]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Pet(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


def words_of(schema):
    """Every keyword that stands where keywords stand."""
    if isinstance(schema, list):
        return set().union(*map(words_of, schema), set())
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for key, value in schema.items():
        inner = value.values() if key in {"properties", "$defs"} else [value]
        found |= set().union(*map(words_of, inner), set())
    return found


def test_bounds_become_words_and_names_stay():
    schema = grammar_schema(Order.model_json_schema())
    item = schema["$defs"]["Item"]
    assert item["properties"]["name"]["description"] == "What was bought (minLength: 1)"
    assert item["properties"]["minimum"]["description"] == "minimum: 1, maximum: 9"
    assert schema["properties"]["items"]["description"] == "maxItems: 3"
    assert not words_of(schema) & {"maximum", "minLength", "maxItems"}
    assert schema["additionalProperties"] is item["additionalProperties"] is False
    assert schema["properties"]["kind"]["default"] == "new"


def test_the_callers_schema_is_not_changed():
    schema = Order.model_json_schema()
    before = json.dumps(schema)
    grammar_schema(schema)
    closed_schema(schema)
    assert json.dumps(schema) == before


def test_alternatives_with_a_discriminator_become_plain_ones():
    pet = grammar_schema(Pet.model_json_schema())["properties"]["pet"]
    assert pet.keys() & {"anyOf", "oneOf", "discriminator"} == {"anyOf"}


@pytest.mark.parametrize("model", [Tree, Free], ids=["recursive", "open"])
def test_what_no_grammar_can_hold_is_said_so(model):
    assert grammar_schema(model.model_json_schema()) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "array", "prefixItems": [{"type": "string"}]}}},
        {"type": "object", "properties": {"me": {"$ref": "#"}}},
    ],
    ids=["any object", "tuple", "itself"],
)
def test_nor_can_it_hold_these(schema):
    assert grammar_schema(schema) is None


@pytest.mark.parametrize("model", [Order, Pet])
def test_what_fits_the_callers_schema_fits_what_is_sent(model):
    values = {
        Order: {"items": [{"name": "a", "minimum": 2}], "note": None, "kind": "old"},
        Pet: {"pet": {"kind": "dog", "tricks": ["sit"]}},
    }
    for schema in (closed_schema(model.model_json_schema()), grammar_schema(model.model_json_schema())):
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(values[model])


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [
        (CLAUDE, True),
        ("anthropic.claude-3-haiku-20240307-v1:0", True),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", True),
        ("qwen.qwen3-32b-v1:0", False),
        ("amazon.nova-lite-v1:0", False),
        ("", False),
    ],
)
def test_who_compiles_a_grammar(model_id, expected):
    assert compiles_a_grammar(model_id) is expected


def sent(schema, model_id, *, native):
    return OutputSchema.of(schema).apply_to({"modelId": model_id, "messages": []}, native=native)


def test_the_way_follows_the_model_and_the_schema():
    assert "outputConfig" in sent(Order, CLAUDE, native=True)
    assert "outputConfig" not in sent(Free, CLAUDE, native=True)
    assert "outputConfig" in sent(Free, "qwen.qwen3-32b-v1:0", native=True)
    assert "outputConfig" not in sent(Order, "amazon.nova-lite-v1:0", native=False)


def test_a_tool_keeps_the_bounds_and_is_not_strict():
    (tool,) = sent(Order, "amazon.nova-lite-v1:0", native=False)["toolConfig"]["tools"]
    schema = tool["toolSpec"]["inputSchema"]["json"]
    assert schema["$defs"]["Item"]["properties"]["minimum"]["maximum"] == 9
    assert "strict" not in tool["toolSpec"]


def test_meta_models_are_not_told_which_tool_to_call():
    llama = "us.meta.llama3-3-70b-instruct-v1:0"
    assert not takes_forced_tool(llama)
    assert "toolChoice" not in sent(Order, llama, native=False)["toolConfig"]
    assert "toolChoice" in sent(Order, "amazon.nova-lite-v1:0", native=False)["toolConfig"]


class Bill(BaseModel):
    items: list[Item]
    first: Item | None = None
    text: str = ""
    either: str | list[str] = ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"items": '[{"name": "a", "minimum": 1}]'}, {"items": [{"name": "a", "minimum": 1}]}),
        ({"items": ['{"name": "a"}']}, {"items": [{"name": "a"}]}),
        ({"items": [], "first": '{"name": "b"}'}, {"items": [], "first": {"name": "b"}}),
        ('{"items": "[]"}', {"items": []}),
        ({"text": "[1]", "either": '["a"]'}, {"text": "[1]", "either": '["a"]'}),
        ({"items": "no list", "unknown": "[1]"}, {"items": "no list", "unknown": "[1]"}),
        ([1], [1]),
        (None, None),
    ],
    ids=["list", "item", "optional reference", "whole", "texts stay", "no JSON", "another shape", "nothing"],
)
def test_json_in_a_text_is_read_where_no_text_may_stand(given, expected):
    assert repaired(given, Bill.model_json_schema(), json.loads) == expected


def test_a_reference_in_a_circle_ends():
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    assert repaired("[1]", schema, json.loads) == "[1]"
