"""The hook: an Airflow connection -> clients and engines -> the verbs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.aws.converse import AsyncEngine
from airflow_provider_bedrock_llm.aws.dialect import AsyncDialectTransport
from airflow_provider_bedrock_llm.aws.routing import routed
from airflow_provider_bedrock_llm.aws.streaming import StreamEngine
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.cache_config import CacheConfig
from airflow_provider_bedrock_llm.core.config import (
    Boto3Config,
    ParallelProcessingConfig,
    ResponseValidationConfig,
    RetryConfig,
)
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.diagnosis import Setting
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.features import FeatureBook
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
from airflow_provider_bedrock_llm.core.routing_rule import Routing
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.core.services import bedrock_credentials
from airflow_provider_bedrock_llm.hooks.arguments import expect_kind, expect_list
from airflow_provider_bedrock_llm.hooks.async_transport import open_async_transport
from airflow_provider_bedrock_llm.hooks.candidates import api_keys
from airflow_provider_bedrock_llm.hooks.connection import BedrockConnection, parse_connection
from airflow_provider_bedrock_llm.hooks.embedding import EmbeddingVerbs
from airflow_provider_bedrock_llm.hooks.inspection import InspectionVerbs
from airflow_provider_bedrock_llm.hooks.messages import MessageVerbs
from airflow_provider_bedrock_llm.hooks.models import ModelVerbs
from airflow_provider_bedrock_llm.hooks.observation import Observation
from airflow_provider_bedrock_llm.hooks.parallel import ParallelVerbs
from airflow_provider_bedrock_llm.hooks.probe import probe_bedrock
from airflow_provider_bedrock_llm.hooks.routing import RoutingVerbs
from airflow_provider_bedrock_llm.hooks.streaming import StreamingVerbs
from airflow_provider_bedrock_llm.hooks.tools import ToolVerbs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import boto3.session
    from pydantic import BaseModel

    from airflow_provider_bedrock_llm.aws.lean_transport import LeanTransport
    from airflow_provider_bedrock_llm.aws.routing import AsyncRoutingEngine
    from airflow_provider_bedrock_llm.aws.services import AsyncServiceSwitch
    from airflow_provider_bedrock_llm.aws.transport import AioTransport
    from airflow_provider_bedrock_llm.core.prompt_cache import FixedPart
    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.core.routes import ModelChoice
    from airflow_provider_bedrock_llm.core.transport import AsyncTransport, Dialect
    from airflow_provider_bedrock_llm.hooks.spans import Operation

__all__ = ["BedrockLLMHook"]

_RUNTIME = "bedrock-runtime"


class BedrockLLMHook(
    RoutingVerbs,
    ModelVerbs,
    MessageVerbs,
    StreamingVerbs,
    ToolVerbs,
    ParallelVerbs,
    EmbeddingVerbs,
    InspectionVerbs,
    Observation,
    AwsBaseHook,
):
    """Ask models on Amazon Bedrock, with retries, failover, validation and cost.

    Args:
        bedrock_conn_id: the Airflow connection (type `bedrockllm`). Where the default one does not exist, boto3's own
            search for credentials is used.
        models: the models to ask, best first: names of the catalog, model ids, inference profile ids or ARNs; or
            `{"model": ..., "region": ..., "inference_config": {...}}`. None takes those of the connection.
        regions: the regions to call, best first. None takes those of the connection.
        boto3_config: network settings. None takes those of the connection, then the defaults.
        retry_config: retries and failover. None takes those of the connection, then the defaults.
        parallel_config: for `converse_parallel`.
        default_inference_config: settings under those of a request.
        output_schema: JSON Schema, pydantic class, or dotted path of one, that answers must fit.
        response_validation_config: a function of yours that accepts or rejects answers.
        cache_config: where prompts are cached; None leaves requests as they are.
        fixed_part: what all requests have in common, where that is known, so that it is cached once.
        candidates: instead of `models`: a candidate list as `routing` chooses from for each request. The list itself, a
            file, a URI of object storage, or `variable://name`.
        routing: the rule to choose by: a `Routing`, its fields, the name of a strategy, or the dotted path of a
            function; the cheapest that fits, if None.

    Raises:
        ConfigurationError: a setting has the wrong type, or the connection a wrong value.
    """

    conn_name_attr = "bedrock_conn_id"
    default_conn_name = "bedrock_llm_default"
    conn_type = "bedrockllm"
    hook_name = "Amazon Bedrock LLM"

    def __init__(
        self,
        bedrock_conn_id: str = default_conn_name,
        models: Sequence[str | Mapping[str, Any] | ModelChoice] | None = None,
        regions: Sequence[str] | None = None,
        boto3_config: Boto3Config | None = None,
        retry_config: RetryConfig | None = None,
        parallel_config: ParallelProcessingConfig | None = None,
        default_inference_config: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | type[BaseModel] | str | None = None,
        response_validation_config: ResponseValidationConfig | None = None,
        cache_config: CacheConfig | None = None,
        fixed_part: FixedPart | None = None,
        candidates: Any = None,
        routing: Routing | Mapping[str, Any] | str | None = None,
    ) -> None:
        super().__init__(aws_conn_id=None, client_type=_RUNTIME)
        self.bedrock_conn_id = bedrock_conn_id
        self._models = expect_list(models, "models")
        self._regions = expect_list(regions, "regions")
        self._boto3_config = expect_kind(boto3_config, Boto3Config, "boto3_config")
        self._retry_config = expect_kind(retry_config, RetryConfig, "retry_config")
        self._parallel_config = expect_kind(parallel_config, ParallelProcessingConfig, "parallel_config")
        self._validation = expect_kind(
            response_validation_config, ResponseValidationConfig, "response_validation_config"
        )
        self._cache_config = expect_kind(cache_config, CacheConfig, "cache_config")
        self._fixed_part = fixed_part
        self._inference_config = default_inference_config
        self._schema = None if output_schema is None else OutputSchema.of(output_schema)
        self._candidates = candidates
        self._routing = None if routing is None else Routing.of(routing)
        if candidates is not None and self._models:
            raise ConfigurationError("models and candidates are both given. Give the models as candidates alone.")

    @cached_property
    def connection(self) -> BedrockConnection:
        """The connection, validated. The first use asks Airflow for it."""
        return self._parsed(self._find(self.bedrock_conn_id, self.get_connection))

    async def prefetch(self) -> None:
        """Ask Airflow for everything that the verbs need from it, without blocking the event loop of a trigger."""
        if "connection" not in self.__dict__:
            try:
                found = await self.aget_connection(self.bedrock_conn_id)
            except AirflowNotFoundException as error:
                found = self._missing(error)
            self.__dict__["connection"] = self._parsed(found)
        if self.connection.aws_conn_id and "_borrowed" not in self.__dict__:
            self.__dict__["_borrowed"] = await self.aget_connection(self.connection.aws_conn_id)
        await asyncio.to_thread(lambda: self.catalog)
        await asyncio.to_thread(self.prepare_routing)

    @cached_property
    def _borrowed(self) -> Any:
        return self.get_connection(str(self.connection.aws_conn_id))

    @cached_property
    def conn_config(self) -> AwsConnectionWrapper:
        """The connection as the amazon provider reads it: all of its ways of authentication work."""
        connection = self.connection
        if connection.aws_conn_id:
            region = connection.regions[0] if connection.regions else None
            return AwsConnectionWrapper(conn=self._borrowed, region_name=region, verify=connection.verify)
        return AwsConnectionWrapper.from_connection_metadata(
            conn_id=connection.conn_id,
            login=connection.login,
            password=connection.password,
            extra=dict(connection.aws_extras),
        )

    @cached_property
    def boto3_config(self) -> Boto3Config:
        """Network settings in force."""
        return self._boto3_config or self.connection.boto3_config

    @cached_property
    def retry_config(self) -> RetryConfig:
        """Retries and failover in force."""
        return self._retry_config or self.connection.retry_config

    @cached_property
    def client_settings(self) -> ClientSettings:
        """Credentials and network settings of every client, sync and async."""
        return ClientSettings(
            open_session=self._open_session,
            boto3_config=self.boto3_config,
            endpoint_url=self.connection.endpoint_url or self.conn_config.get_service_endpoint_url(_RUNTIME),
            verify=self.verify,
            keys_first=self.connection.has_keys,
        )

    @cached_property
    def clients(self) -> Clients:
        """Clients for threads: `clients.client("bedrock", region)` and so on."""
        return Clients(self.client_settings)

    def get_conn(self) -> Any:
        """A plain `bedrock-runtime` client, which retries by itself as the Boto3Config says."""
        return self.clients.client(_RUNTIME, self.get_available_regions()[0])

    def policy(
        self, *, deadline_seconds: float | None = None, operation: Operation = "chat", sends_metrics: bool = True
    ) -> ConversePolicy:
        """What requests have in common.

        Args:
            deadline_seconds: the time for one request; where the RetryConfig has one too, the shorter holds.
            operation: what is asked for, as spans call it.
            sends_metrics: after each request; False where the caller sends them, for many at once.
        """
        retry = self.retry_config
        if deadline_seconds is not None:
            shorter = min(float(deadline_seconds), retry.deadline_seconds or float("inf"))
            retry = replace(retry, deadline_seconds=shorter)
        return ConversePolicy(
            retry=retry,
            schema=self._schema,
            validation=self._validation,
            inference_config=self._inference_config,
            prices_for=self.catalog.prices_for,
            takes_output_config=self.takes_output_config,
            card_for=self.catalog.card,
            cache=self._cache_config,
            fixed=self._fixed_part,
            takes_prefill=self.takes_prefill,
            setting=Setting(
                connection=f"the Airflow connection {self.bedrock_conn_id!r}",
                read_timeout_seconds=self.boto3_config.read_timeout,
                suggest=self.suggest_instead_of,
            ),
            learn_profile=self.learn_profile,
            features=self._feature_book,
            report=partial(self._count, operation=operation, sends=sends_metrics),
        )

    @cached_property
    def _feature_book(self) -> FeatureBook:
        """What models refused: what one verb learns, the others need not."""
        return FeatureBook()

    @cached_property
    def engine(self) -> StreamEngine:
        """The engine for threads."""
        transport = self._switched(BotoTransport(self.clients))
        return StreamEngine(transport, self.policy(), self.plan(), plan_for=self.plan_for)

    def async_engine(
        self,
        config: ParallelProcessingConfig,
        book: RouteBook | None = None,
        places: asyncio.Semaphore | None = None,
        dialect: Dialect | None = None,
        stop: asyncio.Event | None = None,
    ) -> tuple[AsyncEngine | AsyncRoutingEngine, LeanTransport | AioTransport | AsyncServiceSwitch]:
        """An engine for the running event loop, and its transport, which the caller closes.

        Args:
            config: concurrency, load balancing and the time for one request.
            book: what is known of the account's routes, where several engines share it.
            places: a cap on calls in flight, where several engines share it.
            dialect: how requests are said, where not as Converse.
            stop: when set, no call goes out any more, and requests that wait for their next one end at once.
        """
        settings = self.client_settings.with_pool(config.max_concurrent_requests)
        transport = self._async_switched(open_async_transport(settings))
        spoken: AsyncTransport = transport if dialect is None else AsyncDialectTransport(transport, dialect)
        policy = self.policy(
            deadline_seconds=config.request_timeout_seconds,
            operation="chat" if dialect is None else "embeddings",
            sends_metrics=False,
        )
        book = RouteBook() if book is None else book
        book.know_quotas(config.tokens_per_minute or {})
        balance = config.load_balancing_strategy
        engine = AsyncEngine(
            spoken, policy, self.plan(), book, balance, plan_for=self.plan_for, places=places, stop=stop
        )
        return (engine if dialect is not None else self._routing_engine(engine)), transport

    def converse(self, messages: Sequence[Mapping[str, Any]] = (), **fields: Any) -> BedrockResponse:
        """Send one request.

        Args:
            messages: Converse messages.
            **fields: the other fields of `BedrockConverseRequest`: `system`, `inference_config`, `tool_config`, ...;
                and `candidates` and `routing` instead of those of the hook.

        Raises:
            LLMManagerError: no answer; which kind says why, and `attempts` holds every call that was made.
        """
        given = {name: fields.pop(name, None) for name in ("candidates", "routing")}
        hook = self if given["candidates"] is None and given["routing"] is None else self.with_candidates(**given)
        return hook.converse_with_request(BedrockConverseRequest(messages, **fields))

    def converse_with_request(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Send one request; see `converse`."""
        request, choice = self.chosen_for(request)
        response = self.engine.ask(request)
        self.keep_what_was_learned()
        if response.error is not None:
            raise response.error
        return response if choice is None else routed(response, choice)

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the connection works, and in words what is wrong. Makes no paid call."""
        try:
            regions = self.get_available_regions()
            return probe_bedrock(self.client_settings, regions)
        except ConfigurationError as error:
            return False, str(error)

    def _open_session(self) -> boto3.session.Session:
        """A session with fresh credentials."""
        return self.get_session()

    def _find(self, conn_id: str, get: Any) -> Any:
        try:
            return get(conn_id)
        except AirflowNotFoundException as error:
            return self._missing(error)

    def _missing(self, error: Exception) -> None:
        if self.bedrock_conn_id != self.default_conn_name:
            raise ConfigurationError(
                f"The Airflow connection {self.bedrock_conn_id!r} does not exist. Add it under Admin, Connections, as "
                "type Amazon Bedrock LLM."
            ) from error
        source = "API_KEYS" if bedrock_credentials(api_keys()) else "boto3's own search"
        self.log.warning(
            "The connection %s does not exist: credentials and region come from %s.", self.bedrock_conn_id, source
        )

    def _parsed(self, found: Any) -> BedrockConnection:
        if found is None:
            given = bedrock_credentials(api_keys()) or {}
            keys = {name: given.pop(name, None) for name in ("login", "password")}
            return parse_connection(self.bedrock_conn_id, extras=given, **keys)
        return parse_connection(
            self.bedrock_conn_id, login=found.login, password=found.password, extras=found.extra_dejson
        )
