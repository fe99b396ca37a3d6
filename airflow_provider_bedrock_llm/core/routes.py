"""Models x regions x ways of access -> the routes of a request, best first."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.access import takes_global_profile
from airflow_provider_bedrock_llm.core.config import RegionOrder, RetryConfig, RetryStrategy
from airflow_provider_bedrock_llm.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_provider_bedrock_llm.core.access import AccessOption
    from airflow_provider_bedrock_llm.core.pricing import TokenPrices

    AccessOptions = Callable[[str, str], Sequence[AccessOption]]
    ModelNames = Sequence[str | Mapping[str, Any]]

__all__ = ["SERVICE", "ModelChoice", "Route", "RoutePlan", "RoutePlans", "order_regions", "plan_routes"]

SERVICE = "service"
"""The access of a route to another service than Bedrock."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that may answer.

    Args:
        model: id, inference profile id, ARN or a name of the catalog.
        region: the only region to ask it in; None for the regions of the request.
        inference_config: settings for this model alone, merged over those of the request.
        service: another service than Bedrock that serves the model, such as `NVIDIA`; it stands for the region, too.
        candidate: its name in a candidate list.
        prices: instead of the catalog's, where the candidate list names them.
    """

    model: str
    region: str | None = None
    inference_config: Mapping[str, Any] | None = None
    service: str | None = None
    candidate: str | None = None
    prices: TokenPrices | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One way to an answer.

    Args:
        model: the model as the caller named it.
        model_id: what goes on the wire: model id, inference profile id or ARN.
        region: the AWS region that is called.
        access: `direct`, `regional_profile` or `global_profile`; `service` for another service than Bedrock.
        choice: the model entry that the route comes from.
    """

    model: str
    model_id: str
    region: str
    access: str
    choice: ModelChoice

    @property
    def key(self) -> tuple[str, str]:
        """What limits, rests and statistics are kept by: they belong to a model id in a region."""
        return (self.model_id, self.region)

    def __str__(self) -> str:
        """Model id and region, for logs and manifests."""
        return f"{self.model_id} in {self.region}"


def plan_routes(
    choices: Sequence[ModelChoice],
    regions: Sequence[str],
    retry: RetryConfig,
    access_options: AccessOptions,
) -> tuple[Route, ...]:
    """Order every way in which a request may be answered.

    Args:
        choices: the models, best first.
        regions: the regions, best first.
        retry: regions first or models first.
        access_options: the ids under which a model can be asked in a region, best first.

    Raises:
        ConfigurationError: no model, no region, or no model that can be asked in any of them.
    """
    if not choices:
        raise ConfigurationError("No model is configured. Give `models=[...]`, best first.")
    if not regions and any(choice.region is None for choice in choices):
        raise ConfigurationError("No region is configured. Give `regions=[...]`, or set a region in the connection.")
    by_region = retry.retry_strategy is RetryStrategy.MODEL_FIRST
    routes: dict[tuple[str, str], Route] = {}
    for group in _by_region(choices, regions) if by_region else _by_model(choices, regions):
        found = [ranked for choice, region in group for ranked in _ranked(choice, region, access_options)]
        # Another way to the same model in the same region hardly has more room: other regions and models come first.
        for _, route in sorted(found, key=lambda ranked: ranked[0]):
            routes.setdefault(route.key, route)
    if not routes:
        names = ", ".join(choice.model for choice in choices)
        places = ", ".join(_all_regions(choices, regions))
        raise ConfigurationError(
            f"None of the models ({names}) can be asked in any of the regions ({places}). "
            "Choose regions that have them: `airflow bedrock-llm models` lists both."
        )
    return tuple(routes.values())


def _ranked(choice: ModelChoice, region: str, access_options: AccessOptions) -> Iterator[tuple[int, Route]]:
    """The ways to a model in a region, with their rank among each other; another service has one."""
    if choice.service is not None:
        yield 0, Route(choice.model, choice.model, region, SERVICE, choice)
        return
    for rank, option in enumerate(access_options(choice.model, region)):
        yield rank, Route(choice.model, option.model_id, region, option.access.value, choice)


Pairs = list[tuple[ModelChoice, str]]


def _by_model(choices: Sequence[ModelChoice], regions: Sequence[str]) -> Iterator[Pairs]:
    for choice in choices:
        yield [(choice, region) for region in ([choice.region] if choice.region else regions)]


def _by_region(choices: Sequence[ModelChoice], regions: Sequence[str]) -> Iterator[Pairs]:
    for region in _all_regions(choices, regions):
        yield [
            (choice, region)
            for choice in choices
            if choice.region == region or (choice.region is None and region in regions)
        ]


