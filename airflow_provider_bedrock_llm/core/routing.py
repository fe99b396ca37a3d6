"""Which candidate answers a request: decided from the request, the list and a rule, the same for the same record.

    router = Router(candidates, Routing.of("cheapest"), regions=("us-east-1",))
    choice = router.choose(request)
    choice.candidate.name, choice.reason, choice.estimated_cost_usd

First the candidates that cannot take the request are left out (context, modalities, capabilities, regions, price),
then the strategy puts the others in order. The first is chosen; the rest is the order of failover.

What is not known of a candidate: its context is taken to be long enough, because hardly a prompt meets its end; an
image, a tool or a price cap is not.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, RequestValidationError
from airflow_provider_bedrock_llm.core.request import request_hash
from airflow_provider_bedrock_llm.core.routing_rule import Routing, RoutingStrategy
from airflow_provider_bedrock_llm.core.schema import load_object
from airflow_provider_bedrock_llm.core.token_budget import estimate_input_tokens

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.candidates import Candidate
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

__all__ = ["Choice", "Query", "Router", "likeness", "routing_identity"]

_MODALITIES = {"image": "IMAGE", "video": "VIDEO", "audio": "SPEECH"}
_BEDROCK_ONLY = {"guardrail_config": "a guardrail", "prompt_variables": "a managed prompt"}
"""What no other service has, and what must never be left out."""
_SHAPING = ("name", "model", "service", "aws_region", "api_endpoint", "provider", "inference_config")
"""What of a candidate shapes its answers."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a request is, as far as choosing goes.

    Args:
        text: what its user says, all turns, without files.
        request_id: the record's id; None where it has none.
        input_tokens: roughly, files included.
        output_tokens: what the answer is taken to have.
        max_output_tokens: what it may have; None where the request does not say.
        modalities: what it holds beside text.
        needs: capabilities that it needs.
        bedrock_only: what of it only Bedrock can take, in words; None where nothing is.
    """

    text: str
    request_id: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    max_output_tokens: int | None = None
    modalities: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    bedrock_only: str | None = None

    @classmethod
    def of(
        cls, request: BedrockConverseRequest, routing: Routing, inference_config: Mapping[str, Any] | None = None
    ) -> Query:
        """Look at a request.

        Args:
            request: what is asked.
            routing: the rule.
            inference_config: settings under those of the request.
        """
        blocks = [block for message in request.messages for block in message["content"]]
        said = [
            block["text"]
            for message in request.messages
            if message["role"] == "user"
            for block in message["content"]
            if isinstance(block.get("text"), str)
        ]
        settings = {**(inference_config or {}), **(request.inference_config or {})}
        most = settings.get("maxTokens")
        expected = routing.expected_output_tokens
        held = {_MODALITIES[kind] for block in blocks for kind in _MODALITIES if kind in block}
        return cls(
            text="\n".join(said),
            request_id=request.request_id,
            input_tokens=estimate_input_tokens((request.messages, request.system, request.tool_config)),
            output_tokens=expected if most is None else min(most, expected),
            max_output_tokens=most,
            modalities=frozenset(held | set(routing.modalities)) - {"TEXT"},
            needs=frozenset(routing.capabilities) | ({"tool_use"} if request.tool_config else set()),
            bedrock_only=next((words for name, words in _BEDROCK_ONLY.items() if getattr(request, name)), None),
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers a request, and why.

    Args:
        candidate: the one that is asked first.
        ranking: all that may be asked, best first.
        reason: one sentence.
        estimated_costs_usd: of each in the ranking; None where a price is not known.
        misfits: name -> why it may not be asked.
    """

    candidate: Candidate
    ranking: tuple[Candidate, ...]
    reason: str
    estimated_costs_usd: tuple[float | None, ...]
    misfits: Mapping[str, str] = field(default_factory=dict)

    @property
    def estimated_cost_usd(self) -> float | None:
        """What the first one is expected to cost; None where its price is not known."""
        return self.estimated_costs_usd[0]

    @property
    def models(self) -> tuple[str, ...]:
        """As `models` of a request names them."""
        return tuple(candidate.name for candidate in self.ranking)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe: names, model, service, region, reason, price."""
        chosen = self.candidate
        return {
            "candidate": chosen.name,
            "model": chosen.model,
            "service": chosen.service,
            "aws_region": chosen.aws_region,
            "reason": self.reason,
            "estimated_cost_usd": self.estimated_cost_usd,
            "ranking": list(self.models),
            "misfits": dict(self.misfits),
        }


def routing_identity(candidates: Sequence[Candidate], routing: Routing, named: Sequence[str] = ()) -> str:
    """What of a list and a rule shapes an answer: it counts in the hash of a job's requests.

    Prices and words may change, and nothing is paid again. A request that names its candidates does not change with
    the others, nor with the rule.

    Args:
        candidates: the list.
        routing: the rule.
        named: the candidates that the request names itself.
    """
    listed = [candidate for candidate in candidates if not named or candidate.name in named]
    entries = [{name: getattr(candidate, name) for name in _SHAPING} for candidate in listed]
    return json.dumps([entries, list(named) or routing.to_dict()], sort_keys=True, default=dict)


class Router:
    """Chooses among candidates. Pure: vectors and their likeness come from outside.

    Args:
        candidates: the list.
        routing: the rule.
        regions: where a candidate without `aws_region` is asked, best first.
        inference_config: settings under those of a request.

    Raises:
        ConfigurationError: the rule names a candidate or a function that is not there.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        routing: Routing,
        regions: Sequence[str] = (),
        inference_config: Mapping[str, Any] | None = None,
    ) -> None:
        self.candidates = tuple(candidates)
        self.routing = routing
        self._regions = tuple(regions)
        self._inference_config = inference_config
        self._by_name = {candidate.name: candidate for candidate in self.candidates}
        for name in (*([routing.candidate] if routing.candidate else []), *routing.weights):
            self._named(name, "routing")
        self._function = load_object(routing.function, "routing function") if routing.function else None

    @property
    def needs_likeness(self) -> bool:
        """Whether `choose` wants to be told how like the request is to each candidate."""
        return self.routing.strategy is RoutingStrategy.LIKENESS

    def query(self, request: BedrockConverseRequest) -> Query:
        """A request as a function of yours is given it."""
        return Query.of(request, self.routing, self._inference_config)

    def choose(self, request: BedrockConverseRequest, likenesses: Mapping[str, float] | None = None) -> Choice:
        """Choose for a request. One that names candidates in `models` itself gets these, in its order.

        Args:
            request: what is asked.
            likenesses: for `likeness`: name -> how like its description is to the request, -1 to 1.

        Raises:
            RequestValidationError: no candidate can take the request; the text says why for each.
            ConfigurationError: the request or the function names what is not in the list.
        """
        query = self.query(request)
        if request.models:
            named = tuple(self._named(str(name), "models of the request") for name in request.models)
            return self._choice(query, named, "the request names it", {})
        misfits = {
            candidate.name: why for candidate in self.candidates if (why := self._misfit(candidate, query)) is not None
        }
        fitting = [candidate for candidate in self.candidates if candidate.name not in misfits]
        if not fitting:
            told = "; ".join(f"{name}: {why}" for name, why in misfits.items())
            raise RequestValidationError(
                f"None of the {len(misfits)} candidates can take the request: {told}. Add a candidate that can, or "
                "loosen the rule in `routing`.",
                validation_errors=[f"{name}: {why}" for name, why in misfits.items()],
            )
        ranking, reason = self._ranked(request, query, fitting, likenesses or {})
        return self._choice(query, ranking if self.routing.failover else ranking[:1], reason, misfits)

    def _choice(self, query: Query, ranking: tuple[Candidate, ...], reason: str, misfits: Mapping[str, str]) -> Choice:
        costs = tuple(_cost(one, query) for one in ranking)
        return Choice(ranking[0], ranking, reason, costs, misfits)

    def _ranked(
        self,
        request: BedrockConverseRequest,
        query: Query,
        fitting: list[Candidate],
        likenesses: Mapping[str, float],
    ) -> tuple[tuple[Candidate, ...], str]:
        of = f"of {len(fitting)} that fit" if len(fitting) > 1 else "the only one that fits"
        match self.routing.strategy:
            case RoutingStrategy.FIXED:
                return self._fixed(fitting)
            case RoutingStrategy.SMALLEST | RoutingStrategy.LARGEST as strategy:
                ranking = _by_size(fitting, query, largest=strategy is RoutingStrategy.LARGEST)
                return ranking, f"{strategy.value} {of}: {ranking[0].size or 'size not known'}"
            case RoutingStrategy.CHEAPEST:
                ranking = _by_cost(fitting, query)
                return ranking, f"cheapest {of}: {_dollars(_cost(ranking[0], query))} for this request"
            case RoutingStrategy.WEIGHTED:
                return self._weighted(request, fitting)
            case RoutingStrategy.LIKENESS:
                ranking = tuple(sorted(fitting, key=lambda one: -likenesses.get(one.name, -1.0)))
                return ranking, f"{of}, its feature is most like the request: {likenesses.get(ranking[0].name, 0):.3f}"
            case RoutingStrategy.FUNCTION:
                return self._by_function(query, fitting)

    def _fixed(self, fitting: list[Candidate]) -> tuple[tuple[Candidate, ...], str]:
        first = self._by_name[self.routing.candidate] if self.routing.candidate else self.candidates[0]
        ranking = sorted(fitting, key=lambda one: one is not first)
        if ranking[0] is not first:
            return tuple(ranking), f"{first.name} is fixed and cannot take the request; the next of the list does"
        return tuple(ranking), "fixed"

    def _weighted(self, request: BedrockConverseRequest, fitting: list[Candidate]) -> tuple[tuple[Candidate, ...], str]:
        """Drawn without putting back, each rank from its own draw: the record decides, so that it stays what it is."""
        weights = {one.name: self.routing.weights.get(one.name, one.weight) for one in fitting}
        if not any(weights.values()):
            raise ConfigurationError(
                f"Every candidate that fits has the weight 0 ({', '.join(weights)}). Give one of them more."
            )
        seed = f"{request.request_id or ''}/{request_hash(request, [])}"
        keys = {name: _exponential(seed, name, weight) for name, weight in weights.items()}
        ranking = tuple(sorted(fitting, key=lambda one: keys[one.name]))
        share = weights[ranking[0].name] / sum(weights.values())
        return ranking, f"drawn for this record, with a share of {share:.0%}"

    def _by_function(self, query: Query, fitting: list[Candidate]) -> tuple[tuple[Candidate, ...], str]:
        path = self.routing.function
        try:
            answer = self._function(query, fitting)  # type: ignore[misc]  # there is one with this strategy
        except Exception as error:
            raise ConfigurationError(
                f"{path} raised {type(error).__name__}: {error}. Mend the function; nothing was asked."
            ) from error
        names = [answer] if isinstance(answer, str) else list(answer or ())
        ranking = tuple(dict.fromkeys(self._named(str(name), f"{path} returned a name that") for name in names))
        taken = tuple(one for one in ranking if one in fitting)
        if not taken:
            raise ConfigurationError(
                f"{path} returned {answer!r}, of which no candidate can take the request. Let it return names of the "
                "candidates that it is given."
            )
        return (*taken, *(one for one in fitting if one not in taken)), f"{path} says so"

    def _named(self, name: str, who: str) -> Candidate:
        found = self._by_name.get(name)
        if found is None:
            known = ", ".join(self._by_name)
            raise ConfigurationError(f"{who}: {name!r} is not in the candidate list. It has: {known}.")
        return found

    def _misfit(self, candidate: Candidate, query: Query) -> str | None:
        """Why a candidate may not be asked; None where it may."""
        rule = self.routing
        wanted = query.input_tokens + (query.max_output_tokens or 0)
        if candidate.context_window_tokens is not None and wanted > candidate.context_window_tokens:
            return f"context of {candidate.context_window_tokens} tokens, and the request has about {wanted}"
        if (
            query.max_output_tokens
            and candidate.max_output_tokens
            and query.max_output_tokens > candidate.max_output_tokens
        ):
            return f"answers with {candidate.max_output_tokens} tokens at most, and maxTokens={query.max_output_tokens}"
        missing = query.modalities.difference(candidate.input_modalities or ())
        if missing:
            return f"not known to take {', '.join(sorted(missing))}"
        missing = query.needs.difference(candidate.capabilities or ())
        if missing:
            return f"not known to have {', '.join(sorted(missing))}"
        if query.bedrock_only and not candidate.is_bedrock:
            return f"{candidate.service} has no place for {query.bedrock_only}"
        if rule.services and not any(_same_service(candidate, service) for service in rule.services):
            return f"{candidate.service} is not among the services {', '.join(rule.services)}"
        return self._misplaced(candidate) or self._too_dear(candidate, query)

    def _misplaced(self, candidate: Candidate) -> str | None:
        rules = self.routing.regions
        if not rules:
            return None
        if not candidate.is_bedrock:
            return f"where {candidate.service} runs it is not known, and regions={', '.join(rules)}"
        asked = [candidate.aws_region] if candidate.aws_region else self._regions
        if asked and all(any(fnmatchcase(region, rule) for rule in rules) for region in asked):
            return None
        return f"asked in {', '.join(asked) or 'no known region'}, and regions={', '.join(rules)}"

    def _too_dear(self, candidate: Candidate, query: Query) -> str | None:
        cap = self.routing.max_request_usd
        if cap is None:
            return None
        cost = _cost(candidate, query)
        if cost is None:
            return f"its price is not known, and max_request_usd={cap:g}"
        return f"about {_dollars(cost)}, and max_request_usd={cap:g}" if cost > cap else None


