"""An answer whose body breaks off is a lost connection, and never an empty answer."""

import asyncio

import boto3
import pytest
from harness.async_transports import ASYNC_TRANSPORTS, open_transport
from harness.endpoint import KEYS, NOVA, say

from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, WireRequest

REQUEST = WireRequest("converse", "us-east-1", {"modelId": NOVA, "messages": say("Hello.")})


@pytest.fixture
def settings(endpoint):
    endpoint.control.fail(action="cut_reply")
    return ClientSettings(lambda: boto3.session.Session(**KEYS), endpoint_url=endpoint.url, keys_first=True)


def test_in_threads(settings):
    clients = Clients(settings)
    outcome = BotoTransport(clients).send(REQUEST)
    clients.engine_client("bedrock-runtime", "us-east-1").close()
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.CONNECTION_LOST


@pytest.mark.parametrize("name", ASYNC_TRANSPORTS)
def test_on_an_event_loop(settings, name):
    async def send():
        transport = open_transport(name, settings)
        try:
            return await transport.send(REQUEST)
        finally:
            await transport.close()

    outcome = asyncio.run(send())
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.CONNECTION_LOST
