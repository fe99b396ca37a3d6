"""The bedrock-runtime operations: Converse, ConverseStream, InvokeModel, CountTokens, ApplyGuardrail."""

from __future__ import annotations

import asyncio
import base64
import functools
import inspect
import logging
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .answers import Answer, ConverseCall, complete
from .conversation import check_conversation
from .embeddings import embed
from .event_stream import encode_event, encode_exception, spoil_checksum
from .faults import FaultRule, Suspect
from .guardrails import Guardrail, apply_reply, assessment
from .limits import Demand, Ticket
from .models import Target
from .prompt_cache import CacheUse
from .replies import converse_reply, stream_events, usage_of
from .schema_rules import check_output_schema
from .service_model import Check, compile_shape, load_service, refuse
from .token_count import count_request, count_text
from .wire import json_response, read_json
from .wire_errors import ErrorReply, Refused, preset, validation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .credentials import Caller
    from .state import EndpointState
    from .stats import CallRecord

__all__ = ["OPERATIONS", "Runtime", "meet_fault"]

log = logging.getLogger(__name__)

OPERATIONS = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "invoke": "InvokeModel",
    "count-tokens": "CountTokens",
}
_STREAM_FAULTS = frozenset({"cut_reply", "stream_error", "stream_end", "stream_bad_crc", "stream_stall"})


def _body_checks() -> dict[str, Check]:
    service = load_service("bedrock-runtime")
    checks = {}
    for name in ("Converse", "ConverseStream", "CountTokens", "ApplyGuardrail"):
        shape: Any = service.operation_model(name).input_shape
        body = frozenset(member for member, inner in shape.members.items() if "location" not in inner.serialization)
        checks[name] = compile_shape(shape, body)
    return checks


@dataclass(slots=True)
class _Call:
    """One call on its way through the endpoint."""

    request: web.BaseRequest
    record: CallRecord
    caller: Caller
    target: Target
    body: Any
    raw: bytes
    fault: FaultRule | None = None
    ticket: Ticket | None = None


