"""A request is checked when it is made, goes to the wire whole, and is named by what shapes its answer."""

import json
import subprocess
import sys
from collections import OrderedDict
from types import MappingProxyType

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.errors import RequestValidationError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, request_hash, text_message

ASKED = [text_message("a question")]
FULL = {
    "messages": ASKED,
    "request_id": "r-1",
    "system": [{"text": "be brief"}],
    "inference_config": {"maxTokens": 5, "temperature": 0.5},
    "additional_model_request_fields": {"top_k": 3},
    "additional_model_response_field_paths": ["/stop_sequence"],
    "guardrail_config": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
    "tool_config": {"tools": [{"cachePoint": {"type": "default"}}]},
    "request_metadata": {"dag": "d"},
    "prompt_variables": {"name": {"text": "x"}},
    "performance_config": {"latency": "optimized"},
    "service_tier": {"type": "flex"},
    "output_config": {"effort": "low"},
    "extra_request_fields": {"somethingNew": {"a": 1}},
    "priority": 7,
    "models": ["another-model", {"model": "m", "region": "us-west-2"}],
}
WIRE = {
    "messages": ASKED,
    "system": [{"text": "be brief"}],
    "inferenceConfig": {"maxTokens": 5, "temperature": 0.5},
    "additionalModelRequestFields": {"top_k": 3},
    "additionalModelResponseFieldPaths": ["/stop_sequence"],
    "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
    "toolConfig": {"tools": [{"cachePoint": {"type": "default"}}]},
    "requestMetadata": {"dag": "d"},
    "promptVariables": {"name": {"text": "x"}},
    "performanceConfig": {"latency": "optimized"},
    "serviceTier": {"type": "flex"},
    "outputConfig": {"effort": "low"},
    "somethingNew": {"a": 1},
}
NOT_ABOUT_THE_ANSWER = ["request_id", "request_metadata", "performance_config", "service_tier", "priority"]


def digest(models=("m",), schema=None, **fields):
    return request_hash(BedrockConverseRequest(**{"messages": ASKED, **fields}), models, schema)


def test_every_field_reaches_the_wire_under_its_own_name():
    assert BedrockConverseRequest(**FULL).converse_params("m") == {"modelId": "m", **WIRE}


def test_what_is_not_set_is_not_sent():
    request = BedrockConverseRequest(ASKED, system=[], inference_config={}, request_metadata={})
    assert request.converse_params("m") == {"modelId": "m", "messages": ASKED}


def test_fields_that_are_newer_than_the_package_win():
    request = BedrockConverseRequest(ASKED, service_tier={"type": "flex"}, extra_request_fields={"serviceTier": "new"})
    assert request.converse_params("m")["serviceTier"] == "new"


def test_parameters_for_one_model_leave_the_request_as_it_was():
    request = BedrockConverseRequest(ASKED)
    request.converse_params("m")["messages"] = "gone"
    assert request.converse_params("n") == {"modelId": "n", "messages": ASKED}


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ("a text", "messages is str"),
        (5, "messages is int"),
        (None, "messages is NoneType"),
        ([], "messages is empty"),
        (["a text"], "messages[0]"),
        ([{"role": "user"}], "messages[0]"),
        ([{"role": "user", "content": "a text"}], "messages[0]"),
        ([{"content": [{"text": "x"}]}], "messages[0] has no role"),
        ([*ASKED, {"role": "user", "content": None}], "messages[1]"),
    ],
)
def test_messages_of_another_shape_are_refused_and_named(messages, named):
    with pytest.raises(RequestValidationError) as caught:
        BedrockConverseRequest(messages)
    assert named in str(caught.value)


def test_every_fault_of_the_messages_is_listed():
    with pytest.raises(RequestValidationError) as caught:
        BedrockConverseRequest(["a", "b"])
    assert len(caught.value.validation_errors) == 2


@pytest.mark.parametrize("models", ["a-model", b"a-model", {"model": "a-model"}, 7, None])
def test_models_that_are_no_list_are_refused(models):
    with pytest.raises(RequestValidationError, match=f"models is {type(models).__name__}"):
        BedrockConverseRequest(ASKED, models=models)


def test_models_of_the_request_count_instead_of_those_of_the_engine():
    assert digest(models=("m",)) == request_hash(BedrockConverseRequest(ASKED, models=["m"]), ["n", "o"])


