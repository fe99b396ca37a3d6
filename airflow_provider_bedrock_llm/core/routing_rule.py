"""The rule by which candidates are chosen: a strategy, and what a candidate must meet."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError

__all__ = ["Routing", "RoutingStrategy"]


class RoutingStrategy(StrEnum):
    """How a candidate is chosen among those that fit."""

    FIXED = "fixed"
    """The one that is named, or the first of the list."""
    SMALLEST = "smallest"
    """The fewest parameters; where they are not known, last and by price."""
    LARGEST = "largest"
    """The most parameters; where they are not known, last and by price."""
    CHEAPEST = "cheapest"
    """The lowest estimated price of this request."""
    WEIGHTED = "weighted"
    """By chance, in proportion to the weights; the same record always gets the same."""
    LIKENESS = "likeness"
    """Whose feature text is most like the request, by their embeddings."""
    FUNCTION = "function"
    """What a function of yours says: here a trained router plugs in."""


@dataclass(frozen=True)
class Routing:
    """The rule by which candidates are chosen. JSON-safe, so that it can stand in a job.

    Args:
        strategy: how to choose among those that fit.
        candidate: for `fixed`: its name; None takes the first of the list.
        function: for `function`: the dotted path of a function, `package.module:name`. It is called with the `Query`
            and the list of `Candidate`s that fit, and returns a name, or names, best first.
        embedding_model: for `likeness`: what turns texts into vectors.
        weights: for `weighted`: name -> weight, instead of the weights in the list.
        failover: whether the next candidates are asked when the chosen one cannot answer.
        capabilities: what a candidate must have, such as `tool_use`.
        modalities: what it must take, such as `IMAGE`; what the request holds counts anyway.
        regions: where a request may be sent, such as `eu-*`. Where it may be run is `data_residency` of `RetryConfig`.
        services: which services may be asked, such as `Bedrock`; empty for all.
        max_request_usd: the most that a request may cost, estimated; None for no limit.
        expected_output_tokens: what an answer is taken to have, for estimates, where `maxTokens` is not less.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    strategy: RoutingStrategy = RoutingStrategy.CHEAPEST
    candidate: str | None = None
    function: str | None = None
    embedding_model: str = "amazon.titan-embed-text-v2:0"
    weights: Mapping[str, float] = field(default_factory=dict)
    failover: bool = True
    capabilities: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    max_request_usd: float | None = None
    expected_output_tokens: int = 500

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "strategy", RoutingStrategy(self.strategy))
        except ValueError:
            known = ", ".join(RoutingStrategy)
            raise ConfigurationError(
                f"routing has strategy={self.strategy!r}. Give one of {known}, or the path of a function as "
                "'package.module:name'."
            ) from None
        for name in ("capabilities", "modalities", "regions", "services"):
            value = getattr(self, name)
            if not isinstance(value, Collection) or not all(isinstance(one, str) for one in value):
                raise ConfigurationError(f"routing has {name}={value!r}. Give a list of texts.")
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if (self.strategy is RoutingStrategy.FUNCTION) != (self.function is not None):
            raise ConfigurationError(
                f"routing has strategy={self.strategy.value!r} and function={self.function!r}. Give a function with "
                "the strategy 'function', and only with it."
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        weights: Any = self.weights
        if not isinstance(weights, Mapping) or not all(_is_number(one, least=0) for one in weights.values()):
            raise ConfigurationError(f"routing has weights={weights!r}. Give an object of name -> 0 or more.")
        if not isinstance(self.failover, bool):
            raise ConfigurationError(f"routing has failover={self.failover!r}. Give true or false.")
        expected: Any = self.expected_output_tokens
        if not isinstance(expected, int) or not _is_number(expected, least=1):
            raise ConfigurationError(f"routing has expected_output_tokens={expected!r}. Give a whole number above 0.")
        if self.max_request_usd is not None and not (_is_number(self.max_request_usd) and self.max_request_usd > 0):
            raise ConfigurationError(
                f"routing has max_request_usd={self.max_request_usd!r}. Give more than 0, or None."
            )

    @classmethod
    def of(cls, given: Routing | str | Mapping[str, Any] | None) -> Routing:
        """Take a rule in any of its forms.

        Args:
            given: a `Routing`, its fields, the name of a strategy, the dotted path of a function, or None for the
                cheapest that fits.

        Raises:
            ConfigurationError: it is none of these.
        """
        if given is None:
            return cls()
        if isinstance(given, Routing):
            return given
        if isinstance(given, str):
            return cls(RoutingStrategy.FUNCTION, function=given) if ":" in given else cls(given)  # type: ignore[arg-type]
        known = {known.name for known in fields(cls)}
        unknown = sorted(set(given) - known) if hasattr(given, "keys") else [type(given).__name__]
        if unknown:
            raise ConfigurationError(f"routing has {unknown[0]!r}. Known are: {', '.join(sorted(known))}.")
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, JSON-safe."""
        plain = {name: getattr(self, name) for name in (known.name for known in fields(self))}
        standard = Routing.__dataclass_fields__
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in plain.items()
            if name == "strategy" or (value and value != standard[name].default) or value is False
        }


def _is_number(value: Any, *, least: float = 0) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and least <= value <= sys.float_info.max
