"""Embeddings: one request in, one shape out, for every family."""

import json

import pytest

from airflow_provider_bedrock_llm.core.embedding import EmbeddingDialect, embedding_requests, join_responses
from airflow_provider_bedrock_llm.core.embedding_family import EmbeddingSettings, embedding_family
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, RequestValidationError
from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt, Usage
from airflow_provider_bedrock_llm.core.transport import Failure, Reply, WireRequest

TITAN_1 = "amazon.titan-embed-text-v1"
TITAN_2 = "amazon.titan-embed-text-v2:0"
COHERE_3 = "cohere.embed-multilingual-v3"
COHERE_4 = "cohere.embed-v4:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"


def wire(model, texts, *, takes_tags=True, **settings):
    """The request as the engine makes it, and as the dialect says it."""
    family = embedding_family(model)
    (request,) = embedding_requests(texts, EmbeddingSettings(**settings), family.max_texts)
    asked = WireRequest("converse", "eu-west-1", request.converse_params(model))
    dialect = EmbeddingDialect(family, takes_tags=takes_tags)
    return dialect, asked, dialect.to_wire(asked)


def body_of(model, texts, **settings):
    return json.loads(wire(model, texts, **settings)[2].params["body"])


def read(model, texts, body, headers=None):
    dialect, asked, _ = wire(model, texts)
    return dialect.from_wire(asked, Reply({"body": json.dumps(body).encode()}, "r-1", 0.1, headers or {}))


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        (TITAN_1, {}, {"inputText": "a"}),
        (TITAN_2, {}, {"inputText": "a"}),
        (
            TITAN_2,
            {"dimensions": 256, "normalize": False},
            {"inputText": "a", "dimensions": 256, "normalize": False},
        ),
        (COHERE_3, {}, {"texts": ["a"], "input_type": "search_document", "truncate": "NONE"}),
        (
            COHERE_3,
            {"input_type": "clustering", "truncate": "END"},
            {"texts": ["a"], "input_type": "clustering", "truncate": "END"},
        ),
        (
            COHERE_4,
            {"dimensions": 512},
            {
                "texts": ["a"],
                "input_type": "search_document",
                "truncate": "NONE",
                "embedding_types": ["float"],
                "output_dimension": 512,
            },
        ),
        (
            NOVA,
            {"dimensions": 384, "input_type": "search_query", "truncate": "START"},
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "TEXT_RETRIEVAL",
                    "embeddingDimension": 384,
                    "text": {"value": "a", "truncationMode": "START"},
                },
            },
        ),
    ],
)
def test_each_family_is_asked_in_its_own_words(model, settings, expected):
    assert body_of(model, ["a"], **settings) == expected


def test_nova_takes_its_own_purposes_as_they_are():
    body = body_of(NOVA, ["a"], input_type="DOCUMENT_RETRIEVAL")
    assert body["singleEmbeddingParams"]["embeddingPurpose"] == "DOCUMENT_RETRIEVAL"


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (TITAN_1, {"embedding": [1.0, 2.0], "inputTextTokenCount": 3}),
        (TITAN_2, {"embedding": [1.0, 2.0], "embeddingsByType": {"float": [1.0, 2.0]}, "inputTextTokenCount": 3}),
        (COHERE_3, {"embeddings": [[1.0, 2.0]], "id": "x", "response_type": "embeddings_floats", "texts": ["a"]}),
        (COHERE_4, {"embeddings": {"float": [[1.0, 2.0]]}, "id": "x", "response_type": "embeddings_by_type"}),
        (NOVA, {"embeddings": [{"embeddingType": "TEXT", "embedding": [1.0, 2.0]}]}),
    ],
)
def test_each_reply_becomes_the_same_shape(model, body):
    reply = read(model, ["a"], body, {"x-amzn-bedrock-input-token-count": "3"})
    assert reply.data == {
        "embeddings": [[1.0, 2.0]],
        "usage": {"inputTokens": 3, "outputTokens": 0, "totalTokens": 3},
    }
    assert reply.request_id == "r-1"


def test_titan_says_its_tokens_in_the_body_too():
    reply = read(TITAN_2, ["a"], {"embedding": [1.0], "inputTextTokenCount": 7})
    assert reply.data["usage"]["inputTokens"] == 7


@pytest.mark.parametrize(
    "body",
    [
        {"embeddings": [[1.0, 2.0]]},
        {"embeddings": [[1.0, 2.0], [1.0]]},
        {"embeddings": {"int8": [[1], [2]]}},
        {"message": "something else"},
        [],
    ],
    ids=["too few", "of two lengths", "of another type", "none", "no object"],
)
def test_a_reply_that_does_not_fit_is_a_failure_that_may_have_been_paid(body):
    outcome = read(COHERE_3, ["a", "b"], body)
    assert isinstance(outcome, Failure)
    assert outcome.code == "UnreadableReply"
    assert "Cohere Embed v3" in outcome.message
    assert outcome.request_id == "r-1"


def test_a_reply_that_is_no_json_is_a_failure():
    dialect, asked, _ = wire(TITAN_2, ["a"])
    assert isinstance(dialect.from_wire(asked, Reply({"body": b"<html>"}, None, 0.1)), Failure)


