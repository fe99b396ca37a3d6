"""A schema is refused before anything is paid, asked for as Bedrock wants it, and held against each answer."""

import datetime as dt
import enum
import json
import math

import pytest
from harness.answers import response_of
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, RootModel, field_validator

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.schema import OutputSchema, load_object

REVIEW = {
    "type": "object",
    "properties": {"score": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["score"],
}
PARAMS = {"modelId": "m", "messages": []}


class Review(BaseModel):
    """What a review says."""

    score: int
    tags: list[str] = []


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


def check(schema, *blocks, stop_reason="end_turn"):
    return OutputSchema.of(schema).check(response_of(*blocks, stop_reason=stop_reason))


def tool_use(value, name="answer", **more):
    return {"toolUse": {"toolUseId": "t-1", "name": name, "input": value, **more}}


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "objekt"}, "not a JSON Schema"),
        ({"properties": {"a": {"type": 5}}}, "properties.a.type"),
        (5, "int"),
        (["a"], "list"),
        (int, "type"),
        ("package.that.is.not:there", "package.that.is.not:there"),
        ("json:nothing", "json:nothing"),
        ("nodots", "nodots"),
        ({"$ref": "#/$defs/Gone"}, "#/$defs/Gone"),
        ({"type": "object", "properties": {"a": {"items": {"$ref": "#/$defs/Gone"}}}}, "#/$defs/Gone"),
        ({"$ref": "https://example.com/schema.json"}, "https://example.com/schema.json"),
    ],
)
def test_what_is_no_schema_is_refused_before_anything_is_paid(schema, named):
    with pytest.raises(ConfigurationError) as caught:
        OutputSchema.of(schema)
    assert named in str(caught.value)


def test_an_object_is_found_by_its_path():
    assert load_object("json:dumps", "output_schema") is json.dumps
    assert load_object("json.dumps", "output_schema") is json.dumps


def test_a_pydantic_class_brings_its_schema_name_and_description():
    schema = OutputSchema.of(Review)
    assert schema.name == "Review"
    sent = schema.apply_to(PARAMS, native=True)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert sent["name"] == "Review"
    assert sent["description"] == "What a review says."
    assert json.loads(sent["schema"])["additionalProperties"] is False


@pytest.mark.parametrize(
    ("title", "name"), [("My Review!", "My_Review"), ("", "answer"), ("ß" * 9, "answer"), ("a" * 99, "a" * 64)]
)
def test_a_name_fits_what_bedrock_takes_for_a_tool(title, name):
    assert OutputSchema.of({"type": "object", "title": title}).name == name


def test_native_output_keeps_what_else_was_configured():
    params = PARAMS | {"outputConfig": {"effort": "low"}}
    sent = OutputSchema.of(REVIEW).apply_to(params, native=True)
    assert sent["outputConfig"]["effort"] == "low"
    assert params["outputConfig"] == {"effort": "low"}


