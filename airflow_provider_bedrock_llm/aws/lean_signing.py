"""Who calls: SigV4 with keys that are kept fresh, or a bearer token.

Credentials are botocore's own objects. Fetching new ones may ask STS or a metadata server, which blocks: that happens
in a thread, once for all who wait, and ahead of time, while calls go on with the old ones.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from botocore.credentials import RefreshableCredentials
from botocore.exceptions import NoCredentialsError
from botocore.utils import normalize_url_path
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.credentials import Credentials, ReadOnlyCredentials
    from botocore.tokens import FrozenAuthToken

__all__ = ["BearerSigner", "KeySigner", "NoSigner", "Signer", "sign_v4"]

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
        return sign_v4(keys, self._region, self._signing_name, url, headers, body, dt.datetime.now(dt.UTC))

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


def sign_v4(
    keys: ReadOnlyCredentials,
    region: str,
    signing_name: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    now: dt.datetime,
) -> dict[str, str]:
    """The headers of a POST, signed with Signature Version 4 (AWS General Reference, "Signing AWS API requests").

    Byte for byte what `botocore.auth.SigV4Auth` makes of it, at a sixth of its cost: the key of the day and the parts
    of the URL are the same for many calls, and there is no request object with headers in a mail's clothes.
    """
    at = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{at[:8]}/{region}/{signing_name}/aws4_request"
    signed = {**headers, "X-Amz-Date": at}
    if keys.token:
        signed["X-Amz-Security-Token"] = keys.token
    host, path, query = _parts_of(url)
    said = {name.lower(): " ".join(value.split()) for name, value in signed.items()} | {"host": host}
    names = sorted(said)
    listed = ";".join(names)
    lines = "".join(f"{name}:{said[name]}\n" for name in names)
    canonical = f"POST\n{path}\n{query}\n{lines}\n{listed}\n{hashlib.sha256(body).hexdigest()}"
    to_sign = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = _digest(_key_of_the_day(keys.secret_key, scope), to_sign).hex()
    signed["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={listed}, Signature={signature}"
    )
    return signed


@lru_cache(maxsize=256)
def _parts_of(url: str) -> tuple[str, str, str]:
    """Host, path and query as they are signed; the path, which is percent-encoded, is encoded once more."""
    parts = urlsplit(url)
    host = URL(url, encoded=True).host_port_subcomponent or ""  # what aiohttp sends
    query = "&".join(sorted(part if "=" in part else f"{part}=" for part in parts.query.split("&") if part))
    return host, quote(normalize_url_path(parts.path), safe="/~"), query


@lru_cache(maxsize=64)
def _key_of_the_day(secret_key: str, scope: str) -> bytes:
    return reduce(_digest, scope.split("/"), f"AWS4{secret_key}".encode())


def _digest(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
