"""Apache Airflow provider for LLM work on Amazon Bedrock.

The public names, each imported when it is first used: importing the package loads neither Airflow nor boto.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.aws.model_catalog import BedrockModelCatalog
    from airflow_provider_bedrock_llm.core.access import AccessMethod
    from airflow_provider_bedrock_llm.core.answer_parts import Citation, Reasoning, ToolUse
    from airflow_provider_bedrock_llm.core.budget import Budget
    from airflow_provider_bedrock_llm.core.cache_config import CacheConfig, CachePlace, CachePoint, CacheStrategy
    from airflow_provider_bedrock_llm.core.candidates import Candidate
    from airflow_provider_bedrock_llm.core.catalog import Catalog
    from airflow_provider_bedrock_llm.core.catalog_metadata import CacheMode, CatalogMetadata, CatalogSource, ModelInfo
    from airflow_provider_bedrock_llm.core.config import (
        Boto3Config,
        FailureHandlingStrategy,
        LoadBalancingStrategy,
        ParallelProcessingConfig,
        RegionOrder,
        ResponseValidationConfig,
        RetryConfig,
        RetryStrategy,
        ValidationResult,
    )
    from airflow_provider_bedrock_llm.core.embedding import EmbeddingResponse
    from airflow_provider_bedrock_llm.core.errors import (
        AuthenticationError,
        BudgetExceededError,
        CatalogError,
        CatalogUnavailableError,
        ConfigurationError,
        ContentError,
        ContextTooLongError,
        JobError,
        JobStoppedError,
        LeaseLostError,
        LLMManagerError,
        ModelAccessError,
        OutputError,
        ParallelConfigurationError,
        ParallelExecutionError,
        ParallelProcessingError,
        QuotaExhaustedError,
        RequestTimeoutError,
        RequestValidationError,
        ResponseValidationError,
        RetryExhaustedError,
        SourceError,
        StreamingError,
        TemplateError,
        ToolLimitError,
        UnknownModelError,
    )
    from airflow_provider_bedrock_llm.core.media_table import (
        AudioFormatEnum,
        DocumentFormatEnum,
        ImageFormatEnum,
        VideoFormatEnum,
    )
    from airflow_provider_bedrock_llm.core.messages import (
        MessageBuilder,
        RolesEnum,
        create_assistant_message,
        create_message,
        create_user_message,
    )
    from airflow_provider_bedrock_llm.core.model_card import ModelCard
    from airflow_provider_bedrock_llm.core.parallel_response import ParallelExecutionStats, ParallelResponse
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
    from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt, Usage
    from airflow_provider_bedrock_llm.core.routes import ModelChoice
    from airflow_provider_bedrock_llm.core.routing import Choice
    from airflow_provider_bedrock_llm.core.routing_rule import Routing, RoutingStrategy
    from airflow_provider_bedrock_llm.core.schema import OutputSchema
    from airflow_provider_bedrock_llm.core.stream import StreamRecovery, StreamRestarted
    from airflow_provider_bedrock_llm.core.tools import Tool, ToolCall, ToolOutput, ToolRun
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
    from airflow_provider_bedrock_llm.jobs.shard import plan_shards
    from airflow_provider_bedrock_llm.operators.catalog import BedrockCatalogRefreshOperator
    from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator
    from airflow_provider_bedrock_llm.operators.embed import BedrockEmbedOperator
    from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

__version__ = "0.1.0"

_HOMES = {
    "aws.model_catalog": "BedrockModelCatalog",
    "core.access": "AccessMethod",
    "core.answer_parts": "Citation Reasoning ToolUse",
    "core.budget": "Budget",
    "core.cache_config": "CacheConfig CachePlace CachePoint CacheStrategy",
    "core.candidates": "Candidate",
    "core.catalog": "Catalog",
    "core.catalog_metadata": "CacheMode CatalogMetadata CatalogSource ModelInfo",
    "core.config": (
        "Boto3Config FailureHandlingStrategy LoadBalancingStrategy ParallelProcessingConfig RegionOrder "
        "ResponseValidationConfig RetryConfig RetryStrategy ValidationResult"
    ),
    "core.embedding": "EmbeddingResponse",
    "core.errors": (
        "AuthenticationError BudgetExceededError CatalogError CatalogUnavailableError ConfigurationError ContentError "
        "ContextTooLongError JobError JobStoppedError LLMManagerError LeaseLostError ModelAccessError "
        "OutputError ParallelConfigurationError ParallelExecutionError ParallelProcessingError "
        "QuotaExhaustedError RequestTimeoutError RequestValidationError ResponseValidationError "
        "RetryExhaustedError SourceError StreamingError TemplateError ToolLimitError UnknownModelError"
    ),
    "core.media_table": "AudioFormatEnum DocumentFormatEnum ImageFormatEnum VideoFormatEnum",
    "core.messages": "MessageBuilder RolesEnum create_assistant_message create_message create_user_message",
    "core.model_card": "ModelCard",
    "core.parallel_response": "ParallelExecutionStats ParallelResponse",
    "core.request": "BedrockConverseRequest text_message",
    "core.response": "BedrockResponse RequestAttempt Usage",
    "core.routes": "ModelChoice",
    "core.routing": "Choice",
    "core.routing_rule": "Routing RoutingStrategy",
    "core.schema": "OutputSchema",
    "core.stream": "StreamRecovery StreamRestarted",
    "core.tools": "Tool ToolCall ToolOutput ToolRun",
    "hooks.bedrock_llm": "BedrockLLMHook",
    "jobs.shard": "plan_shards",
    "operators.catalog": "BedrockCatalogRefreshOperator",
    "operators.converse": "BedrockConverseOperator",
    "operators.embed": "BedrockEmbedOperator",
    "operators.parallel": "BedrockParallelOperator",
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "AccessMethod",
    "AudioFormatEnum",
    "AuthenticationError",
    "BedrockCatalogRefreshOperator",
    "BedrockConverseOperator",
    "BedrockConverseRequest",
    "BedrockEmbedOperator",
    "BedrockLLMHook",
    "BedrockModelCatalog",
    "BedrockParallelOperator",
    "BedrockResponse",
    "Boto3Config",
    "Budget",
    "BudgetExceededError",
    "CacheConfig",
    "CacheMode",
    "CachePlace",
    "CachePoint",
    "CacheStrategy",
    "Candidate",
    "Catalog",
    "CatalogError",
    "CatalogMetadata",
    "CatalogSource",
    "CatalogUnavailableError",
    "Choice",
    "Citation",
    "ConfigurationError",
    "ContentError",
    "ContextTooLongError",
    "DocumentFormatEnum",
    "EmbeddingResponse",
    "FailureHandlingStrategy",
    "ImageFormatEnum",
    "JobError",
    "JobStoppedError",
    "LLMManagerError",
    "LeaseLostError",
    "LoadBalancingStrategy",
    "MessageBuilder",
    "ModelAccessError",
    "ModelCard",
    "ModelChoice",
    "ModelInfo",
    "OutputError",
    "OutputSchema",
    "ParallelConfigurationError",
    "ParallelExecutionError",
    "ParallelExecutionStats",
    "ParallelProcessingConfig",
    "ParallelProcessingError",
    "ParallelResponse",
    "QuotaExhaustedError",
    "Reasoning",
    "RegionOrder",
    "RequestAttempt",
    "RequestTimeoutError",
    "RequestValidationError",
    "ResponseValidationConfig",
    "ResponseValidationError",
    "RetryConfig",
    "RetryExhaustedError",
    "RetryStrategy",
    "RolesEnum",
    "Routing",
    "RoutingStrategy",
    "SourceError",
    "StreamRecovery",
    "StreamRestarted",
    "StreamingError",
    "TemplateError",
    "Tool",
    "ToolCall",
    "ToolLimitError",
    "ToolOutput",
    "ToolRun",
    "ToolUse",
    "UnknownModelError",
    "Usage",
    "ValidationResult",
    "VideoFormatEnum",
    "__version__",
    "create_assistant_message",
    "create_message",
    "create_user_message",
    "plan_shards",
    "text_message",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__
