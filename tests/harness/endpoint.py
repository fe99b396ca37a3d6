"""The local Bedrock endpoint for any suite: import these fixtures into a conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from airflow_provider_bedrock_llm.local import LocalEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-lite-v1:0"
KEYS: dict[str, Any] = {"aws_access_key_id": "AKIDLOCALEXAMPLE", "aws_secret_access_key": "local"}


def say(text: str) -> list[dict[str, Any]]:
    """One user message."""
    return [{"role": "user", "content": [{"text": text}]}]


def make_client(endpoint: Any, service: str = "bedrock-runtime", *, region: str = "us-east-1", **config: Any) -> Any:
    """A boto3 client of the endpoint that makes one attempt."""
    settings = Config(**{"retries": {"mode": "standard", "total_max_attempts": 1}, "signature_version": "v4", **config})
    return boto3.Session().client(service, endpoint_url=endpoint.url, region_name=region, config=settings, **KEYS)


@pytest.fixture(scope="session")
def endpoint_of_session() -> Iterator[LocalEndpoint]:
    with LocalEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(endpoint_of_session: LocalEndpoint) -> LocalEndpoint:
    """A running endpoint, as new."""
    endpoint_of_session.control.reset()
    return endpoint_of_session


@pytest.fixture(scope="session")
def clients_of_session(endpoint_of_session: LocalEndpoint) -> Iterator[dict[str, Any]]:
    clients = {name: make_client(endpoint_of_session, name) for name in ("bedrock-runtime", "bedrock")}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture
def runtime(endpoint: LocalEndpoint, clients_of_session: dict[str, Any]) -> Any:
    """A boto3 bedrock-runtime client of the endpoint."""
    return clients_of_session["bedrock-runtime"]


@pytest.fixture
def bedrock(endpoint: LocalEndpoint, clients_of_session: dict[str, Any]) -> Any:
    """A boto3 bedrock client of the endpoint."""
    return clients_of_session["bedrock"]
