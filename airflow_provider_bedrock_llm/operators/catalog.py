"""`BedrockCatalogRefreshOperator`: ask AWS which models the account has, and fail when one in use is about to end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_bedrock_llm.core.catalog_metadata import DEFAULT_VARIABLE_KEY
from airflow_provider_bedrock_llm.core.errors import LLMManagerError
from airflow_provider_bedrock_llm.core.model_listing import ends_within
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.hooks.catalog_variable import model_catalog
from airflow_provider_bedrock_llm.hooks.outcome import airflow_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_bedrock_llm.aws.model_catalog import BedrockModelCatalog
    from airflow_provider_bedrock_llm.core.model_card import ModelCard

__all__ = ["BedrockCatalogRefreshOperator"]


class BedrockCatalogRefreshOperator(BaseOperator):
    """Refresh the model catalog in its Airflow Variable, and watch the end of life of the models in use.

    The return value says which regions answered and failed, how many models there are, and which of those in use end.

    Args:
        models: the models in use, by name, id, profile id or ARN; None takes those of the connection. Templated.
        warn_days_before_eol: fail when one of them ends within so many days. None only refreshes.
        regions: the regions to ask; None for all regions of the partition that have Bedrock. Templated.
        variable_key: the Variable. Give each account its own. Templated.
        max_workers: how many regions are asked at a time.
        timeout: seconds for asking all regions together.
        max_variable_bytes: the room for the Variable, where it is limited.
        bedrock_conn_id: the Airflow connection.

    Raises:
        AirflowFailException: a model in use ends soon or has ended, or its name is not known. The Variable is written
            before that.
        AirflowException: no region answered. The Variable stays as it was.
    """

    template_fields: Sequence[str] = ("models", "regions", "variable_key", "bedrock_conn_id")
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        models: Sequence[str] | None = None,
        warn_days_before_eol: int | None = 60,
        regions: Sequence[str] | None = None,
        variable_key: str = DEFAULT_VARIABLE_KEY,
        max_workers: int = 10,
        timeout: float = 60.0,
        max_variable_bytes: int | None = None,
        bedrock_conn_id: str = BedrockLLMHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.models = models
        self.warn_days_before_eol = warn_days_before_eol
        self.regions = regions
        self.variable_key = variable_key
        self.max_workers = max_workers
        self.timeout = timeout
        self.max_variable_bytes = max_variable_bytes
        self.bedrock_conn_id = bedrock_conn_id

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow's signature
        """Refresh, then look at the models in use."""
        hook = BedrockLLMHook(bedrock_conn_id=self.bedrock_conn_id)
        try:
            catalog = model_catalog(
                hook,
                variable_key=self.variable_key,
                regions=self.regions,
                max_workers=self.max_workers,
                timeout=self.timeout,
                max_variable_bytes=self.max_variable_bytes,
            )
            metadata = catalog.refresh_catalog()
            cards = self._cards_in_use(hook, catalog)
        except LLMManagerError as error:
            raise airflow_error(error) from error
        for region, cause in sorted(metadata.regions_failed.items()):
            self.log.warning("%s gave no models: %s", region, cause)
        ending = self._ending(cards)
        if ending:
            raise AirflowFailException(
                f"{'; '.join(ending)}. Move to another model: `airflow bedrock-llm models` lists those that stay."
            )
        return {
            "regions": list(metadata.api_regions_queried),
            "regions_failed": sorted(metadata.regions_failed),
            "models": len(catalog.list_models()),
            "models_in_use": [card.model_id for card in cards],
        }

    def _cards_in_use(self, hook: BedrockLLMHook, catalog: BedrockModelCatalog) -> list[ModelCard]:
        names = self.models
        if names is None:
            names = hook.get_available_models() if hook.connection.models else []
        resolved = [catalog.ensure_catalog_available().resolve(name) for name in names]
        for model in resolved:
            if model.card is None:
                self.log.info("Nothing is known about the end of %s.", model.name)
        return list({model.card.model_id: model.card for model in resolved if model.card}.values())

    def _ending(self, cards: list[ModelCard]) -> list[str]:
        if self.warn_days_before_eol is None:
            return []
        today = datetime.now(UTC).date()
        told = []
        for card, days_left in ends_within(cards, today, self.warn_days_before_eol):
            if days_left is None or days_left < 0:
                told.append(f"{card.name} ({card.model_id}) has ended")
            else:
                told.append(f"{card.name} ({card.model_id}) ends on {card.lifecycle.end_of_life}, in {days_left} days")
        return told
