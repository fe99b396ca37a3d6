"""aiobotocore's clients are made once for a loop, and have the settings of boto3's."""

import asyncio

import pytest
from harness.endpoint import KEYS

pytest.importorskip("aiobotocore")

import boto3

from airflow_provider_bedrock_llm.aws.aio_clients import AioClients
from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.core.config import Boto3Config

RUNTIME = "bedrock-runtime"
CONFIG = Boto3Config(read_timeout=901, connect_timeout=7, max_pool_connections=33, retries_max_attempts=4)
SETTINGS = ClientSettings(lambda: boto3.session.Session(**KEYS), CONFIG, keys_first=True)


@pytest.fixture
async def aio():
    clients = AioClients(SETTINGS)
    yield clients
    await clients.close()


async def test_a_loop_shares_one_client_per_service_and_region(aio):
    made = await asyncio.gather(*[aio.engine_client(RUNTIME, "us-east-1") for _ in range(20)])
    assert len({id(client) for client in made}) == 1
    assert await aio.engine_client(RUNTIME, "us-west-2") is not made[0]


async def test_every_client_has_the_settings_sync_and_async_alike(aio):
    clients = Clients(SETTINGS)
    made = [
        clients.engine_client(RUNTIME, "us-east-1"),
        clients.client(RUNTIME, "us-east-1"),
        clients.client("bedrock", "us-east-1"),
        await aio.engine_client(RUNTIME, "us-east-1"),
    ]
    for client in made:
        config = client.meta.config
        assert (config.read_timeout, config.connect_timeout, config.max_pool_connections) == (901, 7, 33)
        assert config.user_agent_extra == "airflow-provider-bedrock-llm"
        assert config.retries["mode"] == "standard"
    assert made[0].meta.config.retries == made[3].meta.config.retries


async def test_renewing_makes_new_clients(aio):
    before = await aio.engine_client(RUNTIME, "us-east-1")
    await aio.renew()
    assert await aio.engine_client(RUNTIME, "us-east-1") is not before
