"""The loops for streams: `StreamEngine` for threads, `AsyncStreamEngine` for an event loop.

They obey a `StreamConversation` as the loops of `converse` obey a `Conversation`: same routes, same limits, same clock.
Nothing is sent before the first piece is asked for. A stream holds its place on the route until it has ended or is
closed, and its deadline runs on while whoever reads it does something else.
"""

from __future__ import annotations

import threading
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

from airflow_provider_bedrock_llm.aws.converse import AsyncEngine, Engine
from airflow_provider_bedrock_llm.core.failover import Call, Wait
from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.core.stream import StreamRecovery, StreamRestarted
from airflow_provider_bedrock_llm.core.stream_conversation import StreamConversation
from airflow_provider_bedrock_llm.core.transport import (
    AsyncStreamTransport,
    Failure,
    FailureKind,
    Reply,
    StreamTransport,
    WireRequest,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from airflow_provider_bedrock_llm.core.conversation import Step
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

__all__ = ["AsyncStreamEngine", "StreamEngine", "StreamItem"]

StreamItem: TypeAlias = str | StreamRestarted | BedrockResponse
"""Text as it comes; a marker where text became void; the response, as the last of all."""


class StreamEngine(Engine):
    """An `Engine` that streams as well; its transport must."""

    _transport: StreamTransport

    def stream(
        self, request: BedrockConverseRequest, recovery: StreamRecovery = StreamRecovery.FAIL
    ) -> Generator[StreamItem, None, None]:
        """Get an answer as it is made.

        Args:
            request: what is asked.
            recovery: what to do when the stream breaks after text was yielded.

        Yields:
            Pieces of text, and last the response; where its `success` is False, `error` says why.
        """
        with self._turn:
            failover = self._failover(request)
        if isinstance(failover, BedrockResponse):
            yield failover
            return
        conversation = StreamConversation(self.policy, request, failover, self.book, recovery)
        step = conversation.begin(self._clock())
        while not isinstance(step, BedrockResponse):
            if isinstance(step, Wait):
                self._sleep(step.seconds)
                step = conversation.resume(self._clock())
            else:
                step = yield from self._listen(conversation, step)
            if marker := conversation.restarted():
                yield marker
        yield step

    def _listen(self, conversation: StreamConversation, call: Call) -> Generator[str, None, Step]:
        wire = self._enter(conversation, call)
        if not isinstance(wire, WireRequest):
            return wire
        try:
            outcome = yield from self._hear(conversation, wire)
        except BaseException:
            self._abandon(conversation)
            raise
        return self._leave(conversation, outcome)

    def _hear(self, conversation: StreamConversation, wire: WireRequest) -> Generator[str, None, Reply | Failure]:
        started = self._clock()
        opened = self._in_time(conversation, lambda: self._transport.open_stream(wire))
        if isinstance(opened, Failure):
            return opened
        events = iter(opened)
        failure = None
        try:
            while (event := self._in_time(conversation, lambda: next(events, None))) is not None:
                if isinstance(event, Failure):
                    failure = event
                    break
                if piece := conversation.hear(event):
                    yield piece
        finally:
            if failure is not None and failure.kind is FailureKind.DEADLINE:
                # A thread that was left behind still reads; closing waits for it.
                threading.Thread(target=opened.close, daemon=True).start()
            else:
                opened.close()
        return conversation.outcome(opened.request_id, failure, self._clock() - started)


class AsyncStreamEngine(AsyncEngine):
    """An `AsyncEngine` that streams as well; its transport must."""

    _transport: AsyncStreamTransport

    async def stream(
        self, request: BedrockConverseRequest, recovery: StreamRecovery = StreamRecovery.FAIL
    ) -> AsyncGenerator[StreamItem, None]:
        """Get an answer as it is made; see `StreamEngine.stream`. Close it (`aclosing`) where it is not read out."""
        failover = self._failover(request)
        if isinstance(failover, BedrockResponse):
            yield failover
            return
        conversation = StreamConversation(self.policy, request, failover, self.book, recovery)
        step = conversation.begin(self._clock())
        while not isinstance(step, BedrockResponse):
            if isinstance(step, Wait):
                await self._sleep(step.seconds)
                step = conversation.resume(self._clock())
            else:
                async with aclosing(self._listen(conversation, step)) as said:
                    async for item in said:
                        if isinstance(item, str):
                            yield item
                        else:
                            step = item
            if marker := conversation.restarted():
                yield marker
        yield step

    async def _listen(self, conversation: StreamConversation, call: Call) -> AsyncGenerator[str | Step, None]:
        """The pieces of one stream, and last what to do next."""
        wire = await self._enter(conversation, call)
        if not isinstance(wire, WireRequest):
            yield wire
            return
        outcome: Reply | Failure = Failure(FailureKind.STREAM)
        try:
            async with aclosing(self._hear(conversation, wire)) as heard:
                async for item in heard:
                    if isinstance(item, str):
                        yield item
                    else:
                        outcome = item
        except BaseException:
            self._abandon(conversation, call)
            raise
        yield self._leave(conversation, call, outcome)

    async def _hear(
        self, conversation: StreamConversation, wire: WireRequest
    ) -> AsyncGenerator[str | Reply | Failure, None]:
        """The pieces of one stream, and last what it was worth."""
        started = self._clock()
        opened = await self._in_time(conversation, self._transport.open_stream(wire))
        if isinstance(opened, Failure):
            yield opened
            return
        events = aiter(opened)
        failure = None
        try:
            while (event := await self._in_time(conversation, anext(events, None))) is not None:
                if isinstance(event, Failure):
                    failure = event
                    break
                if piece := conversation.hear(event):
                    yield piece
        finally:
            opened.close()
        yield conversation.outcome(opened.request_id, failure, self._clock() - started)
