"""Every request body that the package builds passes botocore's own validation of Converse."""

import boto3
import pytest
from botocore.validate import ParamValidator
from harness.routes import make_plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.conversation import Conversation, ConversePolicy
from airflow_provider_bedrock_llm.core.failover import Call
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.routes import ModelChoice
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.core.transport import Reply
from airflow_provider_bedrock_llm.testing import answer

SERVICE = boto3.session.Session()._session.get_service_model("bedrock-runtime")
CONVERSE = SERVICE.operation_model("Converse").input_shape
VALIDATOR = ParamValidator()

names = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=64)
texts = st.text(min_size=1, max_size=20)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=6), documents, max_size=3)


def one_of_member(**members):
    return st.one_of(*[st.fixed_dictionaries({name: value}) for name, value in members.items()])


def optional(required=None, **members):
    return st.fixed_dictionaries(required or {}, optional=members)


sources = one_of_member(bytes=st.binary(max_size=20), s3Location=optional({"uri": st.just("s3://bucket/key")}))
cache_points = optional({"type": st.just("default")}, ttl=st.sampled_from(["5m", "1h"]))
images = optional({"format": st.sampled_from(["png", "jpeg", "gif", "webp"]), "source": sources})
files = optional({"name": names, "source": sources}, format=st.sampled_from(["pdf", "csv", "md"]), context=texts)
tool_uses = st.fixed_dictionaries({"toolUseId": names, "name": names, "input": objects})
tool_results = optional(
    {"toolUseId": names, "content": st.lists(one_of_member(json=objects, text=texts, image=images), max_size=2)},
    status=st.sampled_from(["success", "error"]),
)
blocks = one_of_member(
    text=texts,
    image=images,
    document=files,
    toolUse=tool_uses,
    toolResult=tool_results,
    guardContent=one_of_member(text=optional({"text": texts}, qualifiers=st.just(["query"]))),
    cachePoint=cache_points,
    reasoningContent=one_of_member(
        reasoningText=optional({"text": texts}, signature=texts), redactedContent=st.binary()
    ),
)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.lists(blocks, max_size=3)}),
    min_size=1,
    max_size=4,
)
inference = optional(
    maxTokens=st.integers(1, 10_000),
    temperature=st.floats(0, 1),
    topP=st.floats(0, 1),
    stopSequences=st.lists(texts, max_size=3),
)
tools = one_of_member(
    toolSpec=optional({"name": names, "inputSchema": st.fixed_dictionaries({"json": objects})}, description=texts),
    cachePoint=cache_points,
)
choices = one_of_member(auto=st.just({}), any=st.just({}), tool=st.fixed_dictionaries({"name": names}))
requests = st.builds(
    BedrockConverseRequest,
    messages=messages,
    request_id=st.none() | texts,
    system=st.none() | st.lists(one_of_member(text=texts, cachePoint=cache_points), max_size=2),
    inference_config=st.none() | inference,
    additional_model_request_fields=st.none() | objects,
    additional_model_response_field_paths=st.none() | st.lists(texts, max_size=3),
    guardrail_config=st.none()
    | optional(guardrailIdentifier=names, guardrailVersion=st.just("1"), trace=st.just("enabled")),
    tool_config=st.none() | optional({"tools": st.lists(tools, min_size=1, max_size=3)}, toolChoice=choices),
    request_metadata=st.none() | st.dictionaries(texts, texts, min_size=1, max_size=3),
    prompt_variables=st.none() | st.dictionaries(texts, one_of_member(text=texts), max_size=2),
    performance_config=st.none() | st.just({"latency": "optimized"}),
    service_tier=st.none() | st.sampled_from(["priority", "default", "flex"]).map(lambda kind: {"type": kind}),
    output_config=st.none() | st.just({"effort": "low"}),
    priority=st.integers(),
)


class Review(BaseModel):
    """What a review says."""

    score: int
    tags: list[str] = []


schemas = st.sampled_from(
    [
        OutputSchema.of(Review),
        OutputSchema.of({"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}),
        OutputSchema.of({"title": "Öd & leer", "type": "object", "properties": {"a": {"enum": [1, None, "x"]}}}),
    ]
)


def faults_of(params):
    report = VALIDATOR.validate(params, CONVERSE)
    return report.generate_report() if report.has_errors() else ""


def test_the_check_itself_finds_faults():
    assert "topK" in faults_of({"modelId": "m", "topK": 5})
    assert faults_of({"modelId": "m", "inferenceConfig": {"maxTokens": 0}})


@given(requests)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_every_request_passes(request):
    assert faults_of(request.converse_params("m")) == ""


@given(requests, schemas, st.booleans())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_every_request_with_a_schema_passes(request, schema, native):
    assert faults_of(schema.apply_to(request.converse_params("m"), native=native)) == ""


@given(requests, schemas, st.booleans(), st.lists(blocks, max_size=3), st.none() | inference)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_what_a_conversation_sends_passes_at_first_and_when_it_asks_again(
    request, schema, native, said, settings_of_all
):
    policy = ConversePolicy(
        schema=schema, inference_config=settings_of_all, takes_output_config=lambda _: native, schema_retries=1
    )
    plan = make_plan([ModelChoice("m", None, {"maxTokens": 7})], retry=RetryConfig())
    conversation = Conversation(policy, request, policy.failover(plan.routes(["us-east-1"])), RouteBook())
    step = conversation.begin(0.0)
    while isinstance(step, Call):
        assert faults_of(conversation.start(step, 0.0).params) == ""
        data = answer("") | {"output": {"message": {"role": "assistant", "content": said}}}
        step = conversation.take(Reply(data, "r", 0.1), 0.0, 0.5)
    assert step.attempts


@pytest.mark.parametrize(
    "new_block",
    [{"SDK_UNKNOWN_MEMBER": {"name": "futureBlock"}}, {"text": ""}, {"reasoningContent": {"redactedContent": b"x"}}],
)
def test_an_answer_with_blocks_of_tomorrow_can_be_asked_about_again(new_block):
    schema = OutputSchema.of(Review)
    policy = ConversePolicy(schema=schema, takes_output_config=lambda _: True)
    request = BedrockConverseRequest([text_message("a question")])
    conversation = Conversation(policy, request, policy.failover(make_plan().routes(["us-east-1"])), RouteBook())
    conversation.start(conversation.begin(0.0), 0.0)
    data = answer("") | {"output": {"message": {"role": "assistant", "content": [new_block, {"text": "no JSON"}]}}}
    again = conversation.take(Reply(data, "r", 0.1), 0.0, 0.5)
    assert faults_of(conversation.start(again, 0.0).params) == ""
