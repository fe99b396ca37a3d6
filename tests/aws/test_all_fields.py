"""Every member of Converse and every content block goes out as it was given, and comes back as it was answered.

Each way twice, whole and streamed: boto3 and the transports for event loops. The table is held against botocore's own
model, so that a member that it gains is missed here.
"""

import asyncio
import base64
from contextlib import aclosing

import pytest
from botocore.session import get_session
from harness.async_transports import ASYNC_TRANSPORTS, open_transport
from harness.live_engine import keys_session
from harness.media_files import EXAMPLES, PDF, make_iso, make_png
from harness.routes import make_plan

from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.aws.streaming import AsyncStreamEngine, StreamEngine
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.messages import create_assistant_message, create_message, create_user_message
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.local import LocalEndpoint, LocalModel
from airflow_provider_bedrock_llm.local.answers import Answer

MODEL = "amazon.everything-v1:0"
EVERYTHING = LocalModel(
    MODEL, prompt_caching=True, prompt_cache_min_tokens=1, input_modalities=("TEXT", "IMAGE", "VIDEO", "AUDIO")
)
WAYS = [f"{way}{how}" for way in ("boto3", *ASYNC_TRANSPORTS) for how in ("", " streamed")]
PNG = make_png()
OWNER = "111122223333"
QUESTION = text_message("a question")
SCHEMA = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": ["number", "null"]}}}}
TOOL = {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": SCHEMA}, "strict": True}}
TOOLS = {"tools": [TOOL]}
CALL = create_assistant_message().add_tool_use("tooluse_1", "f", {"a": [1, 2.5, None, "ä", {"b": True}]}).build()


def user():
    """A user message that has begun, as documents and cache points want it."""
    return create_user_message().add_text("Look.")


def one(builder, **fields):
    return BedrockConverseRequest([builder.build()], **fields)


def after_a_call(builder, **fields):
    return BedrockConverseRequest([QUESTION, CALL, builder.build()], tool_config=TOOLS, **fields)


def answered(builder, **fields):
    """What an assistant said, between two questions."""
    return BedrockConverseRequest([QUESTION, builder.build(), QUESTION], **fields)


def cited(location):
    return {
        "content": [{"text": "As the book says."}],
        "citations": [
            {"title": "A book", "source": "s", "sourceContent": [{"text": "so it says"}], "location": location}
        ],
    }


PLACE = {"documentIndex": 0, "start": 1, "end": 2}
LOCATIONS = {
    "web": {"url": "https://example.com", "domain": "example.com"},
    "documentChar": PLACE,
    "documentPage": PLACE,
    "documentChunk": PLACE,
    "searchResultLocation": {"searchResultIndex": 0, "start": 1, "end": 2},
}
ERROR = {"error": {"message": "could not be read"}}
RESULTS = [
    {"json": {"rows": [1, {"a": None}]}},
    {"text": "text"},
    {"image": {"format": "png", "source": {"bytes": PNG}, **ERROR}},
    {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png", "bucketOwner": OWNER}}}},
    {
        "document": {
            "format": "pdf",
            "name": "a",
            "source": {"bytes": PDF},
            "context": "a letter",
            "citations": {"enabled": True},
        }
    },
    {
        "document": {
            "format": "pdf",
            "name": "b",
            "source": {"s3Location": {"uri": "s3://bucket/b.pdf", "bucketOwner": OWNER}},
        }
    },
    {"document": {"name": "c", "source": {"text": "c"}}},
    {"document": {"name": "d", "source": {"content": [{"text": "d"}]}}},
    {"video": {"format": "mp4", "source": {"bytes": make_iso("isom")}}},
    {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/a.mp4", "bucketOwner": OWNER}}}},
    {"searchResult": {"source": "s", "title": "t", "content": [{"text": "c"}], "citations": {"enabled": False}}},
]
GUARDED = {"text": {"text": "look at this", "qualifiers": ["grounding_source", "query", "guard_content"]}}
TOOL_NAMED = {"tool": {"type": "tool", "name": "f", "serverName": "somewhere"}}

BLOCKS = {
    "text": one(create_user_message().add_text("  Größe 🙂\n")),
    **{
        f"{kind} {expected} of {name}": one(getattr(user(), f"add_{kind}_bytes")(content, filename=name))
        for kind, expected, name, content in EXAMPLES
    },
    **{
        f"{kind} in S3": one(getattr(user(), f"add_{kind}_s3")(f"s3://bucket/{name}", bucket_owner=OWNER))
        for kind, name in (("image", "a.png"), ("document", "a.pdf"), ("video", "a.mp4"), ("audio", "a.mp3"))
    },
    **{
        f"{kind} with an error": one(user().add_block({kind: {"format": form, "source": {"bytes": data}, **ERROR}}))
        for kind, form, data in (("image", "png", PNG), ("audio", "mp3", b"\xff\xfb"))
    },
    "document of text": one(user().add_document_text("text", "Notes", citations_enabled=True, context="a letter")),
    "document of chunks": one(user().add_document_text(["one", "two"])),
    "tool use": after_a_call(create_user_message().add_tool_result("tooluse_1", "text", "success")),
    "tool use of a server": answered(
        create_assistant_message()
        .add_block(
            {"toolUse": {"toolUseId": "t", "name": "nova_code_interpreter", "input": {}, "type": "server_tool_use"}}
        )
        .add_block(
            {"toolResult": {"toolUseId": "t", "content": [{"json": {"stdOut": "1"}}], "type": "nova_code_result"}}
        )
        .add_text("It is 1."),
        tool_config={"tools": [{"systemTool": {"name": "nova_code_interpreter"}}]},
    ),
    **{
        f"tool result {number}, {next(iter(result))}": after_a_call(
            create_user_message().add_tool_result("tooluse_1", [result], "error")
        )
        for number, result in enumerate(RESULTS)
    },
    "guard content": one(create_user_message().add_guard_content("text", ["query", "grounding_source"])),
    "guard content image": one(user().add_guard_content(image=PNG)),
    "cache points": one(user().add_cache_point().add_text("more").add_cache_point("5m").add_text("and more")),
    "thoughts": answered(
        create_assistant_message()
        .add_reasoning_content("First, ...", "c2lnbmVk")
        .add_reasoning_content(redacted_content=b"\x00\xff")
        .add_text("Yes.")
    ),
    **{
        f"citations of {kind}": answered(
            create_assistant_message().add_block({"citationsContent": cited({kind: location})})
        )
        for kind, location in LOCATIONS.items()
    },
    "search result": one(user().add_search_result("https://a", "A", ["b", "c"], citations_enabled=True)),
    "tools added and removed": BedrockConverseRequest(
        [
            QUESTION,
            create_message("system").add_block({"toolAddition": TOOL_NAMED}).build(),
            create_message("system").add_block({"toolRemoval": TOOL_NAMED}).build(),
        ],
        tool_config=TOOLS,
    ),
}
GUARDRAIL = {"guardrailIdentifier": "guardrail1", "guardrailVersion": "1", "trace": "enabled_full"}
JSON_SCHEMA = {"schema": '{"type": "object"}', "name": "answer", "description": "what is answered"}
FIELDS = {
    "system": {
        "system": [
            {"text": "Be brief."},
            {"cachePoint": {"type": "default", "ttl": "1h"}},
            {"guardContent": GUARDED},
            {"guardContent": {"image": {"format": "png", "source": {"bytes": PNG}}}},
        ]
    },
    "inference": {
        "inference_config": {"maxTokens": 9, "temperature": 0.25, "topP": 0.5, "stopSequences": ["a", "\n\n"]}
    },
    "inference at zero": {"inference_config": {"temperature": 0}},
    "tools": {"tool_config": {"tools": [TOOL, {"cachePoint": {"type": "default", "ttl": "1h"}}]}},
    "tool choice auto": {"tool_config": {**TOOLS, "toolChoice": {"auto": {}}}},
    "tool choice any": {"tool_config": {**TOOLS, "toolChoice": {"any": {}}}},
    "tool choice by name": {"tool_config": {**TOOLS, "toolChoice": {"tool": {"name": "f"}}}},
    "guardrail": {"guardrail_config": GUARDRAIL},
    "additional fields": {"additional_model_request_fields": {"top_k": 5, "more": {"deep": [1.5, None, "ä"]}}},
    "response paths": {"additional_model_response_field_paths": ["/stop_reason", "/stop_sequence"]},
    "prompt variables": {"prompt_variables": {"a": {"text": "b"}}},
    "request metadata": {"request_metadata": {"dag": "a", "task": "b"}},
    "performance": {"performance_config": {"latency": "optimized"}},
    "service tier": {"service_tier": {"type": "flex"}},
    "output schema": {
        "output_config": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": JSON_SCHEMA}}}
    },
    "effort": {"output_config": {"effort": "low"}},
    "what comes next": {"extra_request_fields": {"performanceConfig": {"latency": "standard"}}},
}
TABLE = BLOCKS | {name: BedrockConverseRequest([QUESTION], **fields) for name, fields in FIELDS.items()}

ANSWER = [
    {"reasoningContent": {"reasoningText": {"text": "They want it all.", "signature": "c2lnbmF0dXJl"}}},
    {"reasoningContent": {"redactedContent": b"\x00\xff"}},
    {"text": "Größe 🙂 " * 20},
    {"citationsContent": cited({"web": LOCATIONS["web"]})},
    {"image": {"format": "png", "source": {"bytes": PNG}}},
    {
        "toolUse": {
            "toolUseId": "srv_1",
            "name": "nova_code_interpreter",
            "input": {"snippet": "1+1"},
            "type": "server_tool_use",
        }
    },
    {"toolResult": {"toolUseId": "srv_1", "status": "success", "content": [{"json": {"stdOut": "2"}}, {"text": "2"}]}},
    {"toolUse": {"toolUseId": "tooluse_1", "name": "f", "input": {"a": [1.5, None, "ä", {"b": []}]}}},
]


def as_json(value):
    """What botocore makes of a value on the wire."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def answer(call):
    return Answer(content=as_json(ANSWER)) if "everything" in call.text else Answer("ok")


def send_all(way, url, requests):
    """Send requests one after the other and give their responses."""
    settings = ClientSettings(keys_session, endpoint_url=url, keys_first=True)
    rules = ConversePolicy(retry=RetryConfig(max_retries=0)), make_plan([MODEL])
    streamed = way.endswith("streamed")
    if way.startswith("boto3"):
        clients = Clients(settings)
        engine = StreamEngine(BotoTransport(clients), *rules)
        try:
            return [[*engine.stream(request)][-1] if streamed else engine.ask(request) for request in requests]
        finally:
            for client in clients._clients.values():
                client.close()

    async def send():
        transport = open_transport(way.split()[0], settings)
        engine = AsyncStreamEngine(transport, *rules)
        responses = []
        try:
            for request in requests:
                if streamed:
                    async with aclosing(engine.stream(request)) as stream:
                        responses.append([item async for item in stream][-1])
                else:
                    responses.append(await engine.ask(request))
        finally:
            await transport.close()
        return responses

    return asyncio.run(send())


@pytest.fixture(scope="module")
def whole_endpoint():
    with LocalEndpoint(answerer=answer, models=[EVERYTHING], tls_port=None, keep_bodies=200) as endpoint:
        endpoint.control.guardrail("guardrail1", ["forbidden"], "1")
        yield endpoint


@pytest.fixture(scope="module")
def arrived(whole_endpoint):
    """Way -> name in the table -> what came of the request and the body that the endpoint saw."""
    seen = {}
    for way in WAYS:
        whole_endpoint.control.keep_bodies(200)
        responses = send_all(way, whole_endpoint.url, TABLE.values())
        bodies = [call["body"] for call in whole_endpoint.control.bodies()]
        seen[way] = dict(zip(TABLE, zip(responses, bodies, strict=True), strict=True))
    return seen


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TABLE)
def test_a_request_arrives_as_it_was_given(arrived, way, name):
    response, body = arrived[way][name]
    assert response.error is None
    expected = as_json(TABLE[name].converse_params(MODEL))
    assert body == {member: value for member, value in expected.items() if member != "modelId"}


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_comes_back_as_it_was_given(whole_endpoint, way):
    (response,) = send_all(way, whole_endpoint.url, [BedrockConverseRequest([text_message("everything")])])
    assert response.get_content_blocks() == ANSWER


@pytest.mark.parametrize("way", [way for way in WAYS if "streamed" in way])
def test_a_guardrail_of_a_stream_has_its_mode(whole_endpoint, way):
    whole_endpoint.control.keep_bodies(1)
    config = {**GUARDRAIL, "streamProcessingMode": "sync"}
    (response,) = send_all(way, whole_endpoint.url, [BedrockConverseRequest([QUESTION], guardrail_config=config)])
    assert response.error is None
    assert whole_endpoint.control.bodies()[0]["body"]["guardrailConfig"] == config


def test_the_table_has_every_member_of_converse():
    shape = get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
    sent = {path for request in TABLE.values() for path in paths_sent(request.converse_params(MODEL), shape)}
    assert paths_of(shape) - sent == set()


def paths_of(shape, path=""):
    """Every leaf of a shape, such as `messages[].content[].text`."""
    if getattr(shape, "is_document_type", False):
        return {path}
    if shape.type_name == "structure" and shape.members:
        return set().union(*(paths_of(inner, f"{path}.{name}") for name, inner in shape.members.items()))
    if shape.type_name == "list":
        return paths_of(shape.member, f"{path}[]")
    if shape.type_name == "map":
        return paths_of(shape.value, f"{path}{{}}")
    return {path}


def paths_sent(value, shape, path=""):
    """Every leaf of a shape that a value fills."""
    if getattr(shape, "is_document_type", False):
        return {path}
    if shape.type_name == "structure" and shape.members:
        return set().union(*(paths_sent(inner, shape.members[name], f"{path}.{name}") for name, inner in value.items()))
    if shape.type_name == "list":
        return set().union(*(paths_sent(item, shape.member, f"{path}[]") for item in value))
    if shape.type_name == "map":
        return set().union(*(paths_sent(item, shape.value, f"{path}{{}}") for item in value.values()))
    return {path}
