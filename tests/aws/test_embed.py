"""Embeddings over HTTP, in threads and on event loops, through the engine of Converse; and rows that share calls."""

import asyncio

import boto3
import pytest
from harness.async_transports import ASYNC_TRANSPORTS, open_transport
from harness.endpoint import KEYS
from harness.routes import make_plan

from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.aws.converse import AsyncEngine, Engine
from airflow_provider_bedrock_llm.aws.dialect import (
    AsyncDialectTransport,
    DialectTransport,
    invoke_model_takes_tags,
)
from airflow_provider_bedrock_llm.aws.embedding import EmbeddingEngine
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.embedding import EmbeddingDialect, embedding_requests
from airflow_provider_bedrock_llm.core.embedding_family import EmbeddingSettings, embedding_family
from airflow_provider_bedrock_llm.core.errors import RequestValidationError, RetryExhaustedError
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices
from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt, Usage
from airflow_provider_bedrock_llm.core.transport import FailureKind

TITAN_2 = "amazon.titan-embed-text-v2:0"
COHERE_3 = "cohere.embed-english-v3"
MODELS = {
    "amazon.titan-embed-text-v1": 1536,
    TITAN_2: 1024,
    COHERE_3: 1024,
    "cohere.embed-v4:0": 1536,
    "amazon.nova-2-multimodal-embeddings-v1:0": 3072,
}
QUICK = RetryConfig(max_retries=2, retry_delay=0.0)
PRICED = ConversePolicy(retry=QUICK, prices_for=lambda _model, _region: Prices(TokenPrices(input=1.0)))


def requests_for(model, texts, **settings):
    return embedding_requests(texts, EmbeddingSettings(**settings), embedding_family(model).max_texts)


@pytest.fixture
def settings(endpoint):
    return ClientSettings(lambda: boto3.session.Session(**KEYS), endpoint_url=endpoint.url, keys_first=True)


@pytest.fixture
def in_threads(settings):
    clients = Clients(settings)

    def ask(model, request, regions=("us-east-1",)):
        transport = DialectTransport(BotoTransport(clients), EmbeddingDialect(embedding_family(model)))
        return Engine(transport, PRICED, make_plan([model], regions, QUICK)).ask(request)

    yield ask
    for region in ("us-east-1", "us-west-2"):
        clients.engine_client("bedrock-runtime", region).close()


def on_a_loop(name, settings):
    def ask(model, request, regions=("us-east-1",)):
        async def run():
            inner = open_transport(name, settings)
            transport = AsyncDialectTransport(inner, EmbeddingDialect(embedding_family(model)))
            try:
                return await AsyncEngine(transport, PRICED, make_plan([model], regions, QUICK)).ask(request)
            finally:
                await inner.close()

        return asyncio.run(run())

    return ask


@pytest.fixture(params=["threads", *ASYNC_TRANSPORTS])
def ask(request, settings):
    return request.getfixturevalue("in_threads") if request.param == "threads" else on_a_loop(request.param, settings)


@pytest.mark.parametrize(("model", "dimensions"), MODELS.items())
def test_every_family_answers_with_vectors_tokens_and_cost(ask, model, dimensions):
    (request,) = requests_for(model, ["A first text."])
    response = ask(model, request)
    assert response.error is None
    (vector,) = response.response_data["embeddings"]
    assert len(vector) == dimensions
    assert all(isinstance(value, float) for value in vector)
    assert response.usage == Usage(4)
    assert response.cost_usd == pytest.approx(4e-6)


def test_settings_reach_the_model(ask):
    (request,) = requests_for(TITAN_2, ["A text."], dimensions=256)
    assert len(ask(TITAN_2, request).response_data["embeddings"][0]) == 256


def test_a_throttled_region_is_left_for_the_next(ask, endpoint):
    endpoint.control.throttle(region="us-east-1")
    (request,) = requests_for(TITAN_2, ["A text."])
    response = ask(TITAN_2, request, ("us-east-1", "us-west-2"))
    assert response.region_used == "us-west-2"
    assert [attempt.fault for attempt in response.attempts] == ["throttled", None]


def test_a_text_that_is_too_long_is_bad_input_and_asked_once(ask, endpoint):
    (request,) = requests_for(TITAN_2, ["long " * 10_000])
    response = ask(TITAN_2, request)
    assert isinstance(response.error, RequestValidationError)
    assert endpoint.control.stats().calls == 1


def test_a_body_that_breaks_off_is_a_lost_connection_and_asked_again(ask, endpoint):
    endpoint.control.fail(action="cut_reply", first=1)
    (request,) = requests_for(TITAN_2, ["A text."])
    response = ask(TITAN_2, request)
    assert response.success
    assert response.attempts[0].failure.kind is FailureKind.CONNECTION_LOST


def test_the_installed_botocore_takes_tags_if_and_only_if_we_say_so(endpoint, runtime):
    shape = runtime.meta.service_model.operation_model("InvokeModel").input_shape
    assert invoke_model_takes_tags() is ("requestMetadata" in shape.members)