def test_a_managed_prompt_needs_no_messages():
    variables = {"name": {"text": "x"}}
    assert BedrockConverseRequest(prompt_variables=variables).converse_params("arn") == {
        "modelId": "arn",
        "promptVariables": variables,
    }


def test_a_request_survives_a_dict_and_json():
    request = BedrockConverseRequest(**FULL)
    assert BedrockConverseRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_a_dict_with_an_unknown_field_is_refused_and_the_field_named():
    with pytest.raises(RequestValidationError, match="'mesages'"):
        BedrockConverseRequest.from_dict({"mesages": ASKED})


def test_the_limit_on_the_answer_does_not_count_wherever_it_stands():
    assert digest(inference_config={"maxTokens": 5}) == digest(inference_config={"maxTokens": 6}) == digest()
    limited, other = ({"model": "m", "inference_config": {"maxTokens": limit, "topP": 1}} for limit in (5, 6))
    assert digest(models=[limited]) == digest(models=[other])
    assert digest(models=[limited]) != digest(models=[{"model": "m"}])


@pytest.mark.parametrize("name", NOT_ABOUT_THE_ANSWER)
def test_what_does_not_shape_the_answer_does_not_count(name):
    assert digest(**{name: FULL[name]}) == digest()


@pytest.mark.parametrize("name", sorted(set(FULL) - set(NOT_ABOUT_THE_ANSWER) - {"messages"}))
def test_what_shapes_the_answer_counts(name):
    assert digest(**{name: FULL[name]}) != digest()


def test_the_question_the_models_their_order_and_the_schema_count():
    others = [
        digest(messages=[text_message("another question")]),
        digest(messages=[*ASKED, text_message("an answer", "assistant"), *ASKED]),
        digest(models=("n",)),
        digest(models=("m", "n")),
        digest(models=("n", "m")),
        digest(schema={"type": "object"}),
    ]
    assert len({digest(), *others}) == len(others) + 1


def picture(data):
    return [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": data}}}]}]


def test_bytes_count_whatever_holds_them():
    assert digest(messages=picture(b"one")) != digest(messages=picture(b"two"))
    assert digest(messages=picture(b"one")) == digest(messages=picture(bytearray(b"one")))
    assert digest(messages=picture(b"one")) == digest(messages=picture(memoryview(b"one")))
    assert digest(messages=picture(b"")) != digest(messages=picture(""))


def test_the_kind_of_container_does_not_count():
    frozen = ({"role": "user", "content": ({"text": "a question"},)},)
    assert digest(messages=frozen) == digest()
    assert digest(inference_config=MappingProxyType({"maxTokens": 5})) == digest(inference_config={"maxTokens": 5})
    assert digest(inference_config=OrderedDict(maxTokens=5)) == digest(inference_config={"maxTokens": 5})


@pytest.mark.parametrize("value", [{"a", "b"}, iter(["a"]), object(), 1j])
def test_what_has_no_order_or_no_value_is_refused_instead_of_hashed(value):
    with pytest.raises(RequestValidationError, match=type(value).__name__):
        digest(additional_model_request_fields={"stop": value})


def test_text_that_no_encoding_can_hold_is_hashed_all_the_same():
    assert digest(messages=[text_message("\ud83d")]) != digest(messages=[text_message("\ud83e")])


def test_another_process_finds_the_same_hash():
    code = (
        "from airflow_provider_bedrock_llm.core.request import *;"
        "asked = BedrockConverseRequest([text_message('a question')], inference_config={'a': 1, 'b': 2});"
        "print(request_hash(asked, ['m']))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == digest(inference_config={"b": 2, "a": 1})


def test_a_hash_is_32_hexadecimal_digits():
    assert len(digest()) == 32
    int(digest(), 16)


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=5), documents, min_size=1, max_size=5))
def test_the_order_of_keys_does_not_count(fields):
    assert digest(additional_model_request_fields=fields) == digest(
        additional_model_request_fields=reversed_keys(fields)
    )


@given(documents, documents)
def test_different_documents_have_different_hashes(one, two):
    assume(repr(one) != repr(two))
    assume(one != two)
    assert digest(additional_model_request_fields={"x": one}) != digest(additional_model_request_fields={"x": two})


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_text_does_not_run_over_from_block_to_block(texts):
    apart = [{"role": "user", "content": [{"text": text} for text in texts]}]
    joined = [{"role": "user", "content": [{"text": "".join(texts)}]}]
    assert (digest(messages=apart) == digest(messages=joined)) is (len(texts) == 1)