class Runtime:
    """Serves the data plane from an endpoint's state."""

    def __init__(self, state: EndpointState) -> None:
        self._state = state
        self._checks = _body_checks()
        converse: Any = load_service("bedrock-runtime").operation_model("Converse").input_shape
        self._check_model_id = functools.lru_cache(maxsize=1024)(compile_shape(converse.members["modelId"]))

    async def serve(
        self, request: web.BaseRequest, operation: str, asked: str, record: CallRecord
    ) -> web.StreamResponse:
        """Answer one call on a model; Refused for what AWS refuses."""
        state = self._state
        raw = await request.read()
        record.asked_id = asked
        caller = state.credentials.identify(request.headers)
        record.region, record.access_key = caller.region, caller.access_key
        body: Any = raw if operation == "InvokeModel" else self.read(operation, raw)
        if state.stats.keep_bodies:
            record.body = raw.decode(errors="replace") if operation == "InvokeModel" else body
        wrong = self._check_model_id(asked)
        if wrong:
            raise refuse([one.under("modelId") for one in wrong])
        if operation == "CountTokens":
            target = self._count_tokens_target(asked, caller.region)
        else:
            target = state.models.resolve(asked, caller.region)
        record.model_id = target.model.model_id
        call = _Call(request, record, caller, target, body, raw)
        if operation in {"Converse", "ConverseStream"}:
            record.metadata = body.get("requestMetadata")
        if state.faults:
            call.fault = await meet_fault(state, request, record, lambda: _text_of(operation, call))
        try:
            return await self._dispatch(operation, call)
        finally:
            if call.ticket:
                self._settle(call)

    def read(self, operation: str, raw: bytes) -> Any:
        """A body, valid by the service model."""
        body = read_json(raw)
        wrong = self._checks[operation](body)
        if wrong:
            raise refuse(wrong)
        return body

    async def _dispatch(self, operation: str, call: _Call) -> web.StreamResponse:
        if operation in {"Converse", "ConverseStream"}:
            return await self._converse(call, stream=operation == "ConverseStream")
        if operation == "CountTokens":
            return self._count_tokens(call)
        return await self._invoke(call)

    async def _converse(self, call: _Call, *, stream: bool) -> web.StreamResponse:
        state, model, body, record = self._state, call.target.model, call.body, call.record
        if model.embedding or not model.converse:
            raise validation(
                "This action doesn't support the model that you provided. Try again with a supported model."
            )
        if stream and not model.streaming:
            raise validation("The model is unsupported for streaming")
        check_conversation(body, model)
        converse = ConverseCall(record.operation, model.model_id, call.target.asked, call.caller.region, body)
        check_output_schema(converse, model)
        sent = count_request(body)
        if sent > model.context_window_tokens:
            raise _too_long(model.model_id, sent, model.context_window_tokens)
        settings = body.get("inferenceConfig") or {}
        self._admit(call, sent + settings.get("maxTokens", model.max_output_tokens))
        started = perf_counter()
        answer = await self.answer(converse, body)
        cached = CacheUse()
        if b'"cachePoint"' in call.raw:
            scope = f"{call.caller.account}/{call.caller.region}/{model.model_id}"
            cached = state.cache.account(body, scope, model.prompt_cache_min_tokens, state.now())
        sent = sent if answer.input_tokens is None else answer.input_tokens
        usage = usage_of(sent, answer.output_tokens or 0, cached, caching=model.prompt_caching)
        record.input_tokens, record.output_tokens = usage["inputTokens"], usage["outputTokens"]
        record.cache_read_tokens, record.cache_write_tokens = cached.read_tokens, cached.write_tokens
        if call.target.via_router:
            router = {"invokedModelId": f"arn:aws:bedrock:{call.caller.region}::foundation-model/{model.model_id}"}
            answer = replace(answer, trace={**(answer.trace or {}), "promptRouter": router})
        await self._wait(call, answer, stream=stream)
        latency_ms = int((perf_counter() - started) * 1_000)
        if stream:
            return await self._stream(call, answer, usage, latency_ms)
        record.outcome, record.status = "ok", 200
        reply = json_response(converse_reply(body, answer, usage, latency_ms), record.request_id)
        return await _cut_reply(call, reply) if call.fault and call.fault.action in _STREAM_FAULTS else reply

    async def answer(self, call: ConverseCall, body: Mapping[str, Any]) -> Answer:
        """What the answer function says to a call that was found valid; Refused where it fails."""
        guardrail = self._guardrail(body)
        if guardrail and (found := guardrail.found_in(_guarded_text(body))):
            return _intervened(guardrail.blocked_input, found, body, "inputAssessment")
        try:
            given = self._state.answerer(call)
            answer = complete(call, await given if inspect.isawaitable(given) else given)
        except (Refused, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("the answer function failed for a %s call", call.operation)
            text = f"The answer function raised {type(error).__name__}: {error}"
            members = {"originalStatusCode": 500, "resourceName": call.model_id}
            raise Refused(ErrorReply("ModelErrorException", 424, text, members)) from error
        if guardrail:
            said = "\n".join(block["text"] for block in answer.blocks if "text" in block)
            if found := guardrail.found_in(said):
                return _intervened(guardrail.blocked_output, found, body, "outputAssessments")
        return answer

    def _guardrail(self, body: Mapping[str, Any]) -> Guardrail | None:
        config = body.get("guardrailConfig")
        if not config or not config.get("guardrailIdentifier"):
            return None
        return self._state.guardrails.find(config["guardrailIdentifier"], config.get("guardrailVersion", ""))

    async def _wait(self, call: _Call, answer: Answer, *, stream: bool = False) -> None:
        latency = self._state.latency
        delay_seconds = latency.draw() + answer.delay_seconds
        if not stream:
            delay_seconds += latency.latency.per_output_token_seconds * (answer.output_tokens or 0)
        if call.fault:
            delay_seconds += call.fault.delay_seconds
        if delay_seconds > 0:
            await asyncio.sleep(delay_seconds)

    async def _stream(
        self, call: _Call, answer: Answer, usage: Mapping[str, Any], latency_ms: int
    ) -> web.StreamResponse:
        record, fault = call.record, call.fault
        response = web.StreamResponse(headers={"x-amzn-RequestId": record.request_id})
        response.content_type = "application/vnd.amazon.eventstream"
        await response.prepare(call.request)
        pace_seconds = self._state.latency.latency.per_output_token_seconds
        waiting: list[bytes] = []
        for number, event in enumerate(stream_events(call.body, answer, usage, latency_ms)):
            frame = encode_event(event.kind, event.payload, padding=number * 7 + len(record.request_id))
            if fault and fault.action in _STREAM_FAULTS and number == fault.after_events:
                if fault.action != "stream_bad_crc":
                    await response.write(b"".join(waiting))
                    return await _break_stream(call, fault, response)
                frame = spoil_checksum(frame)
                record.outcome = "stream_bad_crc"
            waiting.append(frame)
            if pace_seconds and event.tokens:
                await response.write(b"".join(waiting))
                waiting.clear()
                await asyncio.sleep(pace_seconds * event.tokens)
        await response.write(b"".join(waiting))
        record.outcome, record.status = record.outcome or "ok", 200
        return response

    async def _invoke(self, call: _Call) -> web.StreamResponse:
        model, record = call.target.model, call.record
        if not model.embedding:
            raise validation("The local endpoint answers InvokeModel for embedding models only. Use Converse instead.")
        started = perf_counter()
        reply, tokens = embed(model, read_json(call.body))
        self._admit(call, tokens)
        record.input_tokens = tokens
        await self._wait(call, Answer(output_tokens=0))
        headers = {
            "X-Amzn-Bedrock-Input-Token-Count": str(tokens),
            "X-Amzn-Bedrock-Invocation-Latency": str(int((perf_counter() - started) * 1_000)),
        }
        record.outcome, record.status = "ok", 200
        response = json_response(reply, record.request_id, headers)
        return await _cut_reply(call, response) if call.fault and call.fault.action == "cut_reply" else response

    def _count_tokens_target(self, asked: str, region: str) -> Target:
        model = next((one for one in self._state.models.in_region(region) if one.model_id == asked), None)
        if model is None:
            self._state.models.resolve(asked, region)
        if model is None or not model.count_tokens:
            raise Refused(preset("no_count_tokens"))
        return Target(asked, model, asked, is_base_id=True)

    @staticmethod
    def _count_tokens(call: _Call) -> web.StreamResponse:
        asked = call.body["input"]
        if "converse" in asked:
            tokens = count_request(asked["converse"])
        else:
            tokens = count_text(base64.b64decode(asked["invokeModel"]["body"]).decode(errors="replace"))
        call.record.outcome, call.record.status = "ok", 200
        return json_response({"inputTokens": tokens}, call.record.request_id)

    async def apply_guardrail(
        self, request: web.BaseRequest, identifier: str, version: str, record: CallRecord
    ) -> web.Response:
        """ApplyGuardrail, by the words that the guardrail was given."""
        caller = self._state.credentials.identify(request.headers)
        record.region, record.access_key, record.asked_id = caller.region, caller.access_key, identifier
        body = self.read("ApplyGuardrail", await request.read())
        guardrail = self._state.guardrails.find(identifier, version)
        texts = [block["text"]["text"] for block in body["content"] if "text" in block]
        reply = apply_reply(guardrail, body["source"], texts, body.get("outputScope", "INTERVENTIONS"))
        record.outcome, record.status = "ok", 200
        return json_response(reply, record.request_id)

    def _admit(self, call: _Call, reserved_tokens: int) -> None:
        limits = self._state.limits
        if not limits.current:
            return
        target, caller = call.target, call.caller
        demand = Demand(caller.account, caller.region, target.quota_key, target.model.model_id, reserved_tokens)
        admitted = limits.admit(demand, self._state.now())
        if isinstance(admitted, ErrorReply):
            raise Refused(admitted)
        call.ticket = admitted

    def _settle(self, call: _Call) -> None:
        record = call.record
        used = (
            record.input_tokens + record.cache_write_tokens + record.output_tokens * call.target.model.output_burndown
        )
        if call.ticket:
            self._state.limits.settle(call.ticket, used, self._state.now())


async def meet_fault(
    state: EndpointState, request: web.BaseRequest, record: CallRecord, text: Callable[[], str]
) -> FaultRule | None:
    """Let the script's faults befall a call: refuse, hang or cut it here; what comes later is given back."""
    suspect = Suspect(
        record.operation,
        record.model_id,
        record.asked_id,
        record.region,
        record.access_key,
        record.metadata or {},
        text,
    )
    rule = state.faults.decide(suspect, state.now())
    if rule is None:
        return None
    if rule.delay_seconds and rule.action in {"error", "cut"}:
        await asyncio.sleep(rule.delay_seconds)
    if rule.action == "error":
        raise Refused(rule.reply.filled(model=record.model_id, region=record.region, account="111122223333"))
    if rule.action == "hang":
        record.outcome = "hang"
        await asyncio.Event().wait()
    if rule.action == "cut":
        record.outcome = "cut"
        if request.transport:
            request.transport.abort()
        # aiohttp cancels this task as soon as the connection is gone.
        await asyncio.Event().wait()
    return rule


async def _cut_reply(call: _Call, whole: web.Response) -> web.StreamResponse:
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(headers={"x-amzn-RequestId": call.record.request_id})
    response.content_type, response.content_length = "application/json", len(body)
    await response.prepare(call.request)
    await response.write(body[: len(body) // 2])
    call.record.outcome = "cut_reply"
    _close(call.request)
    return response


def _close(request: web.BaseRequest) -> None:
    if request.transport:
        request.transport.close()


async def _break_stream(call: _Call, fault: FaultRule, response: web.StreamResponse) -> web.StreamResponse:
    call.record.status = 200
    if fault.action == "stream_error":
        reply = fault.reply
        kind = reply.code[:1].lower() + reply.code[1:]
        call.record.outcome = f"stream_error:{kind}"
        await response.write(encode_exception(kind, {**reply.members, "message": reply.message}))
    elif fault.action == "stream_end":
        call.record.outcome = "stream_end"
    elif fault.action == "stream_stall":
        call.record.outcome = "stream_stall"
        await asyncio.Event().wait()
    else:
        call.record.outcome = "cut_reply"
        _close(call.request)
    return response


def _too_long(model_id: str, tokens: int, limit: int) -> Refused:
    if model_id.startswith("anthropic."):
        text = f"prompt is too long: {tokens} tokens > {limit} maximum"
        return validation(f"The model returned the following errors: {text}")
    return Refused(preset("input_too_long"))


def _text_of(operation: str, call: _Call) -> str:
    if operation in {"Converse", "ConverseStream"}:
        return ConverseCall(operation, "", "", "", call.body).prompt
    return call.raw.decode(errors="replace")


def _guarded_text(body: Mapping[str, Any]) -> str:
    blocks = [block for message in body.get("messages") or () for block in message["content"]]
    marked = [block["guardContent"]["text"]["text"] for block in blocks if "text" in block.get("guardContent", {})]
    return "\n".join(marked or [block["text"] for block in blocks if "text" in block])


def _intervened(text: str, found: list[str], body: Mapping[str, Any], side: str) -> Answer:
    config = body["guardrailConfig"]
    trace = None
    if config.get("trace") in {"enabled", "enabled_full"}:
        told: Any = assessment(found)
        told = {config["guardrailIdentifier"]: told if side == "inputAssessment" else [told]}
        trace = {"guardrail": {side: told}}
    return Answer(content=({"text": text},), stop_reason="guardrail_intervened", output_tokens=0, trace=trace)
