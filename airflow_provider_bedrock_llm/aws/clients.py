"""Boto3Config and credentials -> clients: one per service and region, made once and shared.

Engine clients make one attempt per call, because the engine owns retries; the mode is always given, because botocore
1.43 and 1.44 differ in their default. Other clients retry as the Boto3Config says.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable  # noqa: TC003 - a type of public fields
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import botocore
from botocore.config import Config

from airflow_provider_bedrock_llm.core.config import Boto3Config

if TYPE_CHECKING:
    import boto3.session

__all__ = ["ClientSettings", "Clients"]

_ENGINE_RETRIES = {"mode": "standard", "total_max_attempts": 1}
_USER_AGENT = f"Botocore/{botocore.__version__} Python/{platform.python_version()} {platform.system()}"
"""What is not given botocore puts together twice for each call: a twelfth of a call's CPU time."""


@dataclass(frozen=True)
class ClientSettings:
    """What every client shares.

    Args:
        open_session: makes a boto3 session with the credentials; called again when they have expired.
        boto3_config: timeouts, pool and botocore's own retries.
        endpoint_url: instead of AWS's own endpoints; `{service}` and `{region}` in it are filled in.
        verify: a CA bundle, False for no check of certificates, None for botocore's choice.
        keys_first: sign with the session's keys even where `AWS_BEARER_TOKEN_BEDROCK` is set, which else wins.
        user_agent_extra: names the caller in AWS's logs.
    """

    open_session: Callable[[], boto3.session.Session]
    boto3_config: Boto3Config = field(default_factory=Boto3Config)
    endpoint_url: str | None = None
    verify: str | bool | None = None
    keys_first: bool = False
    user_agent_extra: str = "airflow-provider-bedrock-llm"

    def with_pool(self, connections: int) -> ClientSettings:
        """The same with room for that many calls at once."""
        if connections <= self.boto3_config.max_pool_connections:
            return self
        return replace(self, boto3_config=replace(self.boto3_config, max_pool_connections=connections))

    def endpoint_for(self, service: str, region: str | None) -> str | None:
        """The endpoint of a service in a region, None for AWS's own."""
        if self.endpoint_url is None:
            return None
        return self.endpoint_url.replace("{service}", service).replace("{region}", region or "us-east-1")

    def botocore_config(self, *, engine: bool) -> Config:
        """The botocore config of a client.

        Args:
            engine: whether the engine drives the client, and with it all retries.
        """
        config = self.boto3_config.to_botocore_config()
        retries = _ENGINE_RETRIES if engine else {"mode": "standard", **config.retries}
        extra: dict[str, Any] = {"retries": retries, "user_agent_extra": self.user_agent_extra}
        if engine:
            extra["user_agent"] = _USER_AGENT
        if self.keys_first:
            extra["auth_scheme_preference"] = "sigv4"
        return config.merge(Config(**extra))


class Clients:
    """boto3 clients for threads.

    Args:
        settings: what every client shares.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self._clients: dict[tuple[str, str | None, bool], Any] = {}
        self._session: boto3.session.Session | None = None
        self._lock = threading.Lock()

    def engine_client(self, service: str, region: str) -> Any:
        """A client that makes one attempt per call."""
        return self._client(service, region, engine=True)

    def client(self, service: str, region: str | None = None) -> Any:
        """A client that retries by itself as the Boto3Config says."""
        return self._client(service, region, engine=False)

    def renew(self) -> None:
        """Forget clients and credentials: the next call opens a new session."""
        with self._lock:
            self._clients.clear()
            self._session = None

    def close(self) -> None:
        """Close every connection: boto3 does so only when told."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, service: str, region: str | None, *, engine: bool) -> Any:
        key = (service, region, engine)
        client = self._clients.get(key)
        if client is None:
            with self._lock:  # a boto3 session must not make two clients at once
                client = self._clients.get(key)
                if client is None:
                    client = self._clients[key] = self._make(service, region, engine=engine)
        return client

    def _make(self, service: str, region: str | None, *, engine: bool) -> Any:
        if self._session is None:
            self._session = self.settings.open_session()
        settings = self.settings
        return self._session.client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint_for(service, region),
            verify=settings.verify,
            config=settings.botocore_config(engine=engine),
        )
