"""Features of a request that a model refuses: which one it was, and the request without it.

A feature has the name that Converse gives it. What cannot change the meaning of an answer is dropped by itself; the
rest only where the caller named it in `RetryConfig.droppable_features`; a guardrail never: no row of the table leads
to one, and nothing here knows how to take one out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow_provider_bedrock_llm.core.transport import Failure

__all__ = [
    "ADDITIONAL_FIELDS",
    "DROPPABLE_FEATURES",
    "HARMLESS_FEATURES",
    "FeatureBook",
    "is_droppable",
    "refused_features",
    "unknown_features",
    "without",
]

HARMLESS_FEATURES = frozenset({"cachePoint", "performanceConfig", "serviceTier"})
"""Price and speed: the answer is the same without them."""

ADDITIONAL_FIELDS = "additionalModelRequestFields"

DROPPABLE_FEATURES = HARMLESS_FEATURES | {
    "temperature",
    "topP",
    "topK",
    "stopSequences",
    "toolConfig",
    "toolChoice",
    "outputConfig",
    "document",
    "image",
    "video",
    ADDITIONAL_FIELDS,
}
"""What a caller may name; also `additionalModelRequestFields.<member>`, for one of its members alone."""

_OTHER_SPELLINGS = {
    "cache_control": "cachePoint",
    "top_p": "topP",
    "top_k": "topK",
    "stop_sequences": "stopSequences",
    "tool_choice": "toolChoice",
    "output_config": "outputConfig",
    "performance_config": "performanceConfig",
    "service_tier": "serviceTier",
}
_BY_SPELLING = {name.lower(): name for name in DROPPABLE_FEATURES} | _OTHER_SPELLINGS

_REFUSALS: tuple[tuple[str, re.Pattern[str], str | None], ...] = tuple(
    (code, re.compile(pattern), feature)
    for code, pattern, feature in (
        # (code without case, pattern in the text without case, feature; None where the pattern's groups name it)
        ("accessdeniedexception", r"did not allow prompt caching", "cachePoint"),  # litellm#39210
        ("validationexception", r"messages\.\d+\.content\.\d+\.type: field required", "cachePoint"),  # harness-sdk#1966
        # As eight repositories quote it; model and region follow.
        ("validationexception", r"latency performance configuration is not supported", "performanceConfig"),
        ("validationexception", r"service tier is not supported", "serviceTier"),  # as two repositories quote it
        ("validationexception", r"reservation not found", "serviceTier"),  # hermes-agent#34476, envoy ai-gateway#1749
        ("validationexception", r"doesn't support tool use", "toolConfig"),  # langchain-aws#447
        ("validationexception", r"doesn't support documents", "document"),  # of xAI's and Moonshot's models
        ("validationexception", r"doesn't support the (\w+) content block", None),  # recorded
        ("validationexception", r"doesn't support the ([\w.]+) field", None),  # harness-sdk#1241, crewAI#4046
        ("validationexception", r"extraneous key \[(\w+)\] is not permitted", None),  # pi#2053, litellm#9128
        ("validationexception", r"([\w.]+): extra inputs are not permitted", None),  # boto3#4626, hindsight#3300
        ("validationexception", r"`(\w+)` is deprecated for this model", None),  # promptfoo#10307
        ("validationexception", r"`(\w+)` and `(\w+)` cannot both be specified", None),  # litellm#15070
    )
)


def unknown_features(names: Collection[str]) -> list[str]:
    """Those that nothing can be dropped by."""
    prefix = f"{ADDITIONAL_FIELDS}."
    return sorted(
        name
        for name in names
        if name not in DROPPABLE_FEATURES and not (name.startswith(prefix) and len(name) > len(prefix))
    )


def is_droppable(feature: str, named: Collection[str]) -> bool:
    """Whether a request may go on without a feature.

    Args:
        feature: as `refused_features` gives it.
        named: what the caller can do without.
    """
    return feature in HARMLESS_FEATURES or feature in named or feature.partition(".")[0] in named


def refused_features(failure: Failure, params: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of a request's features a model refused; where several are at odds with each other, the last one first.

    Args:
        failure: what the call came to.
        params: what was sent. What is not in it is never the cause, whatever the text says.
    """
    code, text = failure.code.lower(), failure.message.lower().replace("\u2019", "'")
    for known_code, pattern, feature in _REFUSALS:
        if code != known_code or (match := pattern.search(text)) is None:
            continue
        names = (feature,) if feature else tuple(_named(said, params) for said in reversed(match.groups()))
        found = tuple(name for name in names if name is not None and without(params, name) is not None)
        if found:
            return found
    return ()


