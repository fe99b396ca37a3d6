"""Two questions about a text that no model answers: how many tokens it has, and what a guardrail says of it.

Both go through the engine like a Converse request, in a dialect of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.transport import Reply, WireRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.core.transport import Failure

__all__ = ["CountTokensDialect", "GuardrailDialect", "GuardrailResult", "cannot_count", "guardrail_request"]

_COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")
_SOURCES = ("INPUT", "OUTPUT")
_CANNOT_COUNT = "support counting tokens"
"""In AWS's text for a model, or an inference profile, that CountTokens does not take (recorded)."""


class CountTokensDialect:
    """Says a Converse request as CountTokens, which takes no inference profile but the base model's id.

    Args:
        base_id: of the model that would be asked.
    """

    def __init__(self, base_id: str) -> None:
        self._base_id = base_id

    def to_wire(self, request: WireRequest) -> WireRequest:
        """The members of the request that count."""
        counted = {name: request.params[name] for name in _COUNTED if name in request.params}
        return WireRequest("count_tokens", request.region, {"modelId": self._base_id, "input": {"converse": counted}})

    def from_wire(self, _request: WireRequest, reply: Reply) -> Reply | Failure:
        """Nothing to change: `inputTokens` is the answer, and it is free."""
        return reply


def cannot_count(aws_message: str | None) -> bool:
    """Whether AWS refused because the model has no CountTokens."""
    return _CANNOT_COUNT in (aws_message or "")


@dataclass(frozen=True, slots=True)
class GuardrailResult:
    """What a guardrail says of a text.

    Args:
        intervened: whether it blocked or masked something.
        outputs: the texts to show instead; empty where it did not intervene.
        assessments: what it found, policy by policy, as AWS gives it.
        usage: text units per policy, which AWS bills.
        action_reason: why, where AWS says so.
        region_used: where the guardrail is.
    """

    intervened: bool
    outputs: tuple[str, ...] = ()
    assessments: tuple[Mapping[str, Any], ...] = ()
    usage: Mapping[str, int] = field(default_factory=dict)
    action_reason: str | None = None
    region_used: str | None = None

    @classmethod
    def from_wire(cls, data: Mapping[str, Any], region: str | None) -> GuardrailResult:
        """Read ApplyGuardrail's reply, as `GuardrailDialect` gives it."""
        return cls(
            intervened=data.get("action") == "GUARDRAIL_INTERVENED",
            outputs=tuple(output["text"] for output in data.get("outputs") or () if "text" in output),
            assessments=tuple(data.get("assessments") or ()),
            usage=dict(data.get("units") or {}),
            action_reason=data.get("actionReason"),
            region_used=region,
        )


class GuardrailDialect:
    """Says a request made by `guardrail_request` as ApplyGuardrail."""

    def to_wire(self, request: WireRequest) -> WireRequest:
        """The text as content, under the guardrail and version of the request."""
        params = request.params
        blocks = params["messages"][0]["content"]
        return WireRequest(
            "apply_guardrail",
            request.region,
            {
                **params["guardrailConfig"],
                "source": params["source"],
                "outputScope": params["outputScope"],
                "content": [{"text": {"text": block["text"]}} for block in blocks],
            },
        )

    def from_wire(self, _request: WireRequest, reply: Reply) -> Reply | Failure:
        """The reply, with its `usage` in text units out of the way of what counts tokens."""
        data = dict(reply.data)
        units = data.pop("usage", {})
        return Reply({**data, "units": units}, reply.request_id, reply.duration_seconds, reply.headers)


def guardrail_request(
    texts: Sequence[str], guardrail_id: str, version: str, source: str, *, full: bool
) -> BedrockConverseRequest:
    """A request for a guardrail's opinion.

    Args:
        texts: what to look at.
        guardrail_id: id or ARN.
        version: a number, or `DRAFT`.
        source: `INPUT` for what a user says, `OUTPUT` for what a model says.
        full: whether to tell what was looked for and not found, too.

    Raises:
        ConfigurationError: another source, or nothing to look at.
    """
    if source not in _SOURCES:
        raise ConfigurationError(f"source={source!r} is not known to ApplyGuardrail. Give INPUT or OUTPUT.")
    if not texts or not all(texts):
        raise ConfigurationError("A guardrail was given an empty text. Give it a text, or do not ask.")
    return BedrockConverseRequest(
        messages=[{"role": "user", "content": [block for text in texts for block in text_message(text)["content"]]}],
        guardrail_config={"guardrailIdentifier": guardrail_id, "guardrailVersion": version},
        extra_request_fields={"source": source, "outputScope": "FULL" if full else "INTERVENTIONS"},
    )
