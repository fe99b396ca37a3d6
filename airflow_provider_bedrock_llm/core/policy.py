"""What many requests have in common: settings, and what is known of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.config import ResponseValidationConfig, RetryConfig, ValidationResult
from airflow_provider_bedrock_llm.core.diagnosis import Setting
from airflow_provider_bedrock_llm.core.failover import Failover
from airflow_provider_bedrock_llm.core.features import FeatureBook
from airflow_provider_bedrock_llm.core.pricing import Prices
from airflow_provider_bedrock_llm.core.schema import OutputSchema, load_object

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.model_card import ModelCard
    from airflow_provider_bedrock_llm.core.prompt_cache import CacheConfig, FixedPart
    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.core.routes import Route

__all__ = ["ConversePolicy"]

PricesFor = Callable[[str, str], Prices | None]


def _no_price(_model_id: str, _region: str) -> Prices | None:
    return None


def _forget(_model_id: str, _region: str) -> None:
    return None


def _ignore(_response: BedrockResponse) -> None:
    return None


def _no_capability(_model_id: str) -> bool:
    return False


def _no_card(_model_id: str) -> ModelCard | None:
    return None


@dataclass(frozen=True)
class ConversePolicy:
    """What many requests have in common.

    Args:
        retry: budgets, backoff and strategy.
        schema: the shape that answers must have, if any.
        schema_retries: how often a model is asked again, with the error told to it, when an answer breaks the schema.
        validation: a function of the caller's that accepts or rejects answers, if any.
        inference_config: settings under those of the request.
        prices_for: (id sent, region) -> prices, None where they are not known.
        takes_output_config: id sent -> whether the model has native structured output.
        takes_prefill: id sent -> whether the model goes on from an assistant message that it is given.
        card_for: id sent -> what is known about the model, None where nothing is.
        features: what routes refused before; shared by whoever asks with the same credentials.
        cache: where cache points go; None leaves requests as they are.
        fixed: what the requests of a job have in common, which is cached once; None for requests of their own.
        setting: what error messages name.
        report: told every response at its end, for statistics.
        learn_profile: told (id sent, region) where AWS answered that the model wants an inference profile there.
    """

    retry: RetryConfig = field(default_factory=RetryConfig)
    schema: OutputSchema | None = None
    schema_retries: int = 2
    validation: ResponseValidationConfig | None = None
    inference_config: Mapping[str, Any] | None = None
    prices_for: PricesFor = _no_price
    takes_output_config: Callable[[str], bool] = _no_capability
    takes_prefill: Callable[[str], bool] = _no_capability
    card_for: Callable[[str], ModelCard | None] = _no_card
    features: FeatureBook = field(default_factory=FeatureBook)
    cache: CacheConfig | None = None
    fixed: FixedPart | None = None
    setting: Setting = field(default_factory=Setting)
    report: Callable[[BedrockResponse], None] = _ignore
    learn_profile: Callable[[str, str], None] = _forget
    validate: Callable[[Any], ValidationResult] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.validation is not None:
            function = self.validation.response_validation_function
            if isinstance(function, str):
                function = load_object(function, "response_validation_function")
            object.__setattr__(self, "validate", function)

    def prices_of(self, route: Route) -> Prices | None:
        """What a route costs: as its candidate list says, else as the catalog does."""
        listed = route.choice.prices
        known = None if route.choice.service else self.prices_for(route.model_id, route.region)
        return known if listed is None else Prices.as_listed(listed, known)

    def failover(self, routes: Sequence[Route]) -> Failover:
        """The engine's rules for requests over these routes."""
        again = self.schema_retries if self.schema is not None else 0
        if self.validation is not None:
            again = max(again, self.validation.response_validation_retries)
        delay = self.validation.response_validation_delay if self.validation is not None else 0.0
        return Failover(tuple(routes), self.retry, answer_retries=again, answer_delay_seconds=delay)
