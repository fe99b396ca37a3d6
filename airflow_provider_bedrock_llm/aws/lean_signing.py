"""Who calls: SigV4 with keys that are kept fresh, or a bearer token.

Credentials are botocore's own objects. Fetching new ones may ask STS or a metadata server, which blocks: that happens
in a thread, once for all who wait, and ahead of time, while calls go on with the old ones.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any, Protocol

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import NoCredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.credentials import Credentials, ReadOnlyCredentials
    from botocore.tokens import FrozenAuthToken

__all__ = ["BearerSigner", "KeySigner", "NoSigner", "Signer"]

_LAST_MOMENT_SECONDS = 10 * 60
"""Botocore's own: from then on calls wait for the new keys."""
_TOKEN_MARGIN = dt.timedelta(minutes=15)


class Signer(Protocol):
    """Says who calls."""

    async def sign(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers with what proves who calls.

        Raises:
            botocore.exceptions.BotoCoreError: there are no credentials, or no new ones.
        """
        ...


class KeySigner:
    """SigV4.

    Args:
        credentials: of a session; None where it found none.
        signing_name: the service as SigV4 calls it.
        region: where the call goes.
    """

    def __init__(self, credentials: Credentials | None, signing_name: str, region: str) -> None:
        if credentials is None:
            raise NoCredentialsError
        self._source = credentials
        self._signing_name = signing_name
        self._region = region
        self._refreshes = isinstance(credentials, RefreshableCredentials)
        self._keys: ReadOnlyCredentials | None = None
        self._refreshing: asyncio.Task[ReadOnlyCredentials] | None = None

    async def sign(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers with the signature."""
        keys = await self._fresh() if self._refreshes else self._source.get_frozen_credentials()
        request = AWSRequest("POST", url, headers, body)
        SigV4Auth(keys, self._signing_name, self._region).add_auth(request)
        return dict(request.headers)

    async def _fresh(self) -> ReadOnlyCredentials:
        if not self._source.refresh_needed():
            self._keys = self._source.get_frozen_credentials()
            return self._keys
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(asyncio.to_thread(self._source.get_frozen_credentials))
            self._refreshing.add_done_callback(self._refreshed)
        if self._keys is not None and not self._source.refresh_needed(_LAST_MOMENT_SECONDS):
            return self._keys
        return await asyncio.shield(self._refreshing)  # a call that is cancelled must not cancel it for the others

    def _refreshed(self, task: asyncio.Task[ReadOnlyCredentials]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()  # whoever waits is told; nobody needs to


class BearerSigner:
    """A bearer token: Bedrock's API keys, or what a token provider gives.

    Args:
        fetch: gives the token, and a new one where it expires; may block.
    """

    def __init__(self, fetch: Callable[[], FrozenAuthToken]) -> None:
        self._fetch = fetch
        self._token = fetch()
        self._refreshing = asyncio.Lock()

    async def sign(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:  # noqa: ARG002
        """The headers with the token."""
        if self._is_old():
            async with self._refreshing:
                if self._is_old():
                    self._token = await asyncio.to_thread(self._fetch)
        return {**headers, "Authorization": f"Bearer {self._token.token}"}

    def _is_old(self) -> bool:
        ends: dt.datetime | None = self._token.expiration
        return ends is not None and ends - dt.datetime.now(dt.UTC) < _TOKEN_MARGIN


class NoSigner:
    """Nobody is named: botocore was told not to sign."""

    async def sign(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:  # noqa: ARG002
        """The headers as they are."""
        return dict(headers)
