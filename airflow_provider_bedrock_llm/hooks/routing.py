"""The hook's part that chooses among candidates."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.routing import AsyncRoutingEngine
from airflow_provider_bedrock_llm.aws.services import AsyncServiceSwitch, ServiceSwitch, require_litellm
from airflow_provider_bedrock_llm.core.access import AccessMethod
from airflow_provider_bedrock_llm.core.candidate_facts import complete_candidates
from airflow_provider_bedrock_llm.core.candidates import Candidate, parse_candidates
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.routing import Router, likeness
from airflow_provider_bedrock_llm.core.routing_rule import Routing
from airflow_provider_bedrock_llm.hooks.candidates import api_keys, call_of, read_candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from airflow_provider_bedrock_llm.aws.converse import AsyncEngine
    from airflow_provider_bedrock_llm.aws.lean_transport import LeanTransport
    from airflow_provider_bedrock_llm.aws.transport import AioTransport, BotoTransport
    from airflow_provider_bedrock_llm.core.routing import Choice
    from airflow_provider_bedrock_llm.core.services import ServiceCall

__all__ = ["RoutingVerbs"]

_OF_THE_LIST = ("candidates", "router", "choices", "service_calls", "engine", "_tool_engine", "_feature_vectors")
"""What a hook remembers that depends on its candidates."""


class RoutingVerbs:
    """Part of `BedrockLLMHook`."""

    if TYPE_CHECKING:
        _candidates: Any
        _routing: Any
        _models: Any
        _inference_config: Mapping[str, Any] | None
        bedrock_conn_id: str
        boto3_config: Any
        catalog: Any
        choices: Any
        embed: Any
        get_available_regions: Any
        get_connection: Any
        log: Any
        retry_config: Any

    @property
    def has_candidates(self) -> bool:
        """Whether the hook chooses for each request."""
        return self._candidates is not None

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The candidate list, checked, and filled from the catalog. The first use may read a file, and blocks.

        Raises:
            ConfigurationError: the list cannot be read or is wrong; every fault is named with its entry.
        """
        listed = parse_candidates(*self._candidate_source)
        is_regional = any(one.is_bedrock and one.aws_region is None for one in listed)
        retry = self.retry_config
        return complete_candidates(
            listed,
            self.catalog,
            self.get_available_regions() if is_regional else (),
            where=self._candidate_source[1],
            preference=tuple(AccessMethod(name) for name in retry.access_method_preference),
            data_residency=retry.data_residency,
        )

    @cached_property
    def _candidate_source(self) -> tuple[Any, str]:
        return read_candidates(self._candidates)

    @property
    def candidate_regions(self) -> list[str]:
        """The regions that entries of the list name, known before there is a catalog."""
        listed = parse_candidates(*self._candidate_source) if self.has_candidates else ()
        return list(dict.fromkeys(one.aws_region for one in listed if one.is_bedrock and one.aws_region))

    @cached_property
    def router(self) -> Router:
        """Chooses among the hook's candidates; without a list, among its models."""
        if self.has_candidates:
            listed = self.candidates
        else:
            entries = [{"model": one.model, "service": "Bedrock", "aws_region": one.region} for one in self.choices]
            listed = complete_candidates(entries, self.catalog, self.get_available_regions(), where="models")
        needs_regions = any(one.is_bedrock and one.aws_region is None for one in listed)
        regions = self.get_available_regions() if needs_regions else ()
        default = Routing.of("cheapest" if self.has_candidates else "fixed")
        routing = default if self._routing is None else Routing.of(self._routing)
        return Router(listed, routing, regions, self._inference_config)

    def route(
        self,
        prompt: str | Sequence[Mapping[str, Any]] | BedrockConverseRequest,
        *,
        candidates: Any = None,
        routing: Any = None,
        **fields: Any,
    ) -> Choice:
        """Say who would answer, why, and at what price. Nobody is asked; only `likeness` embeds the prompt.

        Args:
            prompt: the user's text, Converse messages, or a whole request.
            candidates: another list than the hook's.
            routing: another rule than the hook's.
            **fields: the other fields of `BedrockConverseRequest`.

        Raises:
            ConfigurationError: the list or the rule is wrong.
            RequestValidationError: no candidate can take the request.
        """
        if candidates is not None or routing is not None:
            return self.with_candidates(candidates, routing).route(prompt, **fields)
        if isinstance(prompt, BedrockConverseRequest):
            return self._choose(prompt)
        messages = [text_message(prompt)] if isinstance(prompt, str) else prompt
        return self._choose(BedrockConverseRequest(messages, **fields))

    def with_candidates(self, candidates: Any = None, routing: Any = None) -> Self:
        """The same hook, with the same clients, over another list or rule.

        Args:
            candidates: the list; None keeps the hook's.
            routing: the rule; None keeps the hook's.
        """
        other = copy.copy(self)
        for name in _OF_THE_LIST:
            other.__dict__.pop(name, None)
        if candidates is not None:
            other.__dict__.pop("_candidate_source", None)
            other.__dict__ |= {"_candidates": candidates, "_models": None}
        if routing is not None:
            other.__dict__["_routing"] = Routing.of(routing)
        return other

    def chosen_for(self, request: BedrockConverseRequest) -> tuple[BedrockConverseRequest, Choice | None]:
        """The request as it goes to the engine, and the choice; None where the hook has no candidates."""
        if not self.has_candidates:
            return request, None
        choice = self._choose(request)
        self.log.info("%s is asked: %s.", choice.candidate.name, choice.reason)
        return replace(request, models=choice.models), choice

    def _choose(self, request: BedrockConverseRequest) -> Choice:
        wants = self.router.needs_likeness and not request.models
        return self.router.choose(request, self.likenesses(request) if wants else None)

    def likenesses(self, request: BedrockConverseRequest) -> dict[str, float]:
        """How like a request's text is to what is said of each candidate. Embeds the text, and each candidate once."""
        text = self.router.query(request).text
        if not text.strip():
            return {}
        model = self.router.routing.embedding_model
        vector = self.embed(text, model=model).vectors[0]
        return {name: likeness(vector, other) for name, other in self._feature_vectors.items()}

    @cached_property
    def _feature_vectors(self) -> dict[str, Sequence[float]]:
        listed = self.router.candidates
        answer = self.embed([one.description for one in listed], model=self.router.routing.embedding_model)
        return {one.name: vector for one, vector in zip(listed, answer.vectors, strict=True)}

    def prepare_routing(self) -> None:
        """Fetch all that choosing needs, so that nothing blocks later: the list, keys, and the candidates' vectors."""
        if self.has_candidates and self.router.needs_likeness:
            self._feature_vectors  # noqa: B018 - kept by its first use
        self.service_calls  # noqa: B018

    @cached_property
    def service_calls(self) -> dict[tuple[str, str], ServiceCall]:
        """How candidates of other services are called. Asks Airflow for their connections, and blocks.

        Raises:
            ConfigurationError: LiteLLM is not installed, or a connection that a candidate names does not exist.
        """
        others = [one for one in self.candidates if not one.is_bedrock] if self.has_candidates else []
        if others:
            require_litellm(others[0].service)
        keys = api_keys() if others else {}
        calls = {(one.service, one.model): call_of(one, keys, self.get_connection) for one in others}
        for call in calls.values():
            if not call.keys:
                self.log.warning(
                    "There is no key for %s: its candidates are passed over when they are asked.", call.service
                )
        return calls

    def _switched(self, transport: BotoTransport) -> BotoTransport | ServiceSwitch:
        """The transport for threads; with the other services where the list names any."""
        calls = self.service_calls
        return ServiceSwitch(transport, calls, self.boto3_config.read_timeout) if calls else transport

    def _async_switched(
        self, transport: LeanTransport | AioTransport
    ) -> LeanTransport | AioTransport | AsyncServiceSwitch:
        """The same for an event loop."""
        calls = self.service_calls
        return AsyncServiceSwitch(transport, calls, self.boto3_config.read_timeout) if calls else transport

    def _routing_engine(self, engine: AsyncEngine) -> AsyncEngine | AsyncRoutingEngine:
        """The engine, which chooses first where the hook has candidates."""
        return AsyncRoutingEngine(engine, self.router, self.likenesses) if self.has_candidates else engine