class Recorder:
    """An engine that embeds a text as its length, and keeps how many texts came at once."""

    def __init__(self, refused=()):
        self.calls = []
        self.refused = set(refused)
        self.gate = asyncio.Event()
        self.gate.set()
        self.called = asyncio.Event()
        self.cancelled = 0

    async def ask(self, request):
        texts = [block["text"] for message in request.messages for block in message["content"]]
        self.calls.append(texts)
        self.called.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        usage = Usage(sum(map(len, texts)))
        attempt = RequestAttempt("m", "m", "r", "direct", 0.1, usage=usage, cost_usd=0.01)
        if self.refused & set(texts):
            return BedrockResponse(False, attempts=(attempt,), error=RequestValidationError("Too long. Shorten it."))
        data = {"embeddings": [[float(len(text))] for text in texts], "usage": usage.to_wire()}
        return BedrockResponse(True, data, "m", "r", attempts=(attempt,), cost_usd=0.01)


def rows(texts, **settings):
    return [
        request.__class__(request.messages, f"row-{number}", additional_model_request_fields=settings or None)
        for number, request in enumerate(embedding_requests(texts, EmbeddingSettings(), 1))
    ]


async def test_rows_share_calls_and_each_gets_its_own_vector_and_its_share():
    texts = ["a" * length for length in range(1, 26)]
    inner = Recorder()
    engine = EmbeddingEngine(inner, max_texts=10)
    responses = await asyncio.gather(*(engine.ask(request) for request in rows(texts)))
    assert [len(call) for call in inner.calls] == [10, 10, 5]
    assert [response.structured_output for response in responses] == [
        {"embedding": [float(length)]} for length in range(1, 26)
    ]
    assert [response.request_id for response in responses] == [f"row-{number}" for number in range(25)]
    assert sum(response.usage.input_tokens for response in responses) == sum(map(len, texts))
    assert sum(response.cost_usd for response in responses) == pytest.approx(0.03)
    assert responses[9].usage.input_tokens > responses[0].usage.input_tokens
    assert "embeddings" not in responses[0].response_data


async def test_a_lone_row_does_not_wait_for_others_for_ever():
    engine = EmbeddingEngine(Recorder(), max_texts=96)
    (response,) = [await engine.ask(request) for request in rows(["abc"])]
    assert response.structured_output == {"embedding": [3.0]}
    assert response.usage == Usage(3)


async def test_a_model_that_takes_one_text_is_asked_one_by_one():
    inner = Recorder()
    engine = EmbeddingEngine(inner)
    await asyncio.gather(*(engine.ask(request) for request in rows(["a", "b", "c"])))
    assert inner.calls == [["a"], ["b"], ["c"]]


async def test_one_text_that_is_refused_costs_the_others_nothing_but_a_call():
    inner = Recorder(refused={"bad"})
    engine = EmbeddingEngine(inner, max_texts=3)
    good, bad, other = await asyncio.gather(*(engine.ask(request) for request in rows(["good", "bad", "other"])))
    assert (good.structured_output, other.structured_output) == ({"embedding": [4.0]}, {"embedding": [5.0]})
    assert isinstance(bad.error, RequestValidationError)
    assert inner.calls == [["good", "bad", "other"], ["good"], ["bad"], ["other"]]


async def test_a_failure_of_the_call_is_that_of_each_row():
    class Failing:
        calls = 0

        async def ask(self, _request):
            self.calls += 1
            return BedrockResponse(False, error=RetryExhaustedError("All failed. Try later."))

    inner = Failing()
    engine = EmbeddingEngine(inner, max_texts=2)
    responses = await asyncio.gather(*(engine.ask(request) for request in rows(["a", "b"])))
    assert [type(response.error) for response in responses] == [RetryExhaustedError] * 2
    assert inner.calls == 1


async def test_rows_with_other_settings_do_not_share_a_call():
    inner = Recorder()
    engine = EmbeddingEngine(inner, max_texts=96)
    asked = [*rows(["a", "b"], dimensions=256), *rows(["c"], dimensions=512)]
    await asyncio.gather(*(engine.ask(request) for request in asked))
    assert inner.calls == [["a", "b"], ["c"]]


async def test_a_call_goes_on_while_one_row_still_wants_it_and_ends_with_the_last():
    inner = Recorder()
    inner.gate.clear()
    engine = EmbeddingEngine(inner, max_texts=2)
    first, second = (asyncio.create_task(engine.ask(request)) for request in rows(["a", "b"]))
    await inner.called.wait()
    first.cancel()
    await asyncio.wait({first})
    assert inner.cancelled == 0
    second.cancel()
    await asyncio.wait({second})
    for _ in range(3):
        await asyncio.sleep(0)
    assert inner.cancelled == 1


async def test_a_bug_below_reaches_every_row_that_shared_the_call():
    class Broken:
        async def ask(self, _request):
            raise ZeroDivisionError

    engine = EmbeddingEngine(Broken(), max_texts=2)
    outcomes = await asyncio.gather(*(engine.ask(request) for request in rows(["a", "b"])), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 2
