"""What a transport for an event loop owes beside the right bytes: who signs, which way it goes, what a break means.

Each test holds for every transport that is installed.
"""

import asyncio
import datetime as dt
import threading

import boto3
import botocore
import pytest
from botocore.credentials import RefreshableCredentials
from botocore.session import get_session
from harness.async_transports import ASYNC_TRANSPORTS, open_transport
from harness.endpoint import KEYS, NOVA, say
from harness.plain_server import PlainServer

from airflow_provider_bedrock_llm.aws.clients import ClientSettings
from airflow_provider_bedrock_llm.core.config import Boto3Config
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply, WireRequest

HELLO = WireRequest("converse", "us-east-1", {"modelId": NOVA, "messages": say("Hello.")})
STREAM = WireRequest("converse_stream", "us-east-1", HELLO.params)
REFUSES_BEARER_OVER_HTTP = tuple(map(int, botocore.__version__.split(".")[:2])) >= (1, 44)


def with_keys():
    return boto3.session.Session(**KEYS)


@pytest.fixture(params=ASYNC_TRANSPORTS)
async def opened(request):
    made = []

    def open_one(url=None, open_session=with_keys, keys_first=True, verify=None, **config):
        settings = ClientSettings(
            open_session,
            Boto3Config(**{"read_timeout": 20, **config}),
            endpoint_url=url,
            keys_first=keys_first,
            verify=verify,
        )
        made.append(open_transport(request.param, settings))
        return made[-1]

    yield open_one
    for transport in made:
        await transport.close()


def keys_that_signed(endpoint):
    return [call["access_key"] for call in endpoint.control.calls()]


async def failure_of(transport, request=HELLO):
    outcome = await transport.send(request)
    assert isinstance(outcome, Failure)
    return outcome.kind, outcome.code


async def test_new_credentials_leave_calls_under_way_alone(opened, endpoint):
    endpoint.control.latency(0.2)
    sessions = []
    transport = opened(endpoint.url, lambda: sessions.append(1) or with_keys())
    under_way = asyncio.create_task(transport.send(HELLO))
    while not endpoint.control.stats().in_flight:  # noqa: ASYNC110 - it is another thread's, and has no event
        await asyncio.sleep(0.01)
    await transport.refresh_credentials()
    assert isinstance(await under_way, Reply)
    assert isinstance(await transport.send(HELLO), Reply)
    assert len(sessions) == 2