def likeness(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine between two vectors, -1 to 1; 0 where one of them has no length."""
    lengths = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0


def _same_service(candidate: Candidate, service: str) -> bool:
    is_bedrock = service.casefold() in {"bedrock", "aws"}
    return candidate.is_bedrock if is_bedrock else candidate.service.casefold() == service.casefold()


def _cost(candidate: Candidate, query: Query) -> float | None:
    return candidate.estimated_cost_usd(query.input_tokens, query.output_tokens)


def _by_cost(fitting: Sequence[Candidate], query: Query) -> tuple[Candidate, ...]:
    costs = {one.name: _cost(one, query) for one in fitting}
    return tuple(sorted(fitting, key=lambda one: math.inf if (cost := costs[one.name]) is None else cost))


def _by_size(fitting: Sequence[Candidate], query: Query, *, largest: bool) -> tuple[Candidate, ...]:
    by_cost = _by_cost(fitting, query)
    known = [one for one in by_cost if one.parameters is not None]
    unknown = [one for one in by_cost if one.parameters is None]
    ranked = sorted(known, key=lambda one: one.parameters or 0.0, reverse=largest)
    return (*ranked, *(reversed(unknown) if largest else unknown))


def _exponential(seed: str, name: str, weight: float) -> float:
    """The smallest of such numbers belongs to each with its weight's share."""
    if weight == 0:
        return math.inf
    digits = hashlib.sha256(json.dumps([seed, name]).encode()).hexdigest()[:13]
    return -math.log((int(digits, 16) + 1) / (16**13 + 1)) / weight


def _dollars(cost: float | None) -> str:
    return "at a price that is not known" if cost is None else f"{cost:.6f} USD"


RoutingFunction = Callable[[Query, list["Candidate"]], "str | Sequence[str]"]
