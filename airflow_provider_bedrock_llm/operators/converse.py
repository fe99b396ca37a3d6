"""`BedrockConverseOperator`: one prompt, one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, LLMManagerError
from airflow_provider_bedrock_llm.core.line_buffer import LineBuffer
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.stream import StreamRecovery, StreamRestarted
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.hooks.outcome import airflow_error, tags_of
from airflow_provider_bedrock_llm.operators.links import BedrockModelLink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_bedrock_llm.core.cache_config import CacheConfig
    from airflow_provider_bedrock_llm.core.config import (
        Boto3Config,
        ResponseValidationConfig,
        RetryConfig,
    )
    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.core.routing_rule import Routing

__all__ = ["BedrockConverseOperator"]


class BedrockConverseOperator(BaseOperator):
    """Send one prompt or message list to Bedrock, and return the answer.

    The return value is the answer's text, or the validated value where an `output_schema` is given. Further XComs:
    `usage` (tokens), `model`, `region`, `cost_usd`, `stop_reason`.

    Args:
        prompt: the user's message. Templated.
        messages: Converse messages instead of `prompt`. Templated.
        system: the system prompt. Templated.
        models: the models to ask, best first; None takes those of the connection.
        candidates: instead of `models`: a candidate list (itself, a file, a URI of object storage, or
            `variable://name`), of which `routing` chooses one. Pushes `candidate` and `routing_reason`. Templated.
        routing: the rule to choose by: a `Routing`, its fields, the name of a strategy, or the dotted path of a
            function; the cheapest that fits, if None.
        route_only: say who would answer, why and at what price, and ask nobody. The return value is that.
        regions: the regions to call, best first; None takes those of the connection.
        inference_config: `maxTokens`, `temperature`, `topP`, `stopSequences`.
        output_schema: JSON Schema, pydantic class, or the dotted path of one, that the answer must fit.
        response_validation_config: a function of yours that accepts or rejects answers.
        cache_config: how the prompt is cached.
        request_fields: further fields of `BedrockConverseRequest`, such as `guardrail_config` or `tool_config`.
        stream: show the answer in the task log while it is made, line by line. This is the one place where an answer
            gets into a log, and only because you ask for it: whoever may read the log may read the answer. Where the
            stream breaks, the log says which lines are void, and the model is asked again.
        boto3_config: network settings; None takes those of the connection.
        retry_config: retries and failover; None takes those of the connection.
        bedrock_conn_id: the Airflow connection.

    Raises:
        AirflowFailException: a retry of the task cannot help (bad input, no access, unknown model).
        AirflowException: a retry of the task may help.
    """

    template_fields: Sequence[str] = (
        "prompt",
        "messages",
        "system",
        "models",
        "candidates",
        "regions",
        "bedrock_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"messages": "json"}
    operator_extra_links = (BedrockModelLink(),)
    answered_by: tuple[str, str] | None = None
    """Model id and region, once there is an answer."""
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        prompt: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
        system: str | None = None,
        models: Sequence[str | Mapping[str, Any]] | None = None,
        candidates: Any = None,
        routing: Routing | Mapping[str, Any] | str | None = None,
        route_only: bool = False,
        regions: Sequence[str] | None = None,
        inference_config: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | type[BaseModel] | str | None = None,
        response_validation_config: ResponseValidationConfig | None = None,
        cache_config: CacheConfig | None = None,
        request_fields: Mapping[str, Any] | None = None,
        stream: bool = False,
        boto3_config: Boto3Config | None = None,
        retry_config: RetryConfig | None = None,
        bedrock_conn_id: str = BedrockLLMHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.messages = messages
        self.system = system
        self.models = models
        self.candidates = candidates
        self.routing = routing
        self.route_only = route_only
        self.regions = regions
        self.inference_config = inference_config
        self.output_schema = output_schema
        self.response_validation_config = response_validation_config
        self.cache_config = cache_config
        self.request_fields = request_fields
        self.stream = stream
        self.boto3_config = boto3_config
        self.retry_config = retry_config
        self.bedrock_conn_id = bedrock_conn_id

    def execute(self, context: Context) -> Any:
        """Ask, and push what it took."""
        try:
            hook, request = self._hook(), self._request(context)
            if self.route_only:
                choice = hook.route(request)
                self.log.info("%s would be asked: %s.", choice.candidate.name, choice.reason)
                return choice.to_dict()
            response = self._shown(hook, request) if self.stream else hook.converse_with_request(request)
        except LLMManagerError as error:
            raise airflow_error(error) from error
        self._report(context, response)
        value = response.structured_output
        if value is None:
            return response.get_content()
        return value.model_dump(mode="json") if hasattr(value, "model_dump") else value

    def _hook(self) -> BedrockLLMHook:
        return BedrockLLMHook(
            bedrock_conn_id=self.bedrock_conn_id,
            models=self.models,
            candidates=self.candidates,
            routing=self.routing,
            regions=self.regions,
            boto3_config=self.boto3_config,
            retry_config=self.retry_config,
            output_schema=self.output_schema,
            response_validation_config=self.response_validation_config,
            cache_config=self.cache_config,
        )

    def _request(self, context: Context) -> BedrockConverseRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ConfigurationError("Give either `prompt` or `messages`. The task has both or neither.")
        fields = dict(self.request_fields or {})
        fields["request_metadata"] = {**tags_of(context), **fields.get("request_metadata", {})}
        if self.system:
            fields["system"] = [{"text": self.system}]
        if self.inference_config:
            fields["inference_config"] = self.inference_config
        messages = self.messages if self.messages is not None else [text_message(str(self.prompt))]
        return BedrockConverseRequest.from_dict({"messages": messages, **fields})

    def _shown(self, hook: BedrockLLMHook, request: BedrockConverseRequest) -> BedrockResponse:
        """Stream the answer into the log."""
        lines = LineBuffer()
        with hook.converse_stream_with_request(request, StreamRecovery.RESTART) as stream:
            for piece in stream:
                whole = lines.add(piece) if isinstance(piece, str) else lines.flush()
                for line in whole:
                    self.log.info("%s", line)
                if isinstance(piece, StreamRestarted):
                    self.log.warning(
                        "The stream broke (%s). What the log shows of the answer above is void; it starts anew.",
                        piece.cause,
                    )
            for line in lines.flush():
                self.log.info("%s", line)
            return stream.response

    def _report(self, context: Context, response: BedrockResponse) -> None:
        usage = response.usage.to_wire()
        self.log.info(
            "%s in %s answered after %d call(s) in %.0f ms: %d tokens in, %d out, %s.",
            response.model_used,
            response.region_used,
            len(response.attempts),
            response.total_duration_ms,
            usage["inputTokens"],
            usage["outputTokens"],
            "cost unknown" if response.cost_usd is None else f"{response.cost_usd:.6f} USD",
        )
        for warning in response.warnings:
            self.log.warning("%s", warning)
        if response.model_used and response.region_used:
            self.answered_by = (response.model_used, response.region_used)
        task_instance = context["ti"]
        task_instance.xcom_push("usage", usage)
        task_instance.xcom_push("model", response.model_used)
        task_instance.xcom_push("region", response.region_used)
        task_instance.xcom_push("cost_usd", response.cost_usd)
        task_instance.xcom_push("stop_reason", response.get_stop_reason())
        if response.routing_reason is not None:
            task_instance.xcom_push("candidate", response.candidate)
            task_instance.xcom_push("routing_reason", response.routing_reason)
