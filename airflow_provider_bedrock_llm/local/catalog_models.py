"""The models of a catalog as an endpoint has them: real ids, regions, profiles and limits.

With `--models bundled` the endpoint refuses what AWS would refuse in the region that is asked: a model that is not
there, one that is reached by a profile only, one that has ended.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.catalog import Catalog

from .models import LocalModel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from airflow_provider_bedrock_llm.core.model_card import ModelCard

__all__ = ["models_of_catalog"]

_EMBEDDINGS = (
    (re.compile(r"amazon\.titan-embed-text-v2"), "titan_v2"),
    (re.compile(r"amazon\.titan-embed-(text-v1|g1-text)"), "titan_v1"),
    (re.compile(r"cohere\.embed-.*-v3"), "cohere_v3"),
    (re.compile(r"cohere\.embed-v4"), "cohere_v4"),
    (re.compile(r"amazon\.nova-2-multimodal-embeddings"), "nova"),
)
# From Claude 3.7 to 4.7 a token of output counts five times against the quota; newer figures are not confirmed.
_FIVEFOLD = re.compile(r"anthropic\.claude-(3-7|(haiku|sonnet|opus)-4)")


def models_of_catalog(document: Mapping[str, Any]) -> list[LocalModel]:
    """Local models from a catalog's JSON (`Catalog.to_dict`); models that are nowhere are left out."""
    today = datetime.now(UTC).date()
    return [_local_model(card, today) for card in Catalog.from_dict(document) if card.regions]


def _local_model(card: ModelCard, today: date) -> LocalModel:
    profiles = {one.model_id: tuple(sorted(one.source_regions)) for one in card.profiles if not one.is_application}
    direct = frozenset(card.direct_regions) - card.profile_required
    embedding = next((kind for pattern, kind in _EMBEDDINGS if pattern.match(card.model_id)), "")
    return LocalModel(
        card.model_id,
        card.name,
        regions=tuple(sorted(card.regions)),
        profiles=profiles,
        on_demand=bool(direct),
        profile_only_regions=tuple(sorted(card.regions - direct)),
        converse=card.mode in {None, "chat"} and card.converse is not False,
        streaming=card.streaming is not False,
        tools=card.supports("tool_use") is not False,
        prompt_caching=bool(card.supports("prompt_caching")),
        prompt_cache_min_tokens=card.capabilities.get("prompt_cache_min_tokens", 1024),
        structured_output=card.supports("structured_output") is not False,
        count_tokens=card.provider == "Anthropic",
        input_modalities=card.input_modalities or ("TEXT",),
        context_window_tokens=card.context_window_tokens or 200_000,
        max_output_tokens=card.max_output_tokens or 4_096,
        output_burndown=5.0 if _FIVEFOLD.match(card.model_id) else 1.0,
        lifecycle="LEGACY" if card.lifecycle.status in {"LEGACY", "DEPRECATED"} else "ACTIVE",
        access="end_of_life" if card.lifecycle.is_over(today) else "granted",
        embedding=embedding,
    )
