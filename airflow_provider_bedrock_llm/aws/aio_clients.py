"""aiobotocore's clients for an event loop, with the settings and credentials that boto3's have."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.credentials import RefreshableCredentials
from botocore.loaders import Loader

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

    from airflow_provider_bedrock_llm.aws.clients import ClientSettings

__all__ = ["AioClients"]


class _SessionCredentials(AioCredentials):  # type: ignore[misc]  # aiobotocore has no types
    """Keys that a boto3 session keeps fresh, for aiobotocore: whatever way of authentication a connection has works.

    Fetching new ones may ask STS or a metadata server, which blocks; that happens in a thread.
    """

    def __init__(self, credentials: Credentials) -> None:
        super().__init__(credentials.access_key, credentials.secret_key, credentials.token, credentials.method)
        self._source = credentials

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        if isinstance(self._source, RefreshableCredentials) and self._source.refresh_needed():
            return await asyncio.to_thread(self._source.get_frozen_credentials)
        return self._source.get_frozen_credentials()


class _CredentialProvider:
    def __init__(self, credentials: AioCredentials | None) -> None:
        self._credentials = credentials

    async def load_credentials(self) -> AioCredentials | None:
        return self._credentials


_shared_loader = Loader()
"""The service models, read once per process; reading them on an event loop would block it for half a second."""


class AioClients:
    """aiobotocore clients for one event loop.

    Args:
        settings: what every client shares.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self._clients: dict[tuple[str, str], Any] = {}
        self._session: Any = None
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()

    async def engine_client(self, service: str, region: str) -> Any:
        """A client that makes one attempt per call."""
        client = self._clients.get((service, region))
        if client is not None:
            return client
        async with self._lock:
            client = self._clients.get((service, region))
            if client is None:
                client = self._clients[service, region] = await self._make(service, region)
        return client

    async def renew(self) -> None:
        """Forget clients and credentials. Calls under way keep their client until `close`."""
        async with self._lock:
            self._clients.clear()
            self._session = None

    async def close(self) -> None:
        """Close every connection."""
        await self._stack.aclose()

    async def _make(self, service: str, region: str) -> Any:
        session = self._session
        if session is None:
            session = self._session = await asyncio.to_thread(self._open_session, service)
        settings = self.settings
        config = AioConfig().merge(settings.botocore_config(engine=True))
        context = session.create_client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint_for(service, region),
            verify=settings.verify,
            config=config,
        )
        return await self._stack.enter_async_context(context)

    def _open_session(self, service: str) -> AioSession:
        """Everything that reads files or asks for credentials, off the loop."""
        credentials = self.settings.open_session().get_credentials()
        session = AioSession()
        session.register_component("data_loader", _shared_loader)
        session.warm_up_loader_caches(service)
        _ = session.full_config  # reads the AWS configuration files, and remembers them
        borrowed = None if credentials is None else _SessionCredentials(credentials)
        session.register_component("credential_provider", _CredentialProvider(borrowed))
        return session