async def test_the_keys_of_the_session_win_over_a_bearer_token_in_the_environment(opened, endpoint, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-somebody-else")
    assert isinstance(await opened(endpoint.url).send(HELLO), Reply)
    assert keys_that_signed(endpoint) == [KEYS["aws_access_key_id"]]


async def test_without_keys_first_the_bearer_token_counts_as_botocore_has_it(opened, endpoint, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-this-worker")
    transport = opened(endpoint.tls_url, keys_first=False, verify=str(endpoint.ca_path))
    assert isinstance(await transport.send(HELLO), Reply)
    assert keys_that_signed(endpoint) != [KEYS["aws_access_key_id"]]


async def test_a_bearer_token_goes_out_as_it_is(opened, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-this-worker")
    async with PlainServer() as server:
        outcome = await opened(server.url, boto3.session.Session, keys_first=False).send(HELLO)
    if REFUSES_BEARER_OVER_HTTP:
        assert (outcome.kind, outcome.code) == (FailureKind.REJECTED, "InvalidEndpointConfigurationError")
        assert server.seen == []
    else:
        assert server.seen[0].headers["authorization"] == "Bearer bedrock-api-key-of-this-worker"


async def test_credentials_that_renew_themselves_do_so_off_the_loop(opened, endpoint):
    fetched = []

    def fetch():
        fetched.append(threading.current_thread() is threading.main_thread())
        lasts = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1 if len(fetched) == 1 else 7200)
        return {
            "access_key": f"AKIDNUMBER{len(fetched)}",
            "secret_key": "local",
            "token": "t",
            "expiry_time": lasts.isoformat(),
        }

    def open_session():
        inner = get_session()
        inner._credentials = RefreshableCredentials.create_from_metadata(fetch(), fetch, "test")
        return boto3.session.Session(botocore_session=inner)

    transport = opened(endpoint.url, open_session)
    for _ in range(3):
        assert isinstance(await transport.send(HELLO), Reply)
    assert keys_that_signed(endpoint) == ["AKIDNUMBER2"] * 3
    assert fetched == [False, False]  # never on the loop's thread


async def test_what_goes_over_the_wire(opened):
    def open_session():
        return boto3.session.Session(**KEYS, aws_session_token="a-token")

    arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc"
    async with PlainServer() as server:
        reply = await opened(f"{server.url}/prefix/", open_session).send(
            WireRequest("converse", "us-east-1", {**HELLO.params, "modelId": arn})
        )
    assert reply.request_id == "r-1"
    (seen,) = server.seen
    assert seen.target == (
        "/prefix/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3Aapplication-inference-profile%2Fabc/converse"
    )
    assert seen.headers["x-amz-security-token"] == "a-token"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["host"] == server.url.removeprefix("http://")
    assert seen.headers["user-agent"].startswith(f"Botocore/{botocore.__version__} Python/3.")
    assert seen.headers["user-agent"].endswith(" airflow-provider-bedrock-llm")
    assert f"Credential={KEYS['aws_access_key_id']}/" in seen.headers["authorization"]
    assert "/us-east-1/bedrock/aws4_request" in seen.headers["authorization"]


async def test_the_endpoint_of_the_environment_is_called(opened, monkeypatch):
    async with PlainServer() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
        assert isinstance(await opened().send(HELLO), Reply)
    assert len(server.seen) == 1


async def test_tls_is_checked(opened, endpoint, monkeypatch):
    assert await failure_of(opened(endpoint.tls_url)) == (FailureKind.CONNECTION_FAILED, "SSLError")
    assert isinstance(await opened(endpoint.tls_url, verify=str(endpoint.ca_path)).send(HELLO), Reply)
    assert isinstance(await opened(endpoint.tls_url, verify=False).send(HELLO), Reply)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(endpoint.ca_path))
    assert isinstance(await opened(endpoint.tls_url).send(HELLO), Reply)


async def test_a_proxy_of_the_environment_is_used_but_for_those_it_is_not_for(opened, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with PlainServer() as proxy, PlainServer() as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert isinstance(await opened("http://bedrock.example.invalid").send(HELLO), Reply)
        assert proxy.seen[0].target.startswith("http://bedrock.example.invalid/model/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert isinstance(await opened(server.url).send(HELLO), Reply)
        assert len(server.seen) == 1


async def test_who_cannot_be_reached_was_not_sent_anything(opened, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    lost = FailureKind.CONNECTION_FAILED
    assert await failure_of(opened("http://127.0.0.1:9")) == (lost, "EndpointConnectionError")
    assert await failure_of(opened("http://nowhere.invalid")) == (lost, "EndpointConnectionError")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert await failure_of(opened("http://nowhere.invalid")) == (lost, "ProxyConnectionError")


async def test_an_answer_that_does_not_come_is_a_read_timeout(opened, endpoint):
    endpoint.control.fail(action="hang")
    transport = opened(endpoint.url, read_timeout=0.2)
    assert await failure_of(transport) == (FailureKind.READ_TIMEOUT, "ReadTimeoutError")
    assert (await transport.open_stream(STREAM)).kind is FailureKind.READ_TIMEOUT


async def test_a_connection_that_breaks_before_the_answer_is_lost_and_not_sent_again(opened):
    async with PlainServer("answer", "close") as server:
        transport = opened(server.url)
        assert isinstance(await transport.send(HELLO), Reply)
        assert await failure_of(transport) == (FailureKind.CONNECTION_LOST, "ConnectionClosedError")
        assert len(server.seen) == 2
        assert {seen.connection for seen in server.seen} == {1}  # the one that was kept


async def test_a_kept_connection_that_the_server_closed_is_not_used(opened):
    async with PlainServer("answer and close") as server:
        transport = opened(server.url)
        for _ in range(2):
            assert isinstance(await transport.send(HELLO), Reply)
            await asyncio.sleep(0.01)  # the end of the connection arrives
    assert [seen.connection for seen in server.seen] == [1, 2]


async def test_no_more_connections_than_the_pool_has(opened, endpoint):
    async with PlainServer() as server:
        transport = opened(server.url, max_pool_connections=2)
        outcomes = await asyncio.gather(*(transport.send(HELLO) for _ in range(12)))
    assert all(isinstance(outcome, Reply) for outcome in outcomes)
    assert server.connections == 2


async def test_an_error_of_a_stream_before_its_first_event_is_that_of_a_call(opened, endpoint):
    endpoint.control.throttle()
    transport = opened(endpoint.url)
    streamed, sent = await transport.open_stream(STREAM), await transport.send(HELLO)
    assert (streamed.kind, streamed.code, streamed.status) == (sent.kind, sent.code, sent.status)
    assert streamed.request_id


async def test_a_cancelled_call_lets_go(opened, endpoint):
    endpoint.control.fail(action="hang", first=1)
    transport = opened(endpoint.url, max_pool_connections=1)
    hanging = asyncio.create_task(transport.send(HELLO))
    while not endpoint.control.stats().in_flight:  # noqa: ASYNC110 - it is another thread's, and has no event
        await asyncio.sleep(0.01)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert isinstance(await transport.send(HELLO), Reply)
