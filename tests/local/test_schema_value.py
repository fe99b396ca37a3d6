"""Made-up values conform to their JSON Schema, whatever the schema and the text."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from airflow_provider_bedrock_llm.local.pattern_value import text_matching
from airflow_provider_bedrock_llm.local.schema_value import UnusableSchemaError, generate_value

NAMES = st.sampled_from(["sentiment", "score", "confidence", "summary", "topics", "is_positive", "rating", "id", "x"])
WORDS = st.sampled_from(["positive", "negative", "neutral", "mixed", "a", "b", "other"])
FORMATS = st.sampled_from(["date", "date-time", "time", "email", "uri", "uuid", "ipv4"])
PATTERNS = st.sampled_from([r"^[A-Z]{3}-\d{4}$", r"^(foo|bar)+$", r"\w+@\w+\.com", r"^[^a-z]{2,5}$", r"^a?b*c+$"])


def bounded(low_key, high_key, values):
    return st.tuples(values, values).map(lambda pair: {low_key: min(pair), high_key: max(pair)})


def merged(*parts):
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


def maybe(strategy):
    return st.one_of(st.just({}), strategy)


STRINGS = st.one_of(
    merged(st.just({"type": "string"}), maybe(bounded("minLength", "maxLength", st.integers(0, 30)))),
    merged(st.just({"type": "string"}), FORMATS.map(lambda name: {"format": name})),
    PATTERNS.map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.lists(WORDS, min_size=1, unique=True).map(lambda options: {"type": "string", "enum": options}),
)
NUMBERS = st.one_of(
    merged(st.just({"type": "integer"}), maybe(bounded("minimum", "maximum", st.integers(-50, 50)))),
    merged(st.just({"type": "number"}), maybe(bounded("minimum", "maximum", st.floats(-5, 5, allow_nan=False)))),
    st.integers(-9, 9).map(lambda low: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 1}),
    st.sampled_from([2, 5, 10]).map(lambda step: {"type": "integer", "multipleOf": step, "minimum": 3, "maximum": 40}),
)
LEAVES = st.one_of(
    STRINGS,
    NUMBERS,
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({"const": {"a": [1, None]}}),
    st.just({"type": ["null", "string"]}),
)


def objects(inner):
    def build(found):
        properties, closed = found
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[::2],
            **({"additionalProperties": False} if closed else {}),
        }

    return st.tuples(st.dictionaries(NAMES, inner, max_size=5), st.booleans()).map(build)


def arrays(inner):
    return merged(
        inner.map(lambda item: {"type": "array", "items": item}),
        maybe(bounded("minItems", "maxItems", st.integers(0, 4))),
    )


def combined(inner):
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        inner.map(lambda one: {"allOf": [one, {"description": "both"}]}),
        inner.map(lambda one: {"oneOf": [one, {"const": "never this"}]}),
    )


SCHEMAS = st.recursive(LEAVES, lambda inner: st.one_of(objects(inner), arrays(inner), combined(inner)), max_leaves=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schema=SCHEMAS, text=st.text(max_size=60))
def test_a_value_conforms_to_its_schema(schema, text):
    value = generate_value(schema, text)
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)
    assert value == generate_value(schema, text)


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "children"],
            "additionalProperties": False,
        }
    },
}
PYDANTIC_LIKE = {
    "type": "object",
    "properties": {
        "label": {"$ref": "#/$defs/Label"},
        "note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "minItems": 2},
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "items": False,
            "minItems": 2,
        },
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    },
    "required": ["label", "note", "tags", "pair", "counts"],
    "$defs": {"Label": {"enum": ["good", "bad"], "type": "string"}},
}
CONDITIONAL = {
    "type": "object",
    "properties": {"kind": {"enum": ["a", "b"]}, "size": {"type": "integer"}},
    "required": ["kind"],
    "if": {"properties": {"kind": {"const": "a"}}},
    "then": {"required": ["size"]},
    "not": {"properties": {"size": {"const": 3}}, "required": ["size"]},
}
SHAPED = [
    TREE,
    PYDANTIC_LIKE,
    CONDITIONAL,
    True,
    {},
    {"properties": {"a": {"minLength": 3}}, "required": ["a", "undeclared"]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"type": "number", "maximum": 3.5}]},
    {"enum": [1, 2, 3], "minimum": 3},
    {"$defs": {"n": {"type": "number", "minimum": 2}}, "anyOf": [{"$ref": "#/$defs/n", "maximum": 2}]},
]


@pytest.mark.parametrize("schema", SHAPED)
@pytest.mark.parametrize("text", ["", "I love it", "awful"])
def test_schemas_of_everyday_use_are_met(schema, text):
    Draft202012Validator(schema).validate(generate_value(schema, text))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "nonsense"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/none"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "string", "pattern": "("},
        {
            "$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}},
            "$ref": "#/$defs/n",
        },
    ],
)
def test_a_schema_that_nothing_meets_is_said_to_be_so(schema):
    with pytest.raises(UnusableSchemaError):
        generate_value(schema, "x")


@pytest.mark.parametrize(
    "pattern", [r"^\d{3,}$", r"[^\W_]+", r"(a|b)\1", r"^\S+\s\S+$", r"x{0,2}y", "", r"^[\d\-]{4}$"]
)
def test_a_text_is_found_by_its_pattern(pattern):
    for seed in range(20):
        assert re.search(pattern, text_matching(pattern, random.Random(seed)))


REVIEW = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": ["positive", "negative", "neutral"]},
        "score": {"type": "number", "minimum": -1, "maximum": 1},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "topics": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["sentiment", "score", "stars", "topics"],
}


@pytest.mark.parametrize(
    ("review", "label"),
    [
        ("I love this phone, great battery and excellent screen", "positive"),
        ("Terrible. It broke after a week and the battery is awful", "negative"),
        ("It is not good, and never works", "negative"),
        ("It is a phone with a battery", "neutral"),
    ],
)
def test_a_schema_about_sentiment_follows_the_text(review, label):
    value = generate_value(REVIEW, f"Rate this review as positive, negative or neutral.\n<review>{review}</review>")
    assert value["sentiment"] == label
    wanted = {
        "positive": value["score"] > 0 and value["stars"] > 3,
        "negative": value["score"] < 0 and value["stars"] < 3,
    }
    assert wanted.get(label, value["score"] == 0 and value["stars"] == 3)
