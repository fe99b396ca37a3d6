"""The hook's verbs for many requests at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.parallel import ask_all
from airflow_provider_bedrock_llm.core.config import FailureHandlingStrategy, ParallelProcessingConfig
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, ParallelExecutionError
from airflow_provider_bedrock_llm.core.parallel_response import ParallelResponse
from airflow_provider_bedrock_llm.hooks.arguments import named_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse

    OnResponse = Callable[[BedrockConverseRequest, BedrockResponse], None]

__all__ = ["ParallelVerbs"]


class ParallelVerbs:
    """Part of `BedrockLLMHook`."""

    if TYPE_CHECKING:
        _parallel_config: ParallelProcessingConfig | None
        async_engine: Any
        keep_what_was_learned: Callable[[], None]
        send_metrics: Callable[[], None]

    def converse_parallel(
        self, requests: Sequence[BedrockConverseRequest], on_response: OnResponse | None = None
    ) -> ParallelResponse:
        """Send many requests at once and wait for all of them.

        For more than some thousands, or where a crash must lose nothing, use `BedrockParallelOperator`.

        Args:
            requests: what to ask; those without a `request_id` get one.
            on_response: called with each request and its response as soon as it comes, in this thread. Nothing is
                read from the network meanwhile, so it must be quick.

        Raises:
            ParallelExecutionError: the failure policy stopped the run, or `on_response` raised; its `response` holds
                what was done.
            ConfigurationError: two requests have the same id, or this thread has a running event loop, where
                `converse_parallel_async` is to be awaited.
        """
        _refuse_running_loop()
        response = asyncio.run(self.converse_parallel_async(requests, on_response))
        self.keep_what_was_learned()
        return response

    async def converse_parallel_async(
        self, requests: Sequence[BedrockConverseRequest], on_response: OnResponse | None = None
    ) -> ParallelResponse:
        """The same on the running event loop. Await `prefetch` first: what comes from Airflow blocks."""
        config = self._parallel_config or ParallelProcessingConfig()
        return await self._ask_all(named_requests(requests), config, on_response)

    def retry_failed_requests(
        self, previous_response: ParallelResponse, on_response: OnResponse | None = None
    ) -> ParallelResponse:
        """Ask again what has no answer: requests that failed, and those that never started.

        Args:
            previous_response: of `converse_parallel`. Its answers are kept, and not paid for again.
            on_response: as for `converse_parallel`; told only of what is asked again.

        Returns:
            One response over all requests, in their order. A request that failed again has the attempts of both
            runs, and the cost of both.

        Raises:
            ParallelExecutionError: as for `converse_parallel`; its `response` holds the answers of both runs.
        """
        _refuse_running_loop()
        again = previous_response.requests_without_answer()
        if not again:
            return previous_response
        config = self._parallel_config or ParallelProcessingConfig()
        try:
            response = asyncio.run(self._ask_all(again, config, on_response))
        except ParallelExecutionError as error:
            error.response = previous_response.merge(error.response)
            raise
        self.keep_what_was_learned()
        return previous_response.merge(response)

    async def _ask_all(
        self,
        named: Mapping[str, BedrockConverseRequest],
        config: ParallelProcessingConfig,
        on_response: OnResponse | None,
    ) -> ParallelResponse:
        batches = [list(named.values())]
        responses: dict[str, BedrockResponse] = {}
        callback_errors: list[Exception] = []

        async def next_batch() -> Sequence[BedrockConverseRequest]:
            return batches.pop() if batches and not callback_errors else []

        def keep(request: BedrockConverseRequest, response: BedrockResponse) -> None:
            responses[str(request.request_id)] = response
            if on_response is not None and not callback_errors:
                try:
                    on_response(request, response)
                except Exception as error:
                    callback_errors.append(error)
                    raise

        stopped_because = None
        started = time.monotonic()
        engine, transport = self.async_engine(config)
        try:
            stopped_because = (await ask_all(engine, next_batch, keep, config)).stopped_because
        except Exception as error:
            if error not in callback_errors:
                raise
            stopped_because = f"on_response raised {type(error).__name__}"
        finally:
            await transport.close()
            self.send_metrics()
        ended = ParallelResponse.of(named, responses, (time.monotonic() - started) * 1000, stopped_because)
        stops = config.failure_handling_strategy is not FailureHandlingStrategy.CONTINUE_ON_FAILURE
        if callback_errors or (stopped_because and stops):
            raise ParallelExecutionError(
                f"The run was stopped because {stopped_because}. Look at `response` for what was done, and ask the "
                "rest again with `retry_failed_requests(error.response)`.",
                response=ended,
            ) from (callback_errors[0] if callback_errors else None)
        return ended


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "This thread has a running event loop, which a blocking call would stop. Await `converse_parallel_async`."
    )
