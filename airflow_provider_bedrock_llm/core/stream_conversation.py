"""One streamed request: the rules of `Conversation` until text was passed on, then those of `StreamRecovery`.

A loop in `aws` gives it what it gives a `Conversation`, and each event as it comes:

    begin -> Call -> start .. hear, hear, ... outcome -> take -> Call | Wait | BedrockResponse
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.conversation import Conversation, ConversePolicy, Step
from airflow_provider_bedrock_llm.core.failover import Call, Decision, Failover, GiveUp, Progress, Reason
from airflow_provider_bedrock_llm.core.faults import Reaction
from airflow_provider_bedrock_llm.core.response import Usage
from airflow_provider_bedrock_llm.core.stream import StreamFold, StreamRecovery, StreamRestarted
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply, WireRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.core.limiter import RouteBook
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

__all__ = ["StreamConversation"]

_TIMES = frozenset({FailureKind.READ_TIMEOUT, FailureKind.DEADLINE})
"""They stay what they are in a stream: the engine bounds them apart from other faults."""


class StreamConversation(Conversation):
    """One streamed request, from its first call to its response.

    Args:
        policy: what it has in common with others.
        request: what is asked.
        failover: the rules and routes.
        book: what is known of the routes; shared.
        recovery: what to do when a stream breaks after text was passed on.
    """

    __slots__ = ("_before", "_fold", "_goes_on", "_passed_on", "_recovery", "_restarted")

    def __init__(
        self,
        policy: ConversePolicy,
        request: BedrockConverseRequest,
        failover: Failover,
        book: RouteBook,
        recovery: StreamRecovery,
    ) -> None:
        super().__init__(policy, request, failover, book)
        self._recovery = recovery
        self._before: list[dict[str, Any]] = []
        self._fold = StreamFold()
        self._passed_on = ""
        self._goes_on = False
        self._restarted: StreamRestarted | None = None

    def start(self, call: Call, now: float) -> WireRequest:
        """The call begins: count it, and say what to send."""
        wire = super().start(call, now)
        self._fold = StreamFold(self._before)
        params = dict(wire.params)
        if self._before:
            params["messages"] = _with_beginning(params.get("messages", ()), self._before)
        return replace(wire, operation="converse_stream", params=params)

    def hear(self, event: Any) -> str:
        """Take an event; the text in it is to be passed on."""
        return self._fold.hear(event)

    def outcome(self, request_id: str | None, failure: Failure | None, duration_seconds: float) -> Reply | Failure:
        """What the stream was worth, now that no event comes any more.

        Args:
            request_id: AWS's id of the call.
            failure: what ended it, None where it just ended.
            duration_seconds: from sending to the end.
        """
        fold = self._fold
        if fold.is_complete:
            return Reply(fold.response_data(), request_id, duration_seconds)
        broken = fold.failure or failure or Failure(FailureKind.STREAM, message="The stream ended without messageStop.")
        return replace(
            broken,
            kind=broken.kind if broken.kind in _TIMES else FailureKind.STREAM,
            request_id=broken.request_id or request_id,
            duration_seconds=duration_seconds,
        )

    def take(self, outcome: Reply | Failure, now: float, draw: float) -> Step:
        """What came of the call; see `Conversation.take`. Ask `restarted` before the next step."""
        self._passed_on = self._fold.text
        self._goes_on = False
        if self._passed_on and isinstance(outcome, Failure) and self._recovery is StreamRecovery.CONTINUE:
            self._goes_on = self._leave_routes_that_cannot_go_on()
        return super().take(outcome, now, draw)

    def restarted(self) -> StreamRestarted | None:
        """The marker to pass on, once, where all text so far has become void."""
        marker, self._restarted = self._restarted, None
        return marker

    def _next(self, step: tuple[Progress, Decision], now: float) -> Step:
        progress, decision = step
        text, self._passed_on = self._passed_on, ""
        if not text or progress.fault.reaction is Reaction.STOP:
            return super()._next(step, now)
        if not (self._goes_on or self._recovery is StreamRecovery.RESTART):
            return super()._next((progress, GiveUp(Reason.STREAM, progress.fault)), now)
        if self._goes_on:
            self._before = self._fold.content()
        elif not isinstance(decision, GiveUp):
            self._restarted = StreamRestarted(str(progress.fault), len(text))
        return super()._next(step, now)

    def _leave_routes_that_cannot_go_on(self) -> bool:
        """Keep to models that take the beginning of their answer; False where there is none, or the answer forbids."""
        if not self._fold.is_only_text or self._policy.schema is not None or self._request.output_config:
            return False
        routes = self._failover.routes
        unable = {index for index, route in enumerate(routes) if not self._policy.takes_prefill(route.model_id)}
        out = self._progress.out | unable
        if len(out) == len(routes):
            return False
        self._progress = replace(self._progress, out=out)
        return True

    def _warnings(self) -> tuple[str, ...]:
        warnings = list(super()._warnings())
        if self._before:
            warnings.append("the answer was continued after its stream broke; its usage is that of the last part")
        if any(attempt.failure is None and attempt.usage == Usage() for attempt in self._attempts):
            warnings.append("the stream ended before AWS said how many tokens the answer took")
        return tuple(warnings)


def _with_beginning(messages: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The messages with the beginning of the answer; models refuse blank text there, and space at its end."""
    *whole, cut = before
    blocks = [block for block in (*whole, {"text": cut["text"].rstrip()}) if block["text"].strip()]
    if not blocks:
        return list(messages)
    if messages and messages[-1]["role"] == "assistant":
        return [*messages[:-1], {**messages[-1], "content": [*messages[-1]["content"], *blocks]}]
    return [*messages, {"role": "assistant", "content": blocks}]
