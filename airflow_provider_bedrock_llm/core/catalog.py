"""Which models there are: look up, resolve a name, filter, and merge what an account's own regions answered.

A catalog is kept as the JSON objects it was read from; a card is made when somebody asks for it, so that loading two
hundred models costs what reading the JSON costs.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import CatalogError, UnknownModelError
from airflow_provider_bedrock_llm.core.merge_patch import apply_patch
from airflow_provider_bedrock_llm.core.model_card import ModelCard
from airflow_provider_bedrock_llm.core.model_id import ModelId, ModelIdError, ModelIdKind, is_arn, parse_model_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_bedrock_llm.core.pricing import Prices

__all__ = ["ACCOUNT", "SCHEMA_VERSION", "Catalog", "ResolvedModel", "checksum_of", "normal_name"]

SCHEMA_VERSION = 1
ACCOUNT = "account"
_SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What a name given by the user stands for.

    Attributes:
        name: the name as it was given.
        model_id: the id to send: the id, profile id or ARN itself, or the base id of a friendly name.
        card: what is known about the model; None for an id or ARN that the catalog does not know.
        pinned: an inference profile or an ARN was named, which is sent as it is. Otherwise the catalog's access
            options say which of the model's ids is sent in a region.
    """

    name: str
    model_id: ModelId
    card: ModelCard | None
    pinned: bool

    @property
    def region(self) -> str | None:
        """The only region that can be called, where an ARN was named."""
        return self.model_id.region


