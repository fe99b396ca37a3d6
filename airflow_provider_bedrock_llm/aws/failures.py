"""Exceptions of boto3, aiobotocore and the HTTP libraries under them -> `Failure`.

Botocore wraps most, but not all: what breaks while a body or a stream is read comes out as urllib3's or aiohttp's own.
"""

from __future__ import annotations

import math
import re
from typing import Any

import aiohttp
import urllib3.exceptions
from botocore import exceptions as boto
from botocore.eventstream import ParserError as FrameError
from botocore.parsers import ResponseParserError

from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind

__all__ = ["EXPECTED", "failure_from"]

_KINDS: tuple[tuple[tuple[type[BaseException], ...], FailureKind], ...] = (
    (
        (boto.ReadTimeoutError, urllib3.exceptions.ReadTimeoutError, aiohttp.SocketTimeoutError),
        FailureKind.READ_TIMEOUT,
    ),
    (
        (
            boto.ConnectTimeoutError,
            boto.EndpointConnectionError,
            boto.ProxyConnectionError,
            boto.SSLError,
            urllib3.exceptions.NewConnectionError,
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
        ),
        FailureKind.CONNECTION_FAILED,
    ),
    (
        (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.MetadataRetrievalError,
            boto.NoAuthTokenError,
            boto.TokenRetrievalError,
            boto.SSOError,
            boto.ProfileNotFound,
        ),
        FailureKind.CREDENTIALS,
    ),
    (
        (
            boto.HTTPClientError,
            boto.ResponseStreamingError,
            boto.IncompleteReadError,
            urllib3.exceptions.HTTPError,
            aiohttp.ClientError,
            ResponseParserError,
            FrameError,
            ConnectionError,
            TimeoutError,
        ),
        FailureKind.CONNECTION_LOST,
    ),
    ((boto.BotoCoreError,), FailureKind.REJECTED),  # parameters, endpoint, configuration: nothing was sent
)

_VALUE = re.compile(r", value: .*, type: ", re.DOTALL)

EXPECTED: tuple[type[BaseException], ...] = (
    boto.ClientError,
    boto.BotoCoreError,
    *(kind for kinds, _ in _KINDS for kind in kinds),
)
"""What a call may raise without there being a bug in this package."""


def failure_from(error: BaseException, duration_seconds: float) -> Failure:
    """Say what an exception means.

    Args:
        error: one of `EXPECTED`.
        duration_seconds: from sending to the exception.
    """
    if isinstance(error, boto.ClientError):
        return _service_failure(error.response, duration_seconds)
    kind = next(kind for kinds, kind in _KINDS if isinstance(error, kinds))
    # What botocore refuses it repeats, and that can be a prompt, which must not get into a log.
    text = _VALUE.sub(", type: ", str(error)) if isinstance(error, boto.ParamValidationError) else str(error)
    return Failure(kind, type(error).__name__, text, duration_seconds=duration_seconds)


def _service_failure(response: Any, duration_seconds: float) -> Failure:
    error = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    return Failure(
        FailureKind.SERVICE,
        str(error.get("Code", "")),
        str(error.get("Message") or response.get("message") or ""),
        metadata.get("HTTPStatusCode"),
        metadata.get("RequestId"),
        _retry_after_seconds(metadata.get("HTTPHeaders") or {}),
        response.get("originalStatusCode"),
        duration_seconds,
    )


def _retry_after_seconds(headers: Any) -> float | None:
    """`x-amz-retry-after` is in milliseconds."""
    try:
        seconds = float(headers["x-amz-retry-after"]) / 1000
    except (KeyError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
