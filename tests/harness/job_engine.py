"""An engine for jobs that answers from a function and counts what would have been paid."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import LLMManagerError, RetryExhaustedError
from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

MODEL = "us.amazon.nova-lite-v1:0"
REGION = "us-east-1"
COST_USD = 0.001


def prompt_of(request: BedrockConverseRequest) -> str:
    return next(block["text"] for block in request.messages[0]["content"] if "text" in block)


def answered(text: str, value: Any = None, cost_usd: float | None = COST_USD) -> BedrockResponse:
    usage = Usage(10, 5)
    return BedrockResponse(
        success=True,
        response_data={
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": usage.to_wire(),
        },
        model_used=MODEL,
        region_used=REGION,
        access="regional_profile",
        attempts=(RequestAttempt(MODEL, MODEL, REGION, "regional_profile", 0.01, usage=usage, cost_usd=cost_usd),),
        total_duration_ms=10.0,
        cost_usd=cost_usd,
        structured_output=value,
    )


def refused(fault: str = "throttled", error: LLMManagerError | None = None) -> BedrockResponse:
    return BedrockResponse(
        success=False,
        attempts=(RequestAttempt(MODEL, MODEL, REGION, "regional_profile", 0.01, fault=fault),),
        cost_usd=0.0,
        error=error or RetryExhaustedError("All attempts failed. Try later."),
    )


def echo(request: BedrockConverseRequest) -> BedrockResponse:
    return answered(f"answer to {prompt_of(request)}")


class CountingEngine:
    """Answers from a function; every prompt that it answered counts as paid."""

    def __init__(
        self, answer: Callable[[BedrockConverseRequest], BedrockResponse] = echo, latency_seconds: float = 0.0
    ) -> None:
        self.paid: Counter[str] = Counter()
        self.requests: list[BedrockConverseRequest] = []
        self.on_paid: Callable[[int], None] = lambda _: None
        self._answer = answer
        self._latency_seconds = latency_seconds

    @property
    def calls(self) -> int:
        return self.paid.total()

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        self.paid[prompt_of(request)] += 1
        self.requests.append(request)
        self.on_paid(self.calls)
        await asyncio.sleep(self._latency_seconds)
        return self._answer(request)
