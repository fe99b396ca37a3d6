"""The HTTP side: raw paths to operations, one handler for both services and the control address."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote as _unquote

from aiohttp import web

from .batch_api import BatchApi, BatchRoute
from .catalog_api import CatalogApi, reply_to
from .control_api import ControlApi
from .runtime import OPERATIONS, Runtime, meet_fault
from .wire import error_response, new_request_id
from .wire_errors import ErrorReply, Refused, preset

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable

    from .state import EndpointState
    from .stats import CallRecord

__all__ = ["EndpointServer"]

log = logging.getLogger(__name__)
unquote = functools.lru_cache(maxsize=1024)(_unquote)
_CONTROL = "/_local/"
_SHUTDOWN_SECONDS = 0.2


class EndpointServer:
    """Serves one state on a plain and a TLS port."""

    def __init__(self, state: EndpointState) -> None:
        self._state = state
        self._runtime = Runtime(state)
        self._catalog = CatalogApi(state)
        self._batch = BatchApi(state, self._runtime)
        self._control = ControlApi(state)
        self._runner: web.ServerRunner | None = None
        self.port = 0
        self.tls_port: int | None = None

    async def start(self, tls: ssl.SSLContext | None) -> None:
        """Listen; OSError where a port is taken."""
        settings = self._state.settings
        server = web.Server(self._handle, request_factory=self._request, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        self.port = await self._listen(settings.port, None)
        if tls is not None and settings.tls_port is not None:
            self.tls_port = await self._listen(settings.tls_port, tls)

    async def _listen(self, port: int, tls: ssl.SSLContext | None) -> int:
        assert self._runner is not None  # noqa: S101 - a fact for the type checker
        host = self._state.settings.host
        site = web.TCPSite(self._runner, host, port, ssl_context=tls, backlog=1024)
        await site.start()
        sockets: Any = site._server.sockets  # type: ignore[union-attr]  # noqa: SLF001 - the only way to learn the port
        return int(sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self._state.batch.reset()
        if self._runner is not None:
            await self._runner.cleanup()

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        size = self._state.settings.max_body_bytes
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=size)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if path.startswith(_CONTROL):
            return await self._control.serve(request, path[len(_CONTROL) :], query)
        if path.startswith("/model/") and request.method == "POST":
            name, _, verb = path[7:].rpartition("/")
            operation = OPERATIONS.get(verb)
            if operation and name:
                record = self._begin(operation)
                return await self._guard(record, self._runtime.serve(request, operation, unquote(name), record))
        if path.startswith("/guardrail/") and path.endswith("/apply") and request.method == "POST":
            identifier, _, version = path[11:-6].partition("/version/")
            record = self._begin("ApplyGuardrail")
            applied = self._runtime.apply_guardrail(request, unquote(identifier), unquote(version), record)
            return await self._guard(record, applied)
        return await self._other(request, path, query)

    async def _other(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        if path == "/" and request.method == "POST":
            record = self._begin("GetCallerIdentity")
            return await self._guard(record, self._sts(request, record))
        route = self._batch.route(request.method, path) or self._catalog.route(request.method, path)
        if route is None:
            return error_response(preset("unknown_operation"), new_request_id())
        record = self._begin(route[0])
        return await self._guard(record, self._list(request, route, query, record))

    async def _list(
        self, request: web.BaseRequest, route: BatchRoute | tuple[str, str], query: str, record: CallRecord
    ) -> web.StreamResponse:
        caller = self._state.credentials.identify(request.headers)
        record.region, record.access_key, record.asked_id = caller.region, caller.access_key, route[1]
        raw = await request.read()
        rule = None
        if self._state.faults:
            rule = await meet_fault(self._state, request, record, lambda: "")
            if rule and rule.delay_seconds:
                await asyncio.sleep(rule.delay_seconds)
        if isinstance(route, BatchRoute):
            body, status = self._batch.serve(route, query, raw, caller), 200
        else:
            body, status = self._catalog.serve(*route, query, raw, caller)
        if rule and rule.action == "cut_reply":
            record.outcome = "cut_reply"
            if request.transport:
                request.transport.abort()
            await asyncio.Event().wait()  # aiohttp cancels this task as soon as the connection is gone
        record.outcome, record.status = "ok", status
        return reply_to(body, status, record)

    async def _sts(self, request: web.BaseRequest, record: CallRecord) -> web.StreamResponse:
        caller = self._state.credentials.identify(request.headers)
        record.region, record.access_key = caller.region, caller.access_key
        if b"Action=GetCallerIdentity" not in await request.read():
            raise Refused(preset("unknown_operation"))
        record.outcome, record.status = "ok", 200
        return self._catalog.caller_identity(caller, record)

    def _begin(self, operation: str) -> CallRecord:
        record = self._state.stats.begin(operation)
        record.request_id = new_request_id()
        return record

    async def _guard(self, record: CallRecord, work: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        try:
            return await work
        except Refused as refused:
            return _refusal(record, refused.reply)
        except web.HTTPRequestEntityTooLarge as error:
            return _refusal(record, ErrorReply("RequestEntityTooLargeException", 413, str(error)))
        except asyncio.CancelledError:
            record.outcome = record.outcome or "client_gone"
            raise
        except ConnectionError:
            record.outcome = record.outcome or "client_gone"
            return web.Response()
        except Exception:
            log.exception("the local endpoint failed on a %s call", record.operation)
            return _refusal(record, preset("internal"))
        finally:
            self._state.stats.end(record)


def _refusal(record: CallRecord, reply: ErrorReply) -> web.Response:
    record.outcome, record.status = reply.code or f"http_{reply.status}", reply.status
    return error_response(reply, record.request_id)
