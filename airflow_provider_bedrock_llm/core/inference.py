"""Inference parameters where models differ: where `topK` goes, and what a model is known not to take.

Only what has a source is here; a model of which nothing is known takes everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.model_id import ModelIdError, parse_model_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from airflow_provider_bedrock_llm.core.model_card import ModelCard
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

__all__ = ["DROPPABLE_FEATURES", "FittedParams", "check_inference", "fit_inference"]

DROPPABLE_FEATURES = frozenset({"temperature", "topP", "topK", "toolChoice", "toolConfig"})
"""What `fit_inference` can leave out, by the API's names."""

# Converse has no topK of its own; each family has its place in additionalModelRequestFields.
_TOP_K_PLACES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("anthropic.", ("top_k",)),  # inspect_ai#3939
    ("amazon.nova", ("inferenceConfig", "topK")),  # litellm#7239, inspect_ai#3939: Nova refuses top_k
)
# "`temperature` and `top_p` cannot both be specified for this model": bedrock-chat#979 (Opus 4.1), litellm#15070
# (Sonnet 4.5), bedrock-access-gateway#191 (Haiku 4.5), #208 (Opus 4.5), #238 (Sonnet 4.6).
_TEMPERATURE_OR_TOP_P = re.compile(r"anthropic\.claude-(opus-4-1|opus-4-5|sonnet-4-5|haiku-4-5|sonnet-4-6)\b")
# From Claude Opus 4.7 on, temperature and top_p are refused together: bedrock-chat#1102.
_NO_SAMPLING_FAMILY = "anthropic."
# What these models take for temperature when they think: obsidian-copilot#2601.
_ONLY_TEMPERATURE = 1


@dataclass(frozen=True, slots=True)
class FittedParams:
    """A request as one model takes it.

    Args:
        params: parameters of Converse.
        dropped: what was left out, by the API's names.
        problems: what the model is known not to take and the caller did not name as droppable, one sentence each.
    """

    params: dict[str, Any]
    dropped: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def fit_inference(
    params: Mapping[str, Any], card: ModelCard | None, droppable_features: Collection[str] = ()
) -> FittedParams:
    """Fit the inference parameters of a request to one model.

    Args:
        params: parameters of Converse; not changed. `inferenceConfig` may hold `topK`.
        card: what is known about the model that is asked; None where nothing is.
        droppable_features: what the caller can do without, of `DROPPABLE_FEATURES`.
    """
    base_id = card.model_id if card is not None else _base_id(params.get("modelId", ""))
    fitted = dict(params)
    dropped = []
    problems = []
    for feature, problem in _known_problems(params, base_id, card):
        if feature in droppable_features:
            fitted = _without(fitted, feature)
            dropped.append(feature)
        else:
            problems.append(f"{problem} Leave it out, or name {feature!r} in droppable_features.")
    if "topK" in (fitted.get("inferenceConfig") or {}):
        fitted = _with_top_k_in_place(fitted, base_id)
    return FittedParams(fitted, tuple(dropped), tuple(problems))


def check_inference(
    request: BedrockConverseRequest, card: ModelCard | None, droppable_features: Collection[str] = ()
) -> list[str]:
    """What a model is known not to take of a request, one sentence each."""
    params = request.converse_params(card.model_id if card is not None else "")
    return list(fit_inference(params, card, droppable_features).problems)


def _known_problems(params: Mapping[str, Any], base_id: str, card: ModelCard | None) -> Iterator[tuple[str, str]]:
    inference = params.get("inferenceConfig") or {}
    name = base_id or "The model"
    if card is not None and card.supports("temperature") is False:
        if inference.get("temperature", _ONLY_TEMPERATURE) != _ONLY_TEMPERATURE:
            yield "temperature", f"{name} does not take temperature={inference['temperature']}."
        if "topP" in inference and base_id.startswith(_NO_SAMPLING_FAMILY):
            yield "topP", f"{name} does not take topP={inference['topP']}."
    elif _TEMPERATURE_OR_TOP_P.search(base_id) and {"temperature", "topP"} <= inference.keys():
        yield "topP", f"{name} takes temperature or topP, not both (topP={inference['topP']})."
    if "topK" in inference:
        place = _top_k_place(base_id)
        if place is None:
            yield "topK", f"Where {name} takes topK is not known; additional_model_request_fields can hold it."
        elif _found(params.get("additionalModelRequestFields"), place) not in (None, inference["topK"]):
            yield "topK", f"topK={inference['topK']} and additional_model_request_fields name two values."
    yield from _tool_problems(params.get("toolConfig") or {}, name, card)


def _tool_problems(tool_config: Mapping[str, Any], name: str, card: ModelCard | None) -> Iterator[tuple[str, str]]:
    if not tool_config or card is None:
        return
    choice = tool_config.get("toolChoice") or {}
    if card.supports("tool_use") is False:
        yield "toolConfig", f"{name} does not take tools."
    elif card.supports("tool_choice") is False and "auto" not in choice and choice:
        yield "toolChoice", f"{name} does not take a forced tool (toolChoice={next(iter(choice))!r})."


def _without(params: Mapping[str, Any], feature: str) -> dict[str, Any]:
    if feature == "toolConfig":
        return {name: value for name, value in params.items() if name != feature}
    owner = "toolConfig" if feature == "toolChoice" else "inferenceConfig"
    kept = {name: value for name, value in params[owner].items() if name != feature}
    return {name: value for name, value in params.items() if name != owner} | ({owner: kept} if kept else {})


def _with_top_k_in_place(params: Mapping[str, Any], base_id: str) -> dict[str, Any]:
    place = _top_k_place(base_id)
    if place is None:
        return dict(params)
    top_k = params["inferenceConfig"]["topK"]
    extra = dict(params.get("additionalModelRequestFields") or {})
    *owners, last = place
    target = extra
    for owner in owners:
        target[owner] = dict(target.get(owner) or {})
        target = target[owner]
    target.setdefault(last, top_k)
    return _without(params, "topK") | {"additionalModelRequestFields": extra}


def _top_k_place(base_id: str) -> tuple[str, ...] | None:
    return next((place for family, place in _TOP_K_PLACES if base_id.startswith(family)), None)


def _found(extra: Any, place: tuple[str, ...]) -> Any:
    for step in place:
        extra = extra.get(step) if hasattr(extra, "get") else None
    return extra


def _base_id(model_id: str) -> str:
    try:
        return parse_model_id(model_id).base or ""
    except ModelIdError:
        return ""