def _named(said: str, params: Mapping[str, Any]) -> str | None:
    """The feature that AWS means: `system.0.cache_control`, `toolconfig.toolchoice.any` or just `temperature`."""
    additional = params.get(ADDITIONAL_FIELDS) or {}
    path = said.split(".")
    for member in additional:
        if member.lower() == path[0]:
            return f"{ADDITIONAL_FIELDS}.{member}"
    return next((_BY_SPELLING[part] for part in reversed(path[-2:]) if part in _BY_SPELLING), None)


def without(params: Mapping[str, Any], feature: str) -> dict[str, Any] | None:
    """The parameters without a feature; None where they do not have it, or make no request without it.

    Args:
        params: parameters of Converse; not changed.
        feature: one of `DROPPABLE_FEATURES`, or a member of the additional fields.
    """
    head, _, member = feature.partition(".")
    if member:
        return _without_member(params, head, member)
    return _DROP[head](params) if head in _DROP else None


def _without_top(params: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    return {key: value for key, value in params.items() if key != name} if name in params else None


def _without_member(params: Mapping[str, Any], owner: str, member: str) -> dict[str, Any] | None:
    owned = params.get(owner) or {}
    if member not in owned:
        return None
    kept = {key: value for key, value in owned.items() if key != member}
    rest = {key: value for key, value in params.items() if key != owner}
    return {**rest, owner: kept} if kept else rest


def _without_tools(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """AWS wants toolConfig where a message speaks of a tool (vxcontrol/pentagi#160)."""
    blocks = [block for message in params.get("messages", ()) for block in message.get("content", ())]
    if any("toolUse" in block or "toolResult" in block for block in blocks):
        return None
    return _without_top(params, "toolConfig")


class _Emptied(Exception):  # noqa: N818 - no error: it ends a walk
    """A list has nothing left."""


def _without_blocks(params: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """Take out content blocks of a kind wherever they may stand."""
    given = {name: params[name] for name in ("messages", "system", "toolConfig") if params.get(name)}
    try:
        kept = {name: _strip(value, kind) for name, value in given.items()}
    except _Emptied:
        return None
    return {**params, **kept} if kept != given else None


def _strip(value: Any, kind: str) -> Any:
    if isinstance(value, (list, tuple)):
        kept = [_strip(item, kind) for item in value if not (hasattr(item, "keys") and set(item) == {kind})]
        if value and not kept:
            raise _Emptied
        return kept
    if hasattr(value, "items"):
        return {key: _strip(item, kind) if key in _NESTED else item for key, item in value.items()}
    return value


_NESTED = frozenset({"content", "tools", "toolResult"})
"""Where blocks stand in a message, in a tool's result and in toolConfig. What is in a tool's own schema is not ours."""


def _inference(member: str) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    return lambda params: _without_member(params, "inferenceConfig", member)


def _top(name: str) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    return lambda params: _without_top(params, name)


def _blocks(kind: str) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    return lambda params: _without_blocks(params, kind)


_DROP: dict[str, Callable[[Mapping[str, Any]], dict[str, Any] | None]] = {
    **{name: _inference(name) for name in ("temperature", "topP", "topK", "stopSequences")},
    **{name: _top(name) for name in ("performanceConfig", "serviceTier", "outputConfig", ADDITIONAL_FIELDS)},
    **{name: _blocks(name) for name in ("cachePoint", "document", "image", "video")},
    "toolConfig": _without_tools,
    "toolChoice": lambda params: _without_member(params, "toolConfig", "toolChoice"),
}


@dataclass(slots=True)
class FeatureBook:
    """What routes refused, so that the next request does not find it out again. Only what helped is noted.

    Args:
        expires_seconds: for how long; AWS adds features to models.
    """

    expires_seconds: float = 3600.0
    _refused: dict[tuple[str, str], dict[str, tuple[float, str]]] = field(default_factory=dict)

    def learn(self, key: tuple[str, str], refused: Mapping[str, str], now: float) -> None:
        """Note that a route answered once these were left out.

        Args:
            key: of the route: id that was sent, region.
            refused: feature -> what AWS said.
            now: seconds of the clock that `refused` is asked by.
        """
        if refused:
            until = now + self.expires_seconds
            known = self._refused.get(key, {})
            self._refused[key] = {**known, **{feature: (until, text) for feature, text in refused.items()}}

    def refused(self, key: tuple[str, str], now: float) -> dict[str, str]:
        """Feature -> what AWS said, of all that is not forgotten yet."""
        known = self._refused.get(key)
        return {feature: text for feature, (until, text) in known.items() if now < until} if known else {}
