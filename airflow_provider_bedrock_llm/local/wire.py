"""JSON in and out, and the responses that carry it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from aiohttp import web

from .wire_errors import ErrorReply, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["dump_json", "error_response", "json_response", "new_request_id", "read_json"]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
dump_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def read_json(raw: bytes) -> Any:
    """The value of a request body (an empty one is {}); Refused where it is no JSON."""
    if not raw:
        return {}
    try:
        return _decode(raw.decode())
    except ValueError:
        raise Refused(ErrorReply("SerializationException", 400, "Unable to parse the request body as JSON")) from None


def new_request_id() -> str:
    return str(uuid4())


def json_response(
    value: Any, request_id: str, headers: Mapping[str, str] | None = None, status: int = 200
) -> web.Response:
    return web.Response(
        body=dump_json(value).encode(),
        status=status,
        content_type="application/json",
        headers={"x-amzn-RequestId": request_id, **(headers or {})},
    )


def error_response(reply: ErrorReply, request_id: str) -> web.Response:
    headers = {"x-amzn-RequestId": request_id, **reply.headers()}
    return web.Response(body=reply.body(), status=reply.status, content_type=reply.content_type, headers=headers)
