"""Candidate lists: the models that a router may choose from, as LLMRouter's JSON has them, each entry checked.

    {"nova-lite": {"service": "Bedrock", "model": "amazon.nova-lite-v1:0", "feature": "Fast and cheap.",
                   "input_price": 0.06, "output_price": 0.24, "aws_region": "us-east-1"},
     "qwen2.5-7b": {"service": "NVIDIA", "model": "qwen/qwen2.5-7b-instruct", "size": "7B",
                    "input_price": 0.2, "output_price": 0.2}}

Prices are US dollars per million tokens. What a Bedrock entry leaves out, `candidate_facts` takes from the catalog.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.pricing import TokenPrices
from airflow_provider_bedrock_llm.core.routes import ModelChoice

__all__ = ["Candidate", "candidate_faults", "is_bedrock", "parse_candidates", "size_parameters"]

_BEDROCK = frozenset({"bedrock", "aws", "aws bedrock", "amazon bedrock"})
_UNKNOWN_SIZES = frozenset({"", "unknown", "n/a"})
_SIZE = re.compile(r"(?:(?P<experts>\d+)x)?(?P<number>\d+(?:\.\d+)?)(?P<unit>[kmbt])", re.IGNORECASE)
_UNITS = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d")
_ENDPOINT = re.compile(r"https?://[^\s/]+")
_IGNORED = frozenset({"embedding"})
"""LLMRouter keeps vectors of another embedding model there."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that a router may choose.

    Args:
        name: what it is called in the list.
        model: Bedrock's id, inference profile id, ARN or name of the catalog; another service's own id.
        service: who serves it: `Bedrock` or `AWS`, or another service, such as `NVIDIA`.
        size: its parameters, such as `7B` or `8x7B`; None where nobody says.
        feature: what it is good at, in words; `likeness` compares queries with it.
        input_price: US dollars per million tokens that go in; None: not known.
        output_price: the same for tokens that come out.
        aws_region: the only region to ask it in; None for the regions of the connection.
        api_endpoint: where another service answers, OpenAI-shaped; None for the service's own address.
        provider: LiteLLM's name of the other service, where its own name is not enough.
        conn_id: the Airflow connection with the other service's key; None for `<service>_default`.
        weight: how often `weighted` takes it, against the others.
        inference_config: settings for this model alone.
        context_window_tokens: what prompt and answer may have together; None: not known.
        max_output_tokens: what the answer may have; None: not known.
        input_modalities: such as `TEXT` and `IMAGE`; None: not known.
        capabilities: such as `tool_use`; None: not known.
        filled: the fields that the list left out and the catalog knew.
    """

    name: str
    model: str
    service: str = "Bedrock"
    size: str | None = None
    feature: str | None = None
    input_price: float | None = None
    output_price: float | None = None
    aws_region: str | None = None
    api_endpoint: str | None = None
    provider: str | None = None
    conn_id: str | None = None
    weight: float = 1.0
    inference_config: Mapping[str, Any] | None = None
    context_window_tokens: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    filled: tuple[str, ...] = ()

    @property
    def is_bedrock(self) -> bool:
        """Whether the hook asks it itself."""
        return is_bedrock(self.service)

    @property
    def parameters(self) -> float | None:
        """How many parameters the model has, as far as `size` says."""
        return size_parameters(self.size)

    @property
    def prices(self) -> TokenPrices | None:
        """What the list itself says of the price; None where only the catalog knows."""
        if "input_price" in self.filled or (self.input_price is None and self.output_price is None):
            return None
        return TokenPrices(input=self.input_price, output=self.output_price)

    @property
    def choice(self) -> ModelChoice:
        """The candidate as the engine's routes are planned with."""
        return ModelChoice(
            model=self.model,
            region=self.aws_region if self.is_bedrock else self.service,
            inference_config=self.inference_config,
            service=None if self.is_bedrock else self.service,
            candidate=self.name,
            prices=self.prices,
        )

    @property
    def description(self) -> str:
        """What is embedded for `likeness`: the feature, with what else is known of the model."""
        known = {
            "model": self.name,
            "served by": self.service,
            "size": self.size,
            "context": self.context_window_tokens and f"{self.context_window_tokens} tokens",
            "US dollars per million tokens in": self.input_price,
            "out": self.output_price,
            "takes": ", ".join(self.input_modalities or ()),
            "capabilities": ", ".join(self.capabilities or ()),
        }
        facts = "; ".join(f"{name}: {value}" for name, value in known.items() if value not in {None, ""})
        return f"{self.feature}\n{facts}" if self.feature else facts

    def estimated_cost_usd(self, input_tokens: float, output_tokens: float) -> float | None:
        """What so many tokens cost; None where a price is not known."""
        if self.input_price is None or self.output_price is None:
            return None
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1_000_000

    def to_dict(self) -> dict[str, Any]:
        """As an entry of a list, with its name and what was filled; `parse_candidates` reads it back."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in data.items()
            if value is not None and not (name == "filled" and not value) and not (name == "weight" and value == 1.0)
        }


_KNOWN = tuple(field.name for field in fields(Candidate))
_TEXTS = ("model", "service", "size", "feature", "aws_region", "api_endpoint", "provider", "conn_id")
_PRICES = ("input_price", "output_price")
_COUNTS = ("context_window_tokens", "max_output_tokens")
_LISTS = ("input_modalities", "capabilities", "filled")


def is_bedrock(service: str) -> bool:
    """Whether a service is Amazon Bedrock by one of its names, in any case."""
    return service.strip().casefold() in _BEDROCK


def size_parameters(size: str | None) -> float | None:
    """How many parameters a size such as `7B`, `1.5B` or `8x7B` stands for; None where it says nothing."""
    found = _SIZE.fullmatch(size.strip()) if size else None
    if found is None:
        return None
    return int(found["experts"] or 1) * float(found["number"]) * _UNITS[found["unit"].lower()]


def parse_candidates(data: Any, where: str = "candidates") -> tuple[Candidate, ...]:
    """Read a candidate list.

    Args:
        data: name -> entry, as LLMRouter has it; or a list of entries with a `name`; or the JSON text of either.
        where: what the list is called in errors.

    Raises:
        ConfigurationError: the list is malformed; every fault is named with its entry.
    """
    if isinstance(data, (str, bytes)):
        try:
            data = json.loads(data, object_pairs_hook=_each_name_once)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{where} is not JSON: {error}. Correct it there.") from error
    entries = list(_named_entries(data, where))
    faults = [fault for name, entry in entries for fault in _entry_faults(name, entry)]
    times = Counter(name for name, _ in entries)
    faults += [f"{name}: the name is there twice" for name, count in times.items() if count > 1]
    if not entries:
        faults.append("the list is empty")
    if faults:
        raise candidate_faults(where, faults)
    return tuple(_candidate(name, entry) for name, entry in entries)


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Python would take the last of equal names, and say nothing."""
    times = Counter(name for name, _ in pairs)
    twice = [repr(name) for name, count in times.items() if count > 1]
    if twice:
        raise ValueError(f"an object has {', '.join(twice)} twice")
    return dict(pairs)