@pytest.mark.parametrize(("model", "sizes"), [(COHERE_3, [96, 96, 8]), (COHERE_4, [96, 96, 8]), (NOVA, [1] * 200)])
def test_texts_share_calls_as_far_as_the_family_allows(model, sizes):
    texts = [f"text {number}" for number in range(200)]
    requests = embedding_requests(texts, EmbeddingSettings(), embedding_family(model).max_texts)
    blocks = [[block["text"] for block in request.messages[0]["content"]] for request in requests]
    assert [len(one) for one in blocks] == sizes
    assert [text for one in blocks for text in one] == texts
    assert len({request.request_id for request in requests}) == len(requests)


@pytest.mark.parametrize(("text", "named"), [("", "empty"), ("  \n", "empty"), (None, "NoneType"), (3, "int")])
def test_what_has_no_embedding_is_named_before_anything_is_sent(text, named):
    with pytest.raises(RequestValidationError, match=rf"texts\[1\] is {named}"):
        embedding_requests(["a", text], EmbeddingSettings(), 96)


@pytest.mark.parametrize(
    ("model", "settings", "named"),
    [
        (TITAN_1, {"dimensions": 256}, "dimensions=256 .* Give one of 1536"),
        (TITAN_2, {"dimensions": 1536}, "dimensions=1536 .* Give one of 256, 512, 1024"),
        (COHERE_3, {"dimensions": 512}, "dimensions=512 .* Give one of 1024"),
        (NOVA, {"dimensions": 512}, "dimensions=512 .* Give one of 256, 384, 1024, 3072"),
        (TITAN_1, {"normalize": True}, "normalize=True is no setting of Titan Embeddings G1"),
        (COHERE_4, {"normalize": True}, "normalize=True is no setting of Cohere Embed v4"),
        (TITAN_2, {"truncate": "END"}, "truncate='END' is no setting of Titan Text Embeddings V2"),
        (TITAN_2, {"input_type": "search_query"}, "input_type='search_query' is no setting"),
        (COHERE_3, {"input_type": "GENERIC_INDEX"}, "input_type='GENERIC_INDEX' is not known to Cohere Embed v3"),
    ],
)
def test_a_setting_that_the_family_does_not_take_is_an_error_before_the_call(model, settings, named):
    with pytest.raises(ConfigurationError, match=named):
        embedding_family(model).check(EmbeddingSettings(**settings))


@pytest.mark.parametrize("model", [TITAN_1, TITAN_2, COHERE_3, COHERE_4, NOVA])
def test_the_default_size_may_be_named(model):
    family = embedding_family(model)
    family.check(EmbeddingSettings(dimensions=family.default_dimensions))


@pytest.mark.parametrize(
    "settings",
    [{"dimensions": 0}, {"dimensions": True}, {"dimensions": "256"}, {"normalize": "yes"}, {"truncate": "MIDDLE"}],
)
def test_a_value_that_no_family_takes_is_an_error_at_once(settings):
    (name, value), *_ = settings.items()
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}"):
        EmbeddingSettings(**settings)


def test_an_unknown_family_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ConfigurationError) as caught:
        embedding_family("amazon.nova-lite-v1:0")
    for name in ("amazon.nova-lite-v1:0", "Titan Text Embeddings V2", "cohere.embed-v4", "Nova Multimodal"):
        assert name in str(caught.value)


def test_guardrail_tier_and_tags_go_along_in_invoke_models_words():
    family = embedding_family(TITAN_2)
    (request,) = embedding_requests(["a"], EmbeddingSettings(), 1)
    params = request.converse_params(TITAN_2) | {
        "guardrailConfig": {"guardrailIdentifier": "gr", "guardrailVersion": "2"},
        "serviceTier": {"type": "flex"},
        "requestMetadata": {"airflow_dag_id": "d"},
    }
    asked = WireRequest("converse", "eu-west-1", params)
    sent = EmbeddingDialect(family).to_wire(asked)
    assert (sent.operation, sent.region) == ("invoke_model", "eu-west-1")
    assert sent.params["modelId"] == TITAN_2
    assert (sent.params["guardrailIdentifier"], sent.params["guardrailVersion"]) == ("gr", "2")
    assert sent.params["serviceTier"] == "flex"
    assert json.loads(sent.params["requestMetadata"]) == {"airflow_dag_id": "d"}
    assert "requestMetadata" not in EmbeddingDialect(family, takes_tags=False).to_wire(asked).params


def answered(vectors, tokens, cost_usd):
    attempt = RequestAttempt("m", "m", "r", "direct", 0.1, usage=Usage(tokens), cost_usd=cost_usd)
    data = {"embeddings": vectors, "usage": Usage(tokens).to_wire()}
    return BedrockResponse(True, data, "m", "r", attempts=(attempt,), cost_usd=cost_usd)


def test_several_answers_become_one_in_their_order():
    joined = join_responses([answered([[1.0], [2.0]], 4, 0.5), answered([[3.0]], 2, 0.25)])
    assert joined.vectors == [[1.0], [2.0], [3.0]]
    assert (joined.dimensions, joined.input_tokens, joined.cost_usd) == (1, 6, 0.75)
    assert (joined.model_used, joined.region_used, len(joined.attempts)) == ("m", "r", 2)
    assert json.loads(json.dumps(joined.to_dict()))["vectors"] == joined.vectors


def test_one_unknown_price_makes_the_sum_unknown():
    assert join_responses([answered([[1.0]], 4, 0.5), answered([[3.0]], 2, None)]).cost_usd is None


def test_no_texts_have_no_vectors_and_cost_nothing():
    joined = join_responses([])
    assert (joined.vectors, joined.dimensions, joined.cost_usd) == ([], 0, 0.0)