@dataclass(frozen=True, eq=False)
class Catalog:
    """Models by base id. Immutable: `merge` returns a new one.

    Attributes:
        models: base id -> the model's entry as JSON.
        asked_regions: source -> the regions where that source asked AWS for its models. The source `account` stands
            for this account; another source counts for the models that name it.
        generated_at: when the bundled part was made, ISO 8601.
        sources: where the facts come from.
    """

    models: Mapping[str, Mapping[str, Any]]
    asked_regions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    generated_at: str | None = None
    sources: tuple[Mapping[str, Any], ...] = ()
    _cards: dict[str, ModelCard] = field(default_factory=dict, init=False, repr=False)
    _prices: dict[tuple[str, str], Prices | None] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, verify: bool = True) -> Catalog:
        """Read what `to_dict` wrote.

        Raises:
            CatalogError: another schema version, or the checksum does not fit the models.
        """
        version = raw.get("schema_version")
        if version != SCHEMA_VERSION:
            raise CatalogError(
                f"The catalog has schema_version={version!r} and this package reads {SCHEMA_VERSION}. "
                "Make it anew with the installed version of the package."
            )
        models = raw.get("models")
        if not isinstance(models, dict):
            raise CatalogError("The catalog has no `models` object. Make it anew.")
        if verify and raw.get("checksum") != checksum_of(models):
            raise CatalogError(
                "The catalog's checksum does not fit its models. Make it anew, and do not edit it by hand."
            )
        return cls(
            models=models,
            asked_regions={source: frozenset(regions) for source, regions in raw.get("asked_regions", {}).items()},
            generated_at=raw.get("generated_at"),
            sources=tuple(raw.get("sources", ())),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the catalog as JSON-able data, with schema version and checksum."""
        return {
            "schema_version": SCHEMA_VERSION,
            "checksum": checksum_of(self.models),
            "generated_at": self.generated_at,
            "sources": list(self.sources),
            "asked_regions": {source: sorted(regions) for source, regions in self.asked_regions.items()},
            "models": self.models,
        }

    def merge(self, patch: Mapping[str, Any], *, regions: frozenset[str] = frozenset()) -> Catalog:
        """Return this catalog with what an account answered laid over it.

        Args:
            patch: base id -> JSON merge patch of the model's entry; None takes a model out.
            regions: where the account was asked; there, what is not recorded is not there.
        """
        asked = dict(self.asked_regions)
        asked[ACCOUNT] = asked.get(ACCOUNT, frozenset()) | regions
        return Catalog(apply_patch(self.models, patch), asked, self.generated_at, self.sources)

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[ModelCard]:
        return (self._card(model_id) for model_id in sorted(self.models))

    def card(self, model_id: str) -> ModelCard | None:
        """What is known about a base id, a profile id or an ARN; None where nothing is, or it is none of these."""
        if model_id in self.models:
            return self._card(model_id)
        if owner := self._by_profile.get(model_id):
            return self._card(owner)
        try:
            base = parse_model_id(model_id).base
        except ModelIdError:
            return None
        if base is None:
            return None
        # Cohere's and Titan's context variants carry a `:0` that the base id does not have.
        found = next((known for known in (base, base.removesuffix(":0")) if known in self.models), None)
        return self._card(found) if found else None

    def resolve(self, name: str) -> ResolvedModel:
        """Say which model a name stands for. Nothing is ever resolved by likeness.

        Args:
            name: an id, an inference profile id or an ARN, which resolve to themselves; or a name or alias of the
                catalog, where upper case and the characters between words do not matter.

        Raises:
            UnknownModelError: nothing of that name, or more than one; with the three nearest names.
            ModelIdError: an ARN that Converse would not take.
        """
        text = name.strip()
        if text in self.models or text in self._by_profile or is_arn(text):
            return self._resolved(name, parse_model_id(text))
        found = self._by_name.get(normal_name(text), frozenset())
        if len(found) == 1:
            return self._resolved(name, parse_model_id(next(iter(found))))
        if found:
            raise UnknownModelError(name, sorted(found)[:_SUGGESTIONS])
        try:
            return self._resolved(name, parse_model_id(text))
        except ModelIdError:
            raise UnknownModelError(name, self.suggest(text)) from None

    def suggest(self, name: str, count: int = _SUGGESTIONS) -> tuple[str, ...]:
        """The names of the models whose name, alias or id is nearest to this one, best first."""
        wanted = normal_name(name)
        words = set(wanted.split())
        scores: dict[str, float] = {}
        for known, owners in self._by_name.items():
            shared = len(words.intersection(known.split()))
            score = shared / max(len(words), 1) + SequenceMatcher(None, wanted, known).ratio()
            for owner in owners:
                scores[owner] = max(scores.get(owner, 0.0), score)
        best = sorted(scores, key=lambda owner: (-scores[owner], owner))[:count]
        return tuple(self._card(owner).name for owner in best)

    def list_models(
        self,
        *,
        region: str | None = None,
        provider: str | None = None,
        streaming_only: bool = False,
        capability: str | None = None,
        mode: str | None = None,
    ) -> list[ModelCard]:
        """The models that are known to fit every filter given, by id.

        Args:
            region: callable there, directly or through a system-defined inference profile.
            provider: such as `Anthropic`; upper case does not matter.
            streaming_only: known to stream.
            capability: known to have it, such as `tool_use`; `streaming` and `converse` are capabilities too.
            mode: such as `chat` or `embedding`.
        """
        return [
            card
            for card in self
            if (region is None or region in card.regions)
            and (provider is None or card.provider.casefold() == provider.casefold())
            and (not streaming_only or card.streaming is True)
            and (capability is None or card.supports(capability) is True)
            and (mode is None or card.mode == mode)
        ]

    def prices_for(self, sent_id: str, region: str) -> Prices | None:
        """What a request costs that was sent under this id, profile id or ARN to this region; None: not known."""
        key = sent_id, region
        if key not in self._prices:  # asked after every call, always for the same few routes
            card = self.card(sent_id)
            self._prices[key] = None if card is None else card.prices_for(sent_id, region)
        return self._prices[key]

    @property
    def regions(self) -> frozenset[str]:
        """Every region where some model can be called."""
        return frozenset().union(*(card.regions for card in self))

    @property
    def providers(self) -> tuple[str, ...]:
        """Every provider, sorted."""
        return tuple(sorted({card.provider for card in self}))

    def _card(self, model_id: str) -> ModelCard:
        card = self._cards.get(model_id)
        if card is None:
            raw = self.models[model_id]
            asked = (self.asked_regions.get(source, frozenset()) for source in raw.get("sources", ()))
            card = ModelCard.from_dict(
                model_id,
                raw,
                asked_regions=frozenset().union(*asked),
                account_regions=self.asked_regions.get(ACCOUNT, frozenset()),
            )
            self._cards[model_id] = card
        return card

    def _resolved(self, name: str, model_id: ModelId) -> ResolvedModel:
        pinned = model_id.kind is not ModelIdKind.BASE_MODEL
        return ResolvedModel(name, model_id, self.card(model_id.text), pinned)

    @cached_property
    def _by_profile(self) -> dict[str, str]:
        return {profile: model_id for model_id, raw in self.models.items() for profile in raw.get("profiles", ())}

    @cached_property
    def _by_name(self) -> dict[str, frozenset[str]]:
        """Normal form of a name -> ids. A model's own name beats the alias of another."""
        names: dict[str, set[str]] = {}
        aliases: dict[str, set[str]] = {}
        for model_id, raw in self.models.items():
            names.setdefault(normal_name(raw.get("name") or model_id), set()).add(model_id)
            for alias in (*raw.get("aliases", ()), raw.get("aws_name"), model_id):
                if alias:
                    aliases.setdefault(normal_name(alias), set()).add(model_id)
        return {known: frozenset(owners) for known, owners in (aliases | names).items()}


def checksum_of(models: Mapping[str, Any]) -> str:
    """The SHA-256 of the entries, in one canonical spelling."""
    canonical = json.dumps(models, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def normal_name(name: str) -> str:
    """The form in which names are compared: lower case, one space between words; `+` and `.` are part of a word."""
    return re.sub(r"[^a-z0-9.+]+", " ", name.casefold()).strip()