def _all_regions(choices: Sequence[ModelChoice], regions: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*regions, *(choice.region for choice in choices if choice.region)]))


def order_regions(regions: Sequence[str], order: RegionOrder, turn: int) -> list[str]:
    """The regions in the order of one request; the same turn gives the same order."""
    if not regions or order is RegionOrder.FIXED:
        return list(regions)
    if order is RegionOrder.ROTATE:
        start = turn % len(regions)
        return [*regions[start:], *regions[:start]]
    return sorted(regions, key=lambda region: hashlib.sha256(f"{turn}/{region}".encode()).digest())


_ORDERS_KEPT = 500
"""Ten regions have millions of orders; a few hundred spread the load as well, and stay planned."""


class RoutePlan:
    """The routes of many requests: planned once per order of regions, then looked up.

    Args:
        choices: the models, best first.
        regions: the regions, best first.
        retry: strategy and order of the regions.
        access_options: the ids under which a model can be asked in a region, best first.
        global_first: the same for the requests that `global_cris_fraction` sends through the global profile.

    Raises:
        ConfigurationError: as `plan_routes`, at once and not at the first request.
    """

    def __init__(
        self,
        choices: Sequence[ModelChoice],
        regions: Sequence[str],
        retry: RetryConfig,
        access_options: AccessOptions,
        global_first: AccessOptions | None = None,
    ) -> None:
        self.choices = tuple(choices)
        self.regions = tuple(regions)
        self._retry = retry
        self._access_options = access_options
        self._global_first = global_first or access_options
        self._planned: dict[tuple[bool, tuple[str, ...]], tuple[Route, ...]] = {}
        self.routes(self.regions)

    def is_global(self, turn: int) -> bool:
        """Whether it is this request's turn to try the global profile first."""
        fraction = self._retry.global_cris_fraction
        return fraction is not None and takes_global_profile(turn, fraction)

    def routes(self, regions: Sequence[str], *, is_global: bool = False) -> tuple[Route, ...]:
        """The routes for one order of the regions."""
        key = (is_global, tuple(regions))
        known = self._planned.get(key)
        if known is None:
            if len(self._planned) >= _ORDERS_KEPT:
                self._planned.clear()
            options = self._global_first if is_global else self._access_options
            known = self._planned[key] = plan_routes(self.choices, key[1], self._retry, options)
        return known

    def order(self, turn: int, order: RegionOrder | None = None) -> Sequence[str]:
        """The regions in the order of one request.

        Args:
            turn: counts requests.
            order: instead of the one in the RetryConfig.
        """
        order = order or self._retry.region_order
        if order is RegionOrder.SHUFFLE:
            turn %= _ORDERS_KEPT
        return order_regions(self.regions, order, turn)


_PLANS_KEPT = 500
"""A column of a table may name any number of models; few of them are in use at a time."""


class RoutePlans:
    """The plan of each request: the common one, or one for the models that the request names. For one thread at a time.

    Args:
        common: the plan of requests that name no models.
        plan_for: makes a plan for models as a request names them; None where requests may name none. It must not block.
    """

    def __init__(self, common: RoutePlan, plan_for: Callable[[ModelNames], RoutePlan] | None = None) -> None:
        self.common = common
        self._plan_for = plan_for
        self._planned: dict[str, RoutePlan | ConfigurationError] = {}

    def find(self, models: ModelNames) -> tuple[str, RoutePlan]:
        """A plan, and a name for it that stays the same for the same models.

        Args:
            models: as the request names them; none for the common plan.

        Raises:
            ConfigurationError: the models cannot be asked, or not here.
        """
        if not models:
            return "", self.common
        if self._plan_for is None:
            raise ConfigurationError(
                "The request names models, and whoever asks it has models of its own only. Leave `models` of the "
                "request empty."
            )
        name = json.dumps(list(models), sort_keys=True, default=dict)
        found = self._planned.get(name)
        if found is None:
            if len(self._planned) >= _PLANS_KEPT:
                self._planned.clear()
            found = self._planned[name] = _plan_or_error(self._plan_for, models)
        if isinstance(found, ConfigurationError):
            raise found
        return name, found


def _plan_or_error(plan_for: Callable[[ModelNames], RoutePlan], models: ModelNames) -> RoutePlan | ConfigurationError:
    """An unknown name is looked up once, not for every row that has it."""
    try:
        return plan_for(models)
    except ConfigurationError as error:
        return error
