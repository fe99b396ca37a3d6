"""Calls passed on to an OpenAI-compatible server, here a small one of the test's own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError
from harness.endpoint import NOVA, make_client, say

from airflow_provider_bedrock_llm.local import ConverseCall, LocalEndpoint
from airflow_provider_bedrock_llm.local.upstream import UpstreamAnswerer, chat_request, read_completion

SCHEMA = {"type": "object", "properties": {"stars": {"type": "integer"}}}
TOOLS = {"tools": [{"toolSpec": {"name": "rate", "description": "d", "inputSchema": {"json": SCHEMA}}}]}


class ChatServer(BaseHTTPRequestHandler):
    """Answers by the last message: a status to fail with, a tool call, or an echo."""

    seen: list[tuple[str, str | None, dict]] = []  # noqa: RUF012 - one list for the one server of this module

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers["Authorization"], body))
        said = body["messages"][-1]["content"]
        if said.isdigit():
            self.reply(int(said), {"error": {"message": f"told to answer {said}"}})
        elif said == "garbage":
            self.reply(200, {"no": "choices"})
        elif "tools" in body:
            function = {"name": "rate", "arguments": '{"stars": 4}'}
            message = {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
            self.reply(200, {"choices": [{"message": message, "finish_reason": "tool_calls"}]})
        else:
            usage = {"prompt_tokens": 7, "completion_tokens": 3}
            choice = {"message": {"content": f"echo {said}"}, "finish_reason": "stop"}
            self.reply(200, {"choices": [choice], "usage": usage})

    def reply(self, status, document):
        raw = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def client():
    server = ThreadingHTTPServer(("127.0.0.1", 0), ChatServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answerer = UpstreamAnswerer(f"http://127.0.0.1:{server.server_port}", model="small", api_key="sk-test")
    with LocalEndpoint(answerer=answerer, tls_port=None) as endpoint:
        client = make_client(endpoint)
        yield client
        client.close()
    server.shutdown()
    server.server_close()


def test_an_answer_comes_from_upstream_with_its_usage(client):
    reply = client.converse(modelId=NOVA, messages=say("hello"), system=[{"text": "Be short."}])
    assert reply["output"]["message"]["content"] == [{"text": "echo hello"}]
    assert (reply["usage"]["inputTokens"], reply["usage"]["outputTokens"]) == (7, 3)
    path, key, body = ChatServer.seen[-1]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer sk-test", "small")
    assert body["messages"] == [{"role": "system", "content": "Be short."}, {"role": "user", "content": "hello"}]


def test_a_tool_call_comes_back_as_a_tool_use(client):
    reply = client.converse(modelId=NOVA, messages=say("hello"), toolConfig=TOOLS)
    assert reply["stopReason"] == "tool_use"
    assert reply["output"]["message"]["content"][0]["toolUse"]["input"] == {"stars": 4}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("429", "ThrottlingException"),
        ("500", "ModelErrorException"),
        ("400", "ValidationException"),
        ("garbage", "ModelErrorException"),
    ],
)
def test_upstream_errors_become_those_of_bedrock(client, said, code):
    with pytest.raises(ClientError) as caught:
        client.converse(modelId=NOVA, messages=say(said))
    assert caught.value.response["Error"]["Code"] == code
    if said == "500":
        assert caught.value.response["originalStatusCode"] == 500


def test_an_upstream_that_is_not_there_is_a_model_error(request):
    with LocalEndpoint(answerer=UpstreamAnswerer("http://127.0.0.1:9"), tls_port=None) as endpoint:
        client = make_client(endpoint)
        request.addfinalizer(client.close)
        with pytest.raises(client.exceptions.ModelErrorException, match="cannot be reached"):
            client.converse(modelId=NOVA, messages=say("x"))


def call(**body):
    return ConverseCall("Converse", NOVA, NOVA, "us-east-1", body)


def test_settings_and_schema_are_passed_on():
    structure = {"jsonSchema": {"name": "review", "schema": json.dumps(SCHEMA)}}
    body = chat_request(
        call(
            messages=say("x"),
            inferenceConfig={"maxTokens": 5, "temperature": 0.1, "topP": 0.9, "stopSequences": ["."]},
            outputConfig={"textFormat": {"type": "json_schema", "structure": structure}},
        ),
        "m",
    )
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["stop"]) == (5, 0.1, 0.9, ["."])
    assert body["response_format"]["json_schema"] == {"name": "review", "schema": SCHEMA, "strict": True}


@pytest.mark.parametrize(
    ("choice", "passed"),
    [({"any": {}}, "required"), ({"tool": {"name": "rate"}}, {"type": "function", "function": {"name": "rate"}})],
)
def test_a_forced_tool_is_forced_upstream(choice, passed):
    assert (
        chat_request(call(messages=say("x"), toolConfig={**TOOLS, "toolChoice": choice}), "m")["tool_choice"] == passed
    )


def test_images_tool_calls_and_results_are_passed_on():
    use = {"toolUseId": "t1", "name": "rate", "input": {"stars": 1}}
    messages = [
        {"role": "user", "content": [{"text": "see"}, {"image": {"format": "png", "source": {"bytes": "AAAA"}}}]},
        {"role": "assistant", "content": [{"text": "ok"}, {"toolUse": use}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"json": {"a": 1}}]}}]},
    ]
    first, second, third = chat_request(call(messages=messages), "m")["messages"]
    assert first["content"][1]["image_url"]["url"] == "data:image/png;base64,AAAA"
    assert second["tool_calls"][0]["function"] == {"name": "rate", "arguments": '{"stars": 1}'}
    assert third == {"role": "tool", "tool_call_id": "t1", "content": '{"a": 1}'}


@pytest.mark.parametrize(("finish", "stop"), [("length", "max_tokens"), ("content_filter", "content_filtered")])
def test_the_reason_to_stop_is_translated(finish, stop):
    choice = {"message": {"content": "x"}, "finish_reason": finish}
    assert read_completion({"choices": [choice]}).stop_reason == stop


def test_an_upstream_must_be_a_url():
    with pytest.raises(ValueError, match="upstream='localhost:1234'"):
        UpstreamAnswerer("localhost:1234")