def test_a_forced_tool_stands_beside_the_callers_tools():
    mine = {"toolSpec": {"name": "mine", "inputSchema": {"json": {"type": "object"}}}}
    params = PARAMS | {"toolConfig": {"tools": [mine]}}
    sent = OutputSchema.of(REVIEW).apply_to(params, native=False)["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in sent["tools"]] == ["mine", "answer"]
    assert sent["toolChoice"] == {"tool": {"name": "answer"}}
    assert params["toolConfig"]["tools"] == [mine]


def closed(schema):
    return json.loads(
        OutputSchema.of(schema).apply_to(PARAMS, native=True)["outputConfig"]["textFormat"]["structure"]["jsonSchema"][
            "schema"
        ]
    )


def test_objects_are_closed_at_every_depth_as_bedrock_asks():
    inner = {"type": "object", "properties": {"x": {"type": "string"}}}
    schema = {
        "type": "object",
        "properties": {
            "one": inner,
            "many": {"type": "array", "items": inner},
            "maybe": {"anyOf": [inner, {"type": "null"}]},
            "nullable": {"type": ["object", "null"], "properties": {}},
            "properties": inner,
            "ref": {"$ref": "#/$defs/Inner"},
        },
        "$defs": {"Inner": inner},
    }
    found = closed(schema)
    shut = inner | {"additionalProperties": False}
    assert found["additionalProperties"] is False
    assert found["properties"]["one"] == shut
    assert found["properties"]["many"]["items"] == shut
    assert found["properties"]["maybe"]["anyOf"][0] == shut
    assert found["properties"]["nullable"]["additionalProperties"] is False
    assert found["properties"]["properties"] == shut
    assert found["$defs"]["Inner"] == shut
    assert "additionalProperties" not in inner


def test_an_object_that_is_open_on_purpose_and_literals_stay_as_they_are():
    literal = {"type": "object", "properties": {}}
    schema = {
        "type": "object",
        "properties": {"a": {"type": "object", "additionalProperties": {"type": "integer"}}, "b": {"const": literal}},
    }
    found = closed(schema)["properties"]
    assert found["a"]["additionalProperties"] == {"type": "integer"}
    assert found["b"]["const"] == literal


@pytest.mark.parametrize(
    "text", ['{"score": 3}', ' {"score": 3}\n', '```json\n{"score": 3}\n```', '```\n{"score": 3}```', '{"score": 3.0}']
)
def test_a_value_is_found_in_text_and_in_a_fence(text):
    assert check(REVIEW, {"text": text}).value == {"score": 3}


def test_a_value_may_be_spread_over_text_blocks():
    assert check(REVIEW, {"text": '{"sco'}, {"text": 're": 3}'}).value == {"score": 3}


def test_a_value_is_found_in_the_tool_and_nowhere_else():
    assert check(REVIEW, {"text": "Here you are."}, tool_use({"score": 3})).value == {"score": 3}
    assert check(REVIEW, tool_use({"score": 3}, "another_tool")).error == "the answer has no text"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("I think it is good.", "not JSON"),
        ("", "not JSON"),
        ('{"score": "3"}', "score"),
        ('{"score": "3"}', "'type'"),
        ('{"score": "3"}', "integer"),
        ("{}", "score"),
        ("[]", "object"),
        ('{"score": 3, "tags": [1]}', "tags.0"),
        ('{"score": NaN}', "NaN"),
        ('{"score": Infinity}', "Infinity"),
        ('{"score": ' + "9" * 5000 + "}", "digits"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_an_answer_that_does_not_fit_is_rejected_with_a_reason(text, named):
    verdict = check(REVIEW, {"text": text})
    assert named in verdict.error
    assert verdict.ask_again


def test_reasons_name_the_rule_and_never_repeat_the_answer():
    verdict = check(REVIEW | {"properties": {"score": {"enum": [1, 2]}}}, {"text": '{"score": "CANARY"}'})
    assert "CANARY" not in verdict.error
    assert "[1, 2]" in verdict.error
    assert "CANARY" not in check(Review, {"text": '{"score": "CANARY"}'}).error


def test_a_long_rule_is_cut_short():
    assert len(check({"enum": [f"value-{number}" for number in range(999)]}, {"text": '"x"'}).error) < 300


@pytest.mark.parametrize(
    ("stop_reason", "named"),
    [
        ("max_tokens", "maxTokens"),
        ("guardrail_intervened", "guardrail"),
        ("content_filtered", "filter"),
        ("model_context_window_exceeded", "context"),
    ],
)
def test_an_answer_that_would_end_the_same_way_again_is_not_asked_for_again(stop_reason, named):
    verdict = check(REVIEW, {"text": '{"sco'}, stop_reason=stop_reason)
    assert named in verdict.error
    assert not verdict.ask_again


def test_an_answer_that_fits_is_taken_whatever_the_stop_reason():
    assert check(REVIEW, {"text": '{"score": 3}'}, stop_reason="max_tokens").error is None


@pytest.mark.parametrize("stop_reason", ["malformed_model_output", "malformed_tool_use"])
def test_an_answer_that_came_out_malformed_is_asked_for_again(stop_reason):
    assert check(REVIEW, stop_reason=stop_reason).ask_again


def test_lists_that_a_forced_tool_wrote_as_text_are_read():
    assert check(REVIEW, tool_use({"score": 3, "tags": '["a", "b"]'})).value == {"score": 3, "tags": ["a", "b"]}
    assert check(Review, tool_use({"score": 3, "tags": '["a"]'}, "Review")).value == Review(score=3, tags=["a"])
    assert check(REVIEW, tool_use({"score": 3, "tags": "a, b"})).error is not None


def test_a_pydantic_value_is_an_instance():
    assert check(Review, {"text": '{"score": 3, "tags": ["a"]}'}).value == Review(score=3, tags=["a"])


def test_a_strict_pydantic_class_reads_what_json_can_say():
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        day: dt.date
        mood: Mood
        pair: tuple[int, int]

    value = check(Strict, {"text": '{"day": "2026-11-21", "mood": "good", "pair": [1, 2]}'}).value
    assert value == Strict(day=dt.date(2026, 11, 21), mood=Mood.GOOD, pair=(1, 2))


def test_a_validator_that_breaks_rejects_the_answer_instead_of_losing_it():
    class Broken(BaseModel):
        score: int

        @field_validator("score")
        @classmethod
        def divide(cls, value):
            return 1 / (value - value)

    verdict = check(Broken, {"text": '{"score": 3}'})
    assert "ZeroDivisionError" in verdict.error
    assert not verdict.ask_again


def test_a_schema_with_references_is_followed():
    class Tree(BaseModel):
        name: str
        children: list["Tree"] = []

    schema = Tree.model_json_schema()
    assert check(schema, {"text": '{"name": "a", "children": [{"name": "b"}]}'}).error is None
    assert "children.0" in check(schema, {"text": '{"name": "a", "children": [{}]}'}).error


def test_the_model_is_shown_its_answer_and_what_was_wrong():
    schema = OutputSchema.of(REVIEW)
    asked = schema.messages_to_ask_again(response_of({"text": "good"}), "it is not JSON")
    assert asked[0] == {"role": "assistant", "content": [{"text": "good"}]}
    assert asked[1]["role"] == "user"
    assert "it is not JSON" in asked[1]["content"][0]["text"]


def test_a_tool_that_was_called_wrongly_gets_an_error_as_its_result():
    schema = OutputSchema.of(REVIEW)
    _, told = schema.messages_to_ask_again(response_of({"text": "so"}, tool_use({})), "score is missing")
    (result,) = told["content"]
    assert result["toolResult"]["toolUseId"] == "t-1"
    assert result["toolResult"]["status"] == "error"
    assert "score is missing" in result["toolResult"]["content"][0]["text"]


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [{"text": ""}],
        [{"text": " \n"}],
        [{"SDK_UNKNOWN_MEMBER": {"name": "futureBlock"}}],
    ],
)
def test_an_answer_that_bedrock_would_not_take_back_is_not_shown(blocks):
    assert OutputSchema.of(REVIEW).messages_to_ask_again(response_of(*blocks), "no") == []


def test_only_the_blocks_that_bedrock_takes_back_are_shown():
    good = {"text": "good"}
    asked = OutputSchema.of(REVIEW).messages_to_ask_again(
        response_of({"text": ""}, {"SDK_UNKNOWN_MEMBER": {"name": "new"}}, good), "no"
    )
    assert asked[0]["content"] == [good]


def test_a_root_model_is_checked_too():
    assert check(RootModel[list[int]], {"text": "[1, 2]"}).value == RootModel[list[int]]([1, 2])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_that_fits_comes_back_as_it_was_and_everything_else_is_rejected(value):
    verdict = check({}, {"text": json.dumps(value)})
    if is_json(value):
        assert verdict.error is None
        assert verdict.value == value
    else:
        assert verdict.error is not None


def is_json(value):
    if isinstance(value, float):
        return math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return all(map(is_json, inner))


@given(st.text(max_size=50))
def test_any_text_gets_a_verdict(text):
    verdict = check(REVIEW, {"text": text})
    assert verdict.error is not None or Draft202012Validator(REVIEW).is_valid(verdict.value)
