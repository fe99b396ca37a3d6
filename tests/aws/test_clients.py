"""Clients are made once, share their settings, and sign with the keys that they were given."""

import asyncio
import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore
import pytest
from botocore.credentials import RefreshableCredentials
from botocore.session import get_session
from harness.endpoint import KEYS, NOVA, say

from airflow_provider_bedrock_llm.aws.clients import AioClients, Clients, ClientSettings
from airflow_provider_bedrock_llm.aws.transport import AioTransport, BotoTransport
from airflow_provider_bedrock_llm.core.config import Boto3Config
from airflow_provider_bedrock_llm.core.transport import Reply, WireRequest

RUNTIME = "bedrock-runtime"
CONFIG = Boto3Config(read_timeout=901, connect_timeout=7, max_pool_connections=33, retries_max_attempts=4)
HELLO = WireRequest("converse", "us-east-1", {"modelId": NOVA, "messages": say("Hello.")})


def with_keys():
    return boto3.session.Session(**KEYS)


def settings(**fields):
    return ClientSettings(**{"open_session": with_keys, "boto3_config": CONFIG, "keys_first": True, **fields})


@pytest.fixture
async def aio():
    made = []

    def make(**fields):
        made.append(AioClients(settings(**fields)))
        return made[-1]

    yield make
    for clients in made:
        await clients.close()


def test_threads_share_one_client_per_service_region_and_purpose():
    opened = []

    def open_session():
        opened.append(threading.get_ident())
        return with_keys()

    clients = Clients(settings(open_session=open_session))
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: id(clients.engine_client(RUNTIME, "us-east-1")), range(40)))
    assert len(made) == 1
    assert len(opened) == 1
    others = [
        clients.engine_client(RUNTIME, "us-west-2"),
        clients.engine_client("bedrock", "us-east-1"),
        clients.client(RUNTIME, "us-east-1"),
    ]
    assert len({*made, *map(id, others)}) == 4
    assert len(opened) == 1


async def test_a_loop_shares_one_client_per_service_and_region(aio):
    clients = aio()
    made = await asyncio.gather(*[clients.engine_client(RUNTIME, "us-east-1") for _ in range(20)])
    assert len({id(client) for client in made}) == 1
    assert await clients.engine_client(RUNTIME, "us-west-2") is not made[0]


def test_an_engine_client_makes_one_attempt_and_says_its_mode():
    client = Clients(settings()).engine_client(RUNTIME, "us-east-1")
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 1}


def test_another_client_retries_as_configured_and_says_its_mode():
    client = Clients(settings()).client("bedrock", "us-east-1")
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 5}  # four retries


async def test_every_client_has_the_settings_sync_and_async_alike(aio):
    clients, on_loop = Clients(settings()), aio()
    made = [
        clients.engine_client(RUNTIME, "us-east-1"),
        clients.client(RUNTIME, "us-east-1"),
        clients.client("bedrock", "us-east-1"),
        await on_loop.engine_client(RUNTIME, "us-east-1"),
    ]
    for client in made:
        config = client.meta.config
        assert (config.read_timeout, config.connect_timeout, config.max_pool_connections) == (901, 7, 33)
        assert config.user_agent_extra == "airflow-provider-bedrock-llm"
        assert config.retries["mode"] == "standard"
    assert made[0].meta.config.retries == made[3].meta.config.retries


def test_a_pool_is_raised_to_what_is_needed_and_never_lowered():
    assert settings().with_pool(200).boto3_config == Boto3Config(901, 7, 200, 4)
    assert settings().with_pool(5) == settings()


def test_an_endpoint_and_certificates_reach_the_client():
    client = Clients(settings(endpoint_url="http://127.0.0.1:1", verify=False)).engine_client(RUNTIME, "us-east-1")
    assert client.meta.endpoint_url == "http://127.0.0.1:1"


def test_renewing_opens_a_new_session_for_the_next_client():
    opened = []
    clients = Clients(settings(open_session=lambda: opened.append(1) or with_keys()))
    before = clients.engine_client(RUNTIME, "us-east-1")
    clients.renew()
    assert opened == [1]
    assert clients.engine_client(RUNTIME, "us-east-1") is not before
    assert opened == [1, 1]


async def test_renewing_on_a_loop_leaves_calls_under_way_alone(aio, endpoint):
    endpoint.control.latency(0.2)
    clients = aio(endpoint_url=endpoint.url)
    transport = AioTransport(clients)
    under_way = asyncio.create_task(transport.send(HELLO))
    before = await clients.engine_client(RUNTIME, "us-east-1")
    await transport.refresh_credentials()
    assert isinstance(await under_way, Reply)
    assert await clients.engine_client(RUNTIME, "us-east-1") is not before


def keys_that_signed(endpoint):
    return [call["access_key"] for call in endpoint.control.calls()]


async def test_the_keys_of_the_session_win_over_a_bearer_token_in_the_environment(aio, endpoint, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-somebody-else")
    clients = Clients(settings(endpoint_url=endpoint.url))
    assert isinstance(BotoTransport(clients).send(HELLO), Reply)
    clients.engine_client(RUNTIME, "us-east-1").close()
    assert isinstance(await AioTransport(aio(endpoint_url=endpoint.url)).send(HELLO), Reply)
    assert keys_that_signed(endpoint) == [KEYS["aws_access_key_id"]] * 2


async def test_without_keys_first_the_bearer_token_counts_as_botocore_has_it(aio, endpoint, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-this-worker")
    assert isinstance(await AioTransport(aio(endpoint_url=endpoint.url, keys_first=False)).send(HELLO), Reply)
    assert keys_that_signed(endpoint) != [KEYS["aws_access_key_id"]]


def test_keys_first_leaves_the_signing_of_other_services_alone():
    client = Clients(settings()).client("s3", "us-east-1")
    assert client.meta.config.signature_version == "s3v4"


async def test_credentials_that_renew_themselves_do_so_on_a_loop_too(aio, endpoint):
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

    transport = AioTransport(aio(endpoint_url=endpoint.url, open_session=open_session))
    for _ in range(3):
        assert isinstance(await transport.send(HELLO), Reply)
    assert keys_that_signed(endpoint) == ["AKIDNUMBER2"] * 3
    assert fetched == [False, False]  # never on the loop's thread


async def test_a_session_token_travels_with_the_keys(aio, endpoint):
    def open_session():
        return boto3.session.Session(**KEYS, aws_session_token="a-token")

    client = await aio(endpoint_url=endpoint.url, open_session=open_session).engine_client(RUNTIME, "us-east-1")
    assert (await headers_of_a_call(client))["X-Amz-Security-Token"] == b"a-token"


async def headers_of_a_call(client):
    seen = []
    client.meta.events.register("before-send.bedrock-runtime.*", lambda request, **_: seen.append(request.headers))
    await client.converse(modelId=NOVA, messages=say("Hello."))
    return seen[0]


async def test_a_call_says_which_package_makes_it_and_on_what(aio, endpoint):
    headers = await headers_of_a_call(await aio(endpoint_url=endpoint.url).engine_client(RUNTIME, "us-east-1"))
    said = headers["User-Agent"].decode()
    assert said.startswith(f"Botocore/{botocore.__version__} Python/3.")
    assert said.endswith(" airflow-provider-bedrock-llm")
