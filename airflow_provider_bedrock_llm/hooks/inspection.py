"""The hook's verbs that ask no model for an answer: how many tokens a request has, what a guardrail says of a text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.converse import Engine
from airflow_provider_bedrock_llm.aws.dialect import DialectTransport
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.access import AccessMethod, AccessOption
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, ModelAccessError, RequestValidationError
from airflow_provider_bedrock_llm.core.inspection import (
    CountTokensDialect,
    GuardrailDialect,
    GuardrailResult,
    cannot_count,
    guardrail_request,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.routes import ModelChoice, RoutePlan
from airflow_provider_bedrock_llm.hooks.arguments import model_choice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.core.transport import Dialect

__all__ = ["InspectionVerbs"]


class InspectionVerbs:
    """Part of `BedrockLLMHook`."""

    if TYPE_CHECKING:
        bedrock_conn_id: str
        catalog: Any
        choices: tuple[ModelChoice, ...]
        clients: Any
        retry_config: Any
        get_available_regions: Any
        plan: Any
        policy: Any

    def count_tokens(
        self,
        request: str | Sequence[Mapping[str, Any]] | BedrockConverseRequest,
        *,
        model: str | Mapping[str, Any] | ModelChoice | None = None,
    ) -> int:
        """How many input tokens a request would have, counted by Bedrock as it bills them. Free.

        Args:
            request: a prompt, Converse messages, or a request, of which system, tools and additional fields count too.
            model: the model that counts; None takes the hook's first. An inference profile counts as its base model,
                because CountTokens takes no other id.

        Raises:
            ConfigurationError: the model cannot count; most cannot.
            LLMManagerError: no answer; which kind says why.
        """
        if isinstance(request, str):
            request = [text_message(request)]
        if not isinstance(request, BedrockConverseRequest):
            request = BedrockConverseRequest(request)
        choice = self.choices[0] if model is None else model_choice(model)
        resolved = self.catalog.resolve(choice.model)
        base_id = resolved.card.model_id if resolved.card else resolved.model_id.base
        if base_id is None:
            raise ConfigurationError(
                f"The model {choice.model!r} does not tell its base model, which alone can count tokens. Give the base "
                "model's id as `model`."
            )
        response = self._inspect(CountTokensDialect(base_id), request, self.plan([choice]))
        if response.error is not None and cannot_count(response.error.aws_message):
            raise ConfigurationError(
                f"{base_id} cannot count tokens in {response.attempts[-1].region_used}. Take the tokens from the "
                "`usage` of an answer, or ask a model of Anthropic's that AWS documents for CountTokens.",
                aws_code=response.error.aws_code,
                aws_message=response.error.aws_message,
                request_id=response.error.request_id,
            ) from response.error
        if response.error is not None:
            raise response.error
        return int(response.response_data["inputTokens"])

    def apply_guardrail(
        self,
        text: str | Sequence[str],
        guardrail_id: str,
        version: str = "DRAFT",
        *,
        source: str = "INPUT",
        full: bool = False,
    ) -> GuardrailResult:
        """Hold a text against a guardrail, without asking a model.

        Args:
            text: the text, or several.
            guardrail_id: id or ARN of the guardrail, which must be in the hook's first region.
            version: its version; a number, or `DRAFT`.
            source: `INPUT` for what a user says, `OUTPUT` for what a model says.
            full: whether to tell what was looked for and not found, too.

        Raises:
            RequestValidationError: there is no such guardrail or version.
            ModelAccessError: it may not be used.
            LLMManagerError: no answer; which kind says why.
        """
        texts = [text] if isinstance(text, str) else list(text)
        request = guardrail_request(texts, guardrail_id, version, source, full=full)
        region = self.get_available_regions()[0]
        plan = RoutePlan([ModelChoice(guardrail_id)], [region], self.retry_config, _directly)
        response = self._inspect(GuardrailDialect(), request, plan)
        error = response.error
        if isinstance(error, (ModelAccessError, RequestValidationError)):
            raise type(error)(
                f"The guardrail {guardrail_id!r} (version {version}) cannot be applied in {region}. Check id, version "
                f"and region, and allow `bedrock:ApplyGuardrail` for the connection {self.bedrock_conn_id!r}.",
                aws_code=error.aws_code,
                aws_message=error.aws_message,
                request_id=error.request_id,
                attempts=error.attempts,
            ) from error
        if error is not None:
            raise error
        return GuardrailResult.from_wire(response.response_data, response.region_used)

    def _inspect(self, dialect: Dialect, request: BedrockConverseRequest, plan: RoutePlan) -> BedrockResponse:
        policy = replace(self.policy(), schema=None, validation=None, inference_config=None, cache=None)
        return Engine(DialectTransport(BotoTransport(self.clients), dialect), policy, plan).ask(request)


def _directly(model: str, _region: str) -> tuple[AccessOption, ...]:
    return (AccessOption(model, AccessMethod.DIRECT),)