def candidate_faults(where: str, faults: Sequence[str]) -> ConfigurationError:
    """One error for all faults of a list.

    Args:
        where: what the list is called.
        faults: `name: what is wrong`, one per fault.
    """
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return ConfigurationError(
        f"{where} has {count}: {'; '.join(faults)}. Correct the entries; `airflow bedrock-llm candidates` makes a list "
        "that is right."
    )


def _named_entries(data: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(data, Mapping):
        for name, entry in data.items():
            yield str(name), entry
    elif isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        for index, entry in enumerate(data):
            if isinstance(entry, Candidate):
                yield entry.name, entry.to_dict()
            elif isinstance(entry, Mapping):
                yield str(entry.get("name") or entry.get("model") or f"entry {index}"), entry
            else:
                yield f"entry {index}", entry
    else:
        raise ConfigurationError(
            f"{where} is {type(data).__name__}. Give an object of name -> entry, or a list of entries with a name."
        )


def _entry_faults(name: str, entry: Any) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{name}: the entry is {type(entry).__name__}, not an object"
        return
    given = {key: value for key, value in entry.items() if value is not None and key not in _IGNORED}
    for key in given:
        if key not in _KNOWN:
            near = get_close_matches(str(key), _KNOWN, 1)
            yield f"{name}: {key!r} is no field of a candidate{f'; did you mean {near[0]!r}?' if near else ''}"
    texts = {key: given[key] for key in _TEXTS if key in given}
    for key, value in texts.items():
        if not isinstance(value, str):
            yield f"{name}: {key} is {value!r}, not text"
    for required in ("model", "service"):
        if not given.get(required):
            yield f"{name}: {required} is missing"
    yield from (f"{name}: {fault}" for fault in _number_faults(given))
    yield from (f"{name}: {fault}" for fault in _shape_faults(given))
    service = given.get("service")
    if isinstance(service, str) and service and not is_bedrock(service):
        for price in _PRICES:
            if price not in given:
                yield f"{name}: {price} is missing, and no catalog here knows the prices of {service}"


def _number_faults(given: Mapping[str, Any]) -> Iterator[str]:
    for key in (*_PRICES, "weight"):
        value = given.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield f"{key} is {value!r}, not a number"
        elif not 0 <= value <= sys.float_info.max:
            yield f"{key}={value!r} is not 0 or more, and finite"
    for key in _COUNTS:
        value = given.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield f"{key}={value!r} is not a whole number above 0"


def _shape_faults(given: Mapping[str, Any]) -> Iterator[str]:
    size, region, endpoint = (given.get(key) for key in ("size", "aws_region", "api_endpoint"))
    if isinstance(size, str) and size.strip().lower() not in _UNKNOWN_SIZES and size_parameters(size) is None:
        yield f"size={size!r} is not of the form '7B', '1.5B' or '8x7B'"
    if isinstance(region, str) and not _REGION.fullmatch(region):
        yield f"aws_region={region!r} is not of the form 'us-east-1'"
    if isinstance(endpoint, str) and endpoint and not _ENDPOINT.match(endpoint):
        yield f"api_endpoint={endpoint!r} is not an http or https address"
    for key in _LISTS:
        value = given.get(key, ())
        if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(v, str) for v in value):
            yield f"{key}={value!r} is not a list of texts"
    if not isinstance(given.get("inference_config", {}), Mapping):
        yield f"inference_config={given['inference_config']!r} is not an object"


def _candidate(name: str, entry: Mapping[str, Any]) -> Candidate:
    given = {key: value for key, value in entry.items() if key in _KNOWN and value is not None and value != ""}
    lists = {key: tuple(given[key]) for key in _LISTS if key in given}
    numbers = {key: float(given[key]) for key in (*_PRICES, "weight") if key in given}
    candidate = Candidate(**{**given, **lists, **numbers, "name": name})
    if candidate.size is not None and candidate.parameters is None:
        candidate = Candidate(**{**given, **lists, **numbers, "name": name, "size": None})
    return candidate
