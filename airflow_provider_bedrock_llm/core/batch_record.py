"""One record of a batch job: the request as a line of the input, and a line of the output as a response.

Both ways go through a `Conversation`, as a call would: the schema, the settings of the model, the check of the answer
and its price are those of on-demand calls.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.conversation import Conversation
from airflow_provider_bedrock_llm.core.failover import Call
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.pricing import with_batch_rates
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_bedrock_llm.core.policy import ConversePolicy
    from airflow_provider_bedrock_llm.core.routes import Route

__all__ = ["BatchDialogue"]

_NOT_IN_A_RECORD = ("modelId", "requestMetadata", "serviceTier", "performanceConfig")
_NOT_FOR_BATCH = ("toolConfig", "promptVariables")
"""A record with tools fails with 400 (AWS's guide on Converse records); a managed prompt is a model of its own."""
_CODES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_STAND_IN = BedrockConverseRequest([text_message("a record of a batch job")])


class BatchDialogue:
    """Turns requests into records and outcomes into responses, for one model.

    Args:
        policy: that of on-demand calls.
        route: the model and region of the batch job.
    """

    def __init__(self, policy: ConversePolicy, route: Route) -> None:
        prices_for, validation = policy.prices_for, policy.validation
        once = replace(
            policy.retry, max_retries=0, max_timeout_retries=0, deadline_seconds=None, enable_feature_fallback=False
        )
        self._policy = replace(
            policy,
            retry=once,
            schema_retries=0,
            validation=validation and replace(validation, response_validation_retries=0),
            prices_for=lambda model_id, region: with_batch_rates(prices_for(model_id, region)),
            cache=None,
        )
        self._failover = self._policy.failover((route,))

    def model_input(self, request: BedrockConverseRequest) -> dict[str, Any] | None:
        """The `modelInput` of a record.

        Returns:
            None where batch jobs do not take the request, or the model does not.
        """
        conversation = self._open(request)
        step = conversation.begin(0.0)
        if not isinstance(step, Call):
            return None
        params = conversation.start(step, 0.0).params
        if any(name in params for name in _NOT_FOR_BATCH):
            return None
        body: dict[str, Any] = _as_json({name: value for name, value in params.items() if name not in _NOT_IN_A_RECORD})
        return body

    def response(self, outcome: Mapping[str, Any]) -> BedrockResponse:
        """What a record came to, at the batch price.

        Args:
            outcome: the line of the output: `modelOutput` or `error`.
        """
        conversation = self._open(_STAND_IN)
        step = conversation.begin(0.0)
        if isinstance(step, Call):
            conversation.start(step, 0.0)
            step = conversation.take(_outcome(outcome), 0.0, 0.0)
        if not isinstance(step, BedrockResponse):
            raise TypeError(f"A batch record is asked once, and the engine said {step}. Report this as a bug.")
        return step

    def _open(self, request: BedrockConverseRequest) -> Conversation:
        return Conversation(self._policy, request, self._failover, RouteBook())


def _outcome(line: Mapping[str, Any]) -> Reply | Failure:
    output, error = line.get("modelOutput"), line.get("error")
    if isinstance(output, dict) and output and not error:
        return Reply({**output, "serviceTier": {"type": "batch"}}, None, 0.0)
    told = error if isinstance(error, dict) else {}
    code = told.get("errorCode")
    status = code if isinstance(code, int) else None
    name = _CODES.get(status, "InternalServerException") if status is not None else str(code or "NoOutput")
    return Failure(FailureKind.SERVICE, name, str(told.get("errorMessage") or ""), status)


def _as_json(value: Any) -> Any:
    """As the API's JSON has it: blobs in base64."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if hasattr(value, "items"):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    return value
