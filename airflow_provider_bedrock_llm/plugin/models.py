"""The model catalog as the page shows it. AWS is not asked: what tasks learned from it stands in the Variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.model_catalog import BedrockModelCatalog
from airflow_provider_bedrock_llm.core.catalog_metadata import CacheMode
from airflow_provider_bedrock_llm.core.model_listing import ModelFilter, model_rows
from airflow_provider_bedrock_llm.hooks.catalog_variable import AirflowVariableStore
from airflow_provider_bedrock_llm.hooks.models import catalog_mode

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.model_listing import ModelRow

__all__ = ["list_models"]


def list_models() -> dict[str, Any]:
    """Every model with prices, regions and end of life, and where that is known from. Blocks.

    Application inference profiles are left out: their ARNs name the account.
    """
    is_kept = catalog_mode() == CacheMode.VARIABLE.value
    known = BedrockModelCatalog(store=AirflowVariableStore() if is_kept else None)
    rows = model_rows(known.ensure_catalog_available(), ModelFilter())
    about = known.get_catalog_metadata()
    return {
        "source": about.source.value,
        "retrieved_at": about.retrieval_timestamp.isoformat() if about.retrieval_timestamp else None,
        "snapshot_of": about.bundled_data_version,
        "regions_asked": list(about.api_regions_queried),
        "regions_failed": dict(about.regions_failed),
        "models": [_model(row) for row in rows],
    }


def _model(row: ModelRow) -> dict[str, Any]:
    told = row.as_dict()
    rates = row.prices.on_demand if row.prices else None
    return {
        **{name: told[name] for name in _TOLD},
        "model_id": row.card.model_id,
        "mode": row.card.mode,
        "regions": sorted(row.card.regions),
        "profiles": [profile.model_id for profile in row.card.profiles if not profile.is_application],
        "cache_read_usd_per_million": rates.cache_read if rates else None,
    }


_TOLD = (
    "name",
    "provider",
    "input_usd_per_million",
    "output_usd_per_million",
    "price_disputed",
    "context_window_tokens",
    "max_output_tokens",
    "capabilities",
    "status",
    "release_date",
    "end_of_life",
    "confidence",
)
