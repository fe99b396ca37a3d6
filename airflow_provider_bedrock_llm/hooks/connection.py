"""An Airflow connection of type `bedrockllm` -> validated settings.

None and "" mean unset: Airflow's form writes every field of it into the extras, whether filled in or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, ValidationError, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from airflow_provider_bedrock_llm.core.config import Boto3Config, RetryConfig, RetryStrategy
from airflow_provider_bedrock_llm.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BedrockConnection", "parse_connection"]

_BOTO3_FIELDS = ("read_timeout", "connect_timeout", "max_pool_connections", "retries_max_attempts")
_RETRY_FIELDS = ("retry_strategy", "max_retries", "data_residency")
_ADDRESS = re.compile(r"https?://[^\s/]+")
_BORROWED = ("role_arn", "external_id", "profile_name", "aws_session_token")


@pydantic_dataclass(frozen=True, config=ConfigDict(strict=True, extra="ignore"))
class _Extras:
    """The extras that this package reads. Whatever else is there goes to the amazon provider."""

    region_name: str | None = None
    regions: list[str] = Field(default_factory=list)
    models: list[str] = Field(default_factory=list)
    profile_name: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    aws_session_token: str | None = None
    aws_conn_id: str | None = None
    endpoint_url: str | None = None
    verify: bool | str | None = None
    read_timeout: float | None = Field(default=None, gt=0)
    connect_timeout: float | None = Field(default=None, gt=0)
    max_pool_connections: int | None = Field(default=None, gt=0)
    retries_max_attempts: int | None = Field(default=None, ge=0)
    retry_strategy: RetryStrategy | None = None
    max_retries: int | None = Field(default=None, ge=0)
    data_residency: str | None = None
    batch_role_arn: str | None = None
    batch_s3_uri: str | None = None

    @field_validator("regions", "models", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Take a text with commas or line ends for a list, as people write it by hand."""
        if isinstance(value, str):
            return [part.strip() for part in value.replace("\n", ",").split(",") if part.strip()]
        return value

    @field_validator("endpoint_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not _ADDRESS.match(value):
            raise ValueError("it must begin with http:// or https://, then the host")
        return value

    @field_validator("retry_strategy", mode="before")
    @classmethod
    def _strategy(cls, value: Any) -> Any:
        """Strict validation wants the member; a connection holds its text."""
        if not isinstance(value, str):
            return value
        text = value.strip().lower()
        if text not in set(RetryStrategy):
            raise ValueError(f"it must be {' or '.join(RetryStrategy)}")
        return RetryStrategy(text)


_OWN_FIELDS = frozenset(_Extras.__dataclass_fields__) - {"verify"}


@dataclass(frozen=True)
class BedrockConnection:
    """What a connection configures.

    Args:
        conn_id: the connection's id, for messages.
        login: AWS access key id.
        password: AWS secret access key.
        regions: the regions to call, best first; the connection's region alone where no list is given.
        models: the models to ask where nobody names others.
        aws_conn_id: another connection to take the credentials from.
        endpoint_url: instead of AWS's endpoints for Bedrock.
        verify: a CA bundle, or False for no check of certificates.
        boto3_config: timeouts, pool and botocore's own retries.
        retry_config: retries and failover of the engine.
        aws_extras: extras in the shape that the amazon provider reads.
        batch_role_arn: the role that Bedrock takes on for batch jobs.
        batch_s3_uri: where batch jobs read and write.
    """

    conn_id: str
    login: str | None = None
    password: str | None = None
    regions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    aws_conn_id: str | None = None
    endpoint_url: str | None = None
    verify: str | bool | None = None
    boto3_config: Boto3Config = field(default_factory=Boto3Config)
    retry_config: RetryConfig = field(default_factory=RetryConfig)
    aws_extras: Mapping[str, Any] = field(default_factory=dict)
    batch_role_arn: str | None = None
    batch_s3_uri: str | None = None

    def __repr__(self) -> str:
        """Leave the keys out: reprs end in logs."""
        return f"BedrockConnection(conn_id={self.conn_id!r}, regions={self.regions!r}, models={self.models!r})"

    @property
    def has_keys(self) -> bool:
        """Whether the connection itself says who is asking, so that nothing in the environment may override it."""
        return bool(
            (self.login and self.password) or self.aws_conn_id or any(self.aws_extras.get(name) for name in _BORROWED)
        )


def parse_connection(
    conn_id: str, *, login: str | None = None, password: str | None = None, extras: Mapping[str, Any] | None = None
) -> BedrockConnection:
    """Read a connection.

    Args:
        conn_id: its id.
        login: AWS access key id.
        password: AWS secret access key.
        extras: its extras, parsed.

    Raises:
        ConfigurationError: a field has a wrong value, or two contradict each other; names connection and field.
    """
    given = {name: value for name, value in (extras or {}).items() if value is not None and value != ""}
    try:
        own = _Extras(**given)
    except ValidationError as error:
        raise ConfigurationError(_sentence(conn_id, error)) from None
    if bool(login) != bool(password):
        missing, there = ("password", "login") if login else ("login", "password")
        raise ConfigurationError(
            f"The connection {conn_id!r} has a {there} but no {missing}. "
            "Login is the AWS access key id and password the secret access key: give both or neither."
        )
    clash = next((name for name in _BORROWED if own.aws_conn_id and getattr(own, name)), None)
    if own.aws_conn_id and (login or clash):
        raise ConfigurationError(
            f"The connection {conn_id!r} borrows its credentials from {own.aws_conn_id!r} and has a {clash or 'login'} "
            "of its own. Keep one of them."
        )
    boto3_given = {name: getattr(own, name) for name in _BOTO3_FIELDS if getattr(own, name) is not None}
    retry_given = {name: getattr(own, name) for name in _RETRY_FIELDS if getattr(own, name) is not None}
    return BedrockConnection(
        conn_id=conn_id,
        login=login or None,
        password=password or None,
        regions=tuple(own.regions) or ((own.region_name,) if own.region_name else ()),
        models=tuple(own.models),
        aws_conn_id=own.aws_conn_id,
        endpoint_url=own.endpoint_url,
        verify=own.verify,
        boto3_config=Boto3Config(**boto3_given),
        retry_config=RetryConfig(**retry_given),
        aws_extras=_aws_extras(given, own),
        batch_role_arn=own.batch_role_arn,
        batch_s3_uri=own.batch_s3_uri,
    )


def _aws_extras(given: Mapping[str, Any], own: _Extras) -> dict[str, Any]:
    """What the amazon provider's wrapper reads: its own extras pass through, ours take its names."""
    extras = {name: value for name, value in given.items() if name not in _OWN_FIELDS}
    region = own.region_name or (own.regions[0] if own.regions else None)
    named = {
        "region_name": region,
        "profile_name": own.profile_name,
        "role_arn": own.role_arn,
        "aws_session_token": own.aws_session_token,
    }
    extras |= {name: value for name, value in named.items() if value}
    if own.external_id:
        extras["assume_role_kwargs"] = {**extras.get("assume_role_kwargs", {}), "ExternalId": own.external_id}
    return extras


def _sentence(conn_id: str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "extra"
    value = "***" if "token" in name else repr(first["input"])
    return (
        f"The connection {conn_id!r} has {name}={value}, which is wrong: {first['msg'].removeprefix('Value error, ')}. "
        "Correct the field under Admin, Connections."
    )
