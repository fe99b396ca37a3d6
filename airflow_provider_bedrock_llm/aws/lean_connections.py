"""Connections to one endpoint: aiohttp's pool, with botocore's timeouts, certificates, proxies and exceptions."""

from __future__ import annotations

import io
import os
import ssl
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from botocore import exceptions as boto
from botocore.httpsession import ProxyConfiguration, get_cert_path, mask_proxy_url
from botocore.utils import get_environ_proxies
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import boto3.session

    from airflow_provider_bedrock_llm.core.config import Boto3Config

__all__ = ["LeanConnections", "WireReply", "trusted_certificates"]

_KEPT_IDLE_SECONDS = 12.0
"""As aiobotocore: shorter than any server's, so that a call rarely meets a connection that is just being closed."""
_WHOLE_BYTES = 1 << 20
"""Longer bodies go out in pieces, so that the event loop is not held up."""

_url = lru_cache(maxsize=256)(lambda url: URL(url, encoded=True))


class WireReply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def trusted_certificates(verify: str | bool | None, session: boto3.session.Session) -> str | bool:
    """What certificates are checked against, as botocore decides it: a CA bundle, True for its own, False for nothing.

    Args:
        verify: of the connection; None leaves it to configuration and environment (`AWS_CA_BUNDLE`, `ca_bundle` of
            the profile, `REQUESTS_CA_BUNDLE`).
        session: whose profile counts.
    """
    if verify is None:
        verify = session._session.get_config_variable("ca_bundle")  # noqa: SLF001 - boto3 shows it nowhere else
    return os.environ.get("REQUESTS_CA_BUNDLE") or True if verify is None else verify


class LeanConnections:
    """A pool of connections to one endpoint. Made in a thread: reading certificates takes a while.

    Args:
        base_url: of the endpoint.
        boto3_config: timeouts, and how many connections there may be.
        verify: see `trusted_certificates`.
    """

    def __init__(self, base_url: str, boto3_config: Boto3Config, verify: str | bool) -> None:
        self._base_url = base_url
        self._config = boto3_config
        proxies = ProxyConfiguration(proxies=get_environ_proxies(base_url))
        self._proxy_url = proxies.proxy_url_for(base_url)
        self._proxy_headers = proxies.proxy_headers_for(self._proxy_url) if self._proxy_url else None
        self._ssl: ssl.SSLContext | None = _tls(verify) if base_url.startswith("https") else None
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> WireReply:
        """Send, and read the answer to its end.

        Raises:
            botocore.exceptions.HTTPClientError: what botocore raises where a connection fails or breaks.
        """
        with self._as_botocore():
            response = await self._open(url, headers, body)
            async with response:
                return WireReply(response.status, response.headers, await response.read())

    async def open(self, url: str, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        """Send, and wait for the answer to begin. The caller reads and closes it.

        Raises:
            botocore.exceptions.HTTPClientError: what botocore raises where a connection fails or breaks.
        """
        with self._as_botocore():
            return await self._open(url, headers, body)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _open(self, url: str, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        data = body if len(body) < _WHOLE_BYTES else io.BytesIO(body)
        try:
            return await self._send(url, headers, data)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            # Wherever a whole request was written, nobody knows whether the service acted on it, and whoever decides
            # about money decides about a retry.
            if not _was_cut_off(error, data):
                raise
        return await self._send(url, headers, io.BytesIO(body))

    async def _send(self, url: str, headers: Mapping[str, str], data: bytes | io.BytesIO) -> aiohttp.ClientResponse:
        session = self._session
        if session is None:
            session = self._session = self._new_session()
        return await session.post(
            _url(url),
            data=data,
            headers=headers,
            allow_redirects=False,
            proxy=self._proxy_url,
            proxy_headers=self._proxy_headers,
        )

    def _new_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._config.max_pool_connections,
            keepalive_timeout=_KEPT_IDLE_SECONDS,
            ssl=True if self._ssl is None else self._ssl,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._config.connect_timeout, sock_read=self._config.read_timeout
            ),
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    @contextmanager
    def _as_botocore(self) -> Iterator[None]:
        """What aiohttp raises, said as botocore says it, so that logs and `retryable_errors` read alike."""
        at = self._base_url
        try:
            yield
        except aiohttp.SocketTimeoutError as error:
            raise boto.ReadTimeoutError(endpoint_url=at, error=error) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise boto.ConnectTimeoutError(endpoint_url=at, error=error) from error
        except aiohttp.ClientSSLError as error:
            raise boto.SSLError(endpoint_url=at, error=error) from error
        except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as error:
            shown = mask_proxy_url(self._proxy_url or at)
            raise boto.ProxyConnectionError(proxy_url=shown, error=error) from error
        except aiohttp.ClientConnectorError as error:
            raise boto.EndpointConnectionError(endpoint_url=at, error=error) from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, aiohttp.ClientOSError) as error:
            raise boto.ConnectionClosedError(endpoint_url=at, error=error, request=None, response=None) from error
        except aiohttp.InvalidURL as error:
            raise boto.InvalidEndpointConfigurationError(msg=f"{at} is no URL") from error
        except aiohttp.ClientError as error:
            raise boto.HTTPClientError(error=error) from error


def _was_cut_off(error: aiohttp.ClientError, data: bytes | io.BytesIO) -> bool:
    """Whether the connection broke before all of the request was handed to it: the service cannot have acted on it."""
    if isinstance(data, io.BytesIO) and data.tell() < data.getbuffer().nbytes:
        return True
    return isinstance(error.__cause__, aiohttp.ClientConnectionResetError)  # it was closing when the write began


def _tls(verify: str | bool) -> ssl.SSLContext:
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    path = Path(get_cert_path(verify))
    return ssl.create_default_context(capath=path) if path.is_dir() else ssl.create_default_context(cafile=path)
