"""The part of the hook that knows models: which are asked, where, under which id, and what the catalog says of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_bedrock_llm.aws.catalog_bundle import load_bundled_catalog
from airflow_provider_bedrock_llm.core.access import AccessMethod, AccessOption, options_for, preference_for_call
from airflow_provider_bedrock_llm.core.catalog_metadata import DEFAULT_VARIABLE_KEY, CacheMode
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.routes import RoutePlan
from airflow_provider_bedrock_llm.hooks.arguments import model_choice
from airflow_provider_bedrock_llm.hooks.catalog_variable import model_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_bedrock_llm.aws.model_catalog import BedrockModelCatalog
    from airflow_provider_bedrock_llm.core.candidates import Candidate
    from airflow_provider_bedrock_llm.core.catalog import Catalog
    from airflow_provider_bedrock_llm.core.config import RetryConfig
    from airflow_provider_bedrock_llm.core.routes import ModelChoice
    from airflow_provider_bedrock_llm.hooks.connection import BedrockConnection

__all__ = ["ModelVerbs", "catalog_mode"]

_BUNDLED = "bundled"


class ModelVerbs:
    """Models and their routes. A base of `BedrockLLMHook`, which has the connection."""

    if TYPE_CHECKING:
        bedrock_conn_id: str
        default_conn_name: str
        connection: BedrockConnection
        retry_config: RetryConfig
        has_candidates: bool
        candidates: tuple[Candidate, ...]
        candidate_regions: list[str]
        region_name: str | None
        get_session: Any
        _models: Sequence[Any] | None
        _regions: Sequence[str] | None

    @cached_property
    def model_catalog(self) -> BedrockModelCatalog:
        """The catalog of the account, for the regions in use, kept where `[bedrock_llm] catalog_mode` says."""
        mode = catalog_mode()
        own = [choice.region for choice in self.choices if choice.region] if self._models else self.candidate_regions
        is_default = self.bedrock_conn_id == self.default_conn_name
        return model_catalog(
            self,  # type: ignore[arg-type]  # the hook is more than this part of it
            cache_mode=CacheMode.NONE if mode == _BUNDLED else CacheMode(mode),
            variable_key=DEFAULT_VARIABLE_KEY if is_default else f"{DEFAULT_VARIABLE_KEY}_{self.bedrock_conn_id}",
            regions=list(dict.fromkeys([*self.get_available_regions(), *own])),
        )

    @cached_property
    def catalog(self) -> Catalog:
        """What is known about models: names, regions, profiles, prices. The first use may ask AWS, and blocks."""
        return load_bundled_catalog() if catalog_mode() == _BUNDLED else self.model_catalog.ensure_catalog_available()

    @cached_property
    def choices(self) -> tuple[ModelChoice, ...]:
        """The models that are asked, with their own regions and settings."""
        if self.has_candidates:
            return tuple(candidate.choice for candidate in self.candidates)
        models = self._models or self.connection.models
        if not models:
            raise ConfigurationError(
                "No model is configured. Give `models=[...]`, best first, or set models in the connection "
                f"{self.bedrock_conn_id!r}."
            )
        return tuple(model_choice(model) for model in models)

    def get_available_models(self) -> list[str]:
        """The models that are asked, best first."""
        return [choice.model for choice in self.choices]

    def get_available_regions(self) -> list[str]:
        """The regions that are called, best first."""
        regions = self._regions or self.connection.regions
        if not regions:
            found = self.region_name or self.get_session().region_name
            regions = [found] if found else []
        if not regions:
            raise ConfigurationError(
                f"No AWS region is configured. Set a region in the connection {self.bedrock_conn_id!r}, or give "
                "`regions=[...]`."
            )
        return list(regions)

    def plan(self, choices: Sequence[ModelChoice] | None = None) -> RoutePlan:
        """The routes that requests take. Asks no model.

        Args:
            choices: other models than those of the hook.

        Raises:
            UnknownModelError: a model's name is not known.
            ConfigurationError: no model can be asked in any region.
        """
        choices = self.choices if choices is None else choices
        resolved = {choice.model: self.catalog.resolve(choice.model) for choice in choices if choice.service is None}
        retry = self.retry_config
        preference = tuple(AccessMethod(name) for name in retry.access_method_preference)

        def access_by(order: tuple[AccessMethod, ...]) -> Callable[[str, str], tuple[AccessOption, ...]]:
            return lambda model, region: options_for(
                resolved[model], region, order, data_residency=retry.data_residency
            )

        try:
            return RoutePlan(
                choices,
                [] if all(choice.region for choice in choices) else self.get_available_regions(),
                retry,
                access_by(
                    preference if retry.global_cris_fraction is None else preference_for_call(preference, 0, 0.0)
                ),
                access_by(preference_for_call(preference, 0, 1.0)),
            )
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        except ConfigurationError as error:
            raise ConfigurationError(self._nowhere(choices, access_by(preference))) from error

    def plan_for(self, models: Sequence[str | Mapping[str, Any]]) -> RoutePlan:
        """The routes of a request that names its own models; see `plan`. Blocks where no catalog is loaded yet."""
        listed = {choice.candidate: choice for choice in self.choices if choice.candidate is not None}
        return self.plan(
            [(listed.get(model) if isinstance(model, str) else None) or model_choice(model) for model in models]
        )

    def _nowhere(self, choices: Sequence[ModelChoice], access: Callable[[str, str], tuple[AccessOption, ...]]) -> str:
        """None of the models can be asked where the hook asks; which can be asked where, under the same settings."""
        retry = self.retry_config
        allowed = ", ".join(retry.access_method_preference)
        there = []
        for choice in choices:
            card = self.catalog.resolve(choice.model).card
            regions = [region for region in sorted(card.regions if card else ()) if access(choice.model, region)]
            there.append(f"{choice.model} in {', '.join(regions)}" if regions else f"{choice.model} nowhere")
        return (
            f"No model can be asked in {', '.join(self.get_available_regions())} with `data_residency`="
            f"{retry.data_residency} and `access_method_preference`=({allowed}). Give other `regions`, models or "
            f"settings; known to work with these settings: {'; '.join(there)}."
        )

    def takes_output_config(self, model_id: str) -> bool:
        """Whether a model has native structured output."""
        card = self.catalog.card(model_id)
        return bool(card and card.supports("structured_output"))

    def suggest_instead_of(self, model: str) -> str:
        """A sentence about what could be asked instead of a model that did not work."""
        card = self.catalog.card(model)
        if card is None:
            return f"The nearest known models are {', '.join(self.catalog.suggest(model))}."
        return f"Regions known to have it: {', '.join(sorted(card.regions)) or 'none'}."

    def learn_profile(self, model_id: str, region: str) -> None:
        """Note that AWS wants an inference profile for a model. Called while requests run, so it only notes."""
        self._learned_profiles.add((model_id, region))

    def keep_what_was_learned(self) -> None:
        """Write into the catalog what requests taught, so that the next task does not ask in vain. Blocks."""
        if catalog_mode() == _BUNDLED:
            self._learned_profiles.clear()
        while self._learned_profiles:
            self.model_catalog.remember_profile_required(*self._learned_profiles.pop())

    @cached_property
    def _learned_profiles(self) -> set[tuple[str, str]]:
        return set()


def catalog_mode() -> str:
    """`[bedrock_llm] catalog_mode`: a value of `CacheMode`, or `bundled`.

    Raises:
        ConfigurationError: it is none of these.
    """
    mode: str = conf.get("bedrock_llm", "catalog_mode", fallback="variable").strip().lower()
    known = [_BUNDLED, *(member.value for member in CacheMode)]
    if mode not in known:
        raise ConfigurationError(
            f"[bedrock_llm] catalog_mode={mode!r} is not known. Set it to one of {', '.join(known)}."
        )
    return mode
