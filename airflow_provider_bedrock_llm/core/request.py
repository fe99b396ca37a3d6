"""A request to Converse: what is asked, apart from who answers it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from airflow_provider_bedrock_llm.core.errors import RequestValidationError

__all__ = ["BedrockConverseRequest", "request_hash", "text_message"]

_WIRE_NAMES = {
    "messages": "messages",
    "system": "system",
    "inference_config": "inferenceConfig",
    "tool_config": "toolConfig",
    "guardrail_config": "guardrailConfig",
    "additional_model_request_fields": "additionalModelRequestFields",
    "additional_model_response_field_paths": "additionalModelResponseFieldPaths",
    "prompt_variables": "promptVariables",
    "request_metadata": "requestMetadata",
    "performance_config": "performanceConfig",
    "service_tier": "serviceTier",
    "output_config": "outputConfig",
}
_NOT_ABOUT_THE_ANSWER = frozenset({"requestMetadata", "serviceTier", "performanceConfig"})
"""Tags, price and speed: a job that goes on in another tier must not pay again for what it has."""


@dataclass(frozen=True, slots=True)
class BedrockConverseRequest:
    """Everything that Converse takes, except the model, for which others may be named than the engine asks.

    Args:
        messages: Converse messages, `{"role": ..., "content": [...]}`. Empty only with `prompt_variables`, where the
            model is a prompt ARN.
        request_id: names the request in results; made from its content where not given.
        system: system blocks.
        inference_config: `maxTokens`, `temperature`, `topP`, `stopSequences`.
        tool_config: tools and tool choice.
        guardrail_config: never dropped, whatever happens.
        additional_model_request_fields: parameters of the model that Converse does not name.
        additional_model_response_field_paths: JSON pointers to further fields of the answer.
        prompt_variables: values for a managed prompt.
        request_metadata: tags that AWS writes into its invocation logs; they do not shape the answer.
        performance_config: `{"latency": "optimized"}`.
        service_tier: `{"type": "flex"}`.
        output_config: structured output and effort.
        extra_request_fields: members of Converse that are newer than this package; merged last.
        priority: among waiting requests the highest starts first.
        models: who may answer this request, best first, instead of those that the engine asks: names, or
            `{"model": ..., "region": ..., "inference_config": {...}}`.

    Raises:
        RequestValidationError: a message is not of Converse's shape, or `models` is not a list.
    """

    messages: Sequence[Mapping[str, Any]] = ()
    request_id: str | None = None
    system: Sequence[Mapping[str, Any]] | None = None
    inference_config: Mapping[str, Any] | None = None
    additional_model_request_fields: Mapping[str, Any] | None = None
    additional_model_response_field_paths: Sequence[str] | None = None
    guardrail_config: Mapping[str, Any] | None = None
    tool_config: Mapping[str, Any] | None = None
    request_metadata: Mapping[str, str] | None = None
    prompt_variables: Mapping[str, Any] | None = None
    performance_config: Mapping[str, Any] | None = None
    service_tier: Mapping[str, Any] | None = None
    output_config: Mapping[str, Any] | None = None
    extra_request_fields: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    models: Sequence[str | Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        faults = list(_shape_faults(self.messages))
        if isinstance(self.models, (str, bytes, Mapping)) or not hasattr(self.models, "__len__"):
            faults.append(f"models is {type(self.models).__name__}, not a list of models, best first")
        if not self.messages and self.prompt_variables is None and not self.extra_request_fields:
            faults.append("messages is empty; give at least one message, or prompt_variables for a prompt ARN")
        if faults:
            raise RequestValidationError(
                f"The request is not of Converse's shape: {faults[0]}. See `validation_errors` for every fault.",
                validation_errors=faults,
            )

    def converse_params(self, model_id: str) -> dict[str, Any]:
        """The keyword arguments of botocore's `converse` for one model.

        Args:
            model_id: what goes on the wire: a model id, inference profile id or ARN.
        """
        params: dict[str, Any] = {"modelId": model_id}
        for name, wire_name in _WIRE_NAMES.items():
            value = getattr(self, name)
            if value:
                params[wire_name] = value
        if self.extra_request_fields:
            params.update(self.extra_request_fields)
        return params

    def to_dict(self) -> dict[str, Any]:
        """The fields that are set, by their Python names."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BedrockConverseRequest:
        """The reverse of `to_dict`.

        Raises:
            RequestValidationError: a field is not known.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise RequestValidationError(
                f"A request has no field {unknown[0]!r}. Known are: {', '.join(sorted(known))}.",
                validation_errors=[f"unknown field {name!r}" for name in unknown],
            )
        return cls(**data)


def text_message(text: str, role: str = "user") -> dict[str, Any]:
    """A message with one text block."""
    return {"role": role, "content": [{"text": text}]}


def request_hash(request: BedrockConverseRequest, models: Sequence[str], schema: Any = None) -> str:
    """Name a request by what shapes its answer, so that an answer that was paid for can be found again.

    Args:
        request: the request; its id, priority, tags, service tier and wish for latency do not count. Nor does
            maxTokens: an answer that ended by itself is the same under another limit; where one was cut off is for
            whoever keeps the answers to know.
        models: the models that may answer where the request names none, in order of preference.
        schema: the JSON Schema that answers must fit, if any.

    Returns:
        32 hexadecimal digits (128 bits of SHA-256).

    Raises:
        RequestValidationError: the request or the schema holds something that is neither JSON nor bytes.
    """
    body = request.converse_params("")
    content = {name: value for name, value in body.items() if name not in _NOT_ABOUT_THE_ANSWER}
    _leave_out_limit(content, "inferenceConfig")
    asked = [model if isinstance(model, str) else _without_limit(model) for model in request.models or models]
    try:
        text = json.dumps(
            [content, asked, schema],
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            default=_hashable,
        )
    except TypeError as error:
        raise RequestValidationError(
            f"The request holds what Bedrock cannot be sent: {error}. Use dicts with text as keys, lists, text, "
            "numbers, booleans, None and bytes."
        ) from error
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def _without_limit(model: Mapping[str, Any]) -> dict[str, Any]:
    content = dict(model)
    _leave_out_limit(content, "inference_config")
    return content


def _leave_out_limit(content: dict[str, Any], member: str) -> None:
    settings = content.get(member)
    if isinstance(settings, Mapping) and "maxTokens" in settings:
        left = {name: value for name, value in settings.items() if name != "maxTokens"}
        content[member] = left
        if not left:
            del content[member]


def _hashable(value: Any) -> Any:
    """Stand in for a blob in the hash."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__}")


def _shape_faults(messages: Any) -> list[str]:
    if isinstance(messages, (str, bytes)) or not hasattr(messages, "__len__"):
        return [f"messages is {type(messages).__name__}, not a list of messages"]
    faults = []
    for index, message in enumerate(messages):
        content = message.get("content") if hasattr(message, "get") else None
        if content is None or isinstance(content, (str, bytes)) or not hasattr(content, "__len__"):
            faults.append(f"messages[{index}] needs a role and a list of content blocks")
        elif not isinstance(message.get("role"), str):
            faults.append(f"messages[{index}] has no role")
    return faults
