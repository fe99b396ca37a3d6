"""InvokeModel for embeddings, in each vendor's shape."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from harness.endpoint import NOVA

TITAN_1, TITAN_2 = "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"
COHERE_3, COHERE_4 = "cohere.embed-english-v3", "cohere.embed-v4:0"
NOVA_EMBED = "amazon.nova-2-multimodal-embeddings-v1:0"


@pytest.fixture
def invoke(runtime):
    def call(model, body):
        reply = runtime.invoke_model(modelId=model, body=json.dumps(body))
        return json.loads(reply["body"].read()), reply["ResponseMetadata"]["HTTPHeaders"]

    return call


def dot(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_titan_v1_has_1536_numbers_and_a_token_count(invoke):
    body, headers = invoke(TITAN_1, {"inputText": "good phone"})
    assert (len(body["embedding"]), body["inputTextTokenCount"]) == (1536, 3)
    assert headers["x-amzn-bedrock-input-token-count"] == "3"


def test_titan_v2_has_the_size_and_types_asked_for(invoke):
    body, _ = invoke(TITAN_2, {"inputText": "good phone", "dimensions": 256, "embeddingTypes": ["float", "binary"]})
    assert len(body["embedding"]) == 256
    assert body["embeddingsByType"]["float"] == body["embedding"]
    assert set(body["embeddingsByType"]["binary"]) <= {0, 1}
    assert dot(body["embedding"], body["embedding"]) == pytest.approx(1)


def test_cohere_v3_has_a_list_and_v4_a_dict(invoke):
    request = {"texts": ["a b", "c"], "input_type": "search_document"}
    old, _ = invoke(COHERE_3, request)
    new, _ = invoke(COHERE_4, {**request, "output_dimension": 512})
    assert [len(one) for one in old["embeddings"]] == [1024, 1024]
    assert old["response_type"] == "embeddings_floats"
    assert [len(one) for one in new["embeddings"]["float"]] == [512, 512]
    assert new["response_type"] == "embeddings_by_type"


def test_nova_has_a_list_of_typed_embeddings(invoke):
    params = {"embeddingPurpose": "TEXT_RETRIEVAL", "text": {"value": "phone", "truncationMode": "END"}}
    body, _ = invoke(NOVA_EMBED, {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params})
    assert [(one["embeddingType"], len(one["embedding"])) for one in body["embeddings"]] == [("TEXT", 3072)]


def test_texts_that_share_words_are_nearer(invoke):
    vectors = [
        invoke(TITAN_2, {"inputText": text})[0]["embedding"]
        for text in ("the battery of this phone is good", "the battery of this phone is bad", "rain in spain")
    ]
    assert dot(vectors[0], vectors[1]) > dot(vectors[0], vectors[2]) + 0.3


@pytest.mark.parametrize(
    ("model", "body", "text"),
    [
        (TITAN_2, {"inputText": "x", "colour": 1}, "extraneous key [colour] is not permitted"),
        (TITAN_2, {}, "required key [inputText] not found"),
        (TITAN_2, {"inputText": "x", "dimensions": 7}, "7 is not a valid enum value"),
        (TITAN_1, {"inputText": ""}, "expected minLength: 1"),
        (TITAN_1, {"inputText": "x" * 40_000}, "Too many input tokens. Max input tokens: 8192"),
        (COHERE_3, {"texts": ["x"] * 97, "input_type": "search_query"}, "expected maximum item count: 96"),
        (COHERE_3, {"texts": ["x"]}, "#/input_type"),
        (COHERE_3, {"texts": ["x" * 4_000], "input_type": "search_query"}, "Input is too long"),
        (NOVA_EMBED, {"taskType": "OTHER"}, "#/taskType"),
        (NOVA, {"messages": []}, "Use Converse instead"),
    ],
)
def test_a_body_that_the_model_would_refuse_is_refused(invoke, model, body, text):
    with pytest.raises(ClientError) as caught:
        invoke(model, body)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert text in caught.value.response["Error"]["Message"]


def test_truncation_lets_a_long_text_pass(invoke):
    _, headers = invoke(COHERE_3, {"texts": ["x" * 4_000], "input_type": "search_query", "truncate": "END"})
    assert headers["x-amzn-bedrock-input-token-count"] == "512"
