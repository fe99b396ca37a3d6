"""What a model is called when a request goes out: ids, inference profile ids and ARNs.

    anthropic.claude-3-haiku-20240307-v1:0            a base model
    anthropic.claude-3-haiku-20240307-v1:0:48k        a base model with a context length of its own
    eu.anthropic.claude-sonnet-4-5-20250929-v1:0      a system-defined inference profile (geo prefix)
    arn:aws:bedrock:us-east-1::foundation-model/...   and eight more kinds of ARN

The grammar is the `modelId` pattern of Converse in botocore's service model, told apart by kind. One thing is
narrower: a provider has no hyphen, so that a friendly name in lower case (`claude-3.5-sonnet`) is not taken for an id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from airflow_provider_bedrock_llm.core.errors import ConfigurationError

__all__ = [
    "ModelId",
    "ModelIdError",
    "ModelIdKind",
    "arn_region",
    "base_model_id",
    "geo_of",
    "is_arn",
    "is_model_id",
    "parse_model_id",
]

_MAX_CHARACTERS = 2048

_PART = r"[a-z0-9-]{1,63}"
_BASE = re.compile(rf"(?P<provider>[a-z][a-z0-9]{{0,62}})\.(?P<rest>{_PART}(\.{_PART}){{0,2}}(:{_PART}){{0,2}})")
_GEO = re.compile(r"(?P<geo>[a-z]{2}|global|apac|us-gov)\.(?P<model>[a-z][a-z0-9]{0,62}\..+)")
_VERSION = re.compile(r"(?P<name>.+?)-(?P<version>v?\d+:\d+|v\d+)(?::(?P<context>[a-z0-9-]+))?")
_ARN = re.compile(
    r"arn:(?P<partition>aws(?:-[^:]+)?):(?P<service>bedrock|sagemaker):(?P<region>[a-z0-9-]{1,20})"
    r":(?P<account>[0-9]{12})?:(?P<type>[a-z-]+)/(?P<resource>.+)"
)


class ModelIdError(ConfigurationError, ValueError):
    """A text that Converse would not take as `modelId`. Nothing was sent."""


class ModelIdKind(Enum):
    """What a `modelId` of Converse names. The values of the ARN kinds are AWS's resource types."""

    BASE_MODEL = "base-model"
    PROFILE = "profile"
    FOUNDATION_MODEL_ARN = "foundation-model"
    INFERENCE_PROFILE_ARN = "inference-profile"
    APPLICATION_INFERENCE_PROFILE_ARN = "application-inference-profile"
    CUSTOM_MODEL_ARN = "custom-model"
    CUSTOM_MODEL_DEPLOYMENT_ARN = "custom-model-deployment"
    IMPORTED_MODEL_ARN = "imported-model"
    PROVISIONED_MODEL_ARN = "provisioned-model"
    PROMPT_ARN = "prompt"
    PROMPT_ROUTER_ARN = "prompt-router"
    DEFAULT_PROMPT_ROUTER_ARN = "default-prompt-router"
    SAGEMAKER_ENDPOINT_ARN = "endpoint"


_TWELVE = re.compile(r"[a-z0-9]{12}")
_PROFILE_RESOURCE = re.compile(r"[a-zA-Z0-9:.-]+")
_RESOURCES: dict[ModelIdKind, tuple[re.Pattern[str], bool]] = {
    # kind -> what follows the slash, and whether the ARN names an account
    ModelIdKind.FOUNDATION_MODEL_ARN: (_BASE, False),
    ModelIdKind.INFERENCE_PROFILE_ARN: (_PROFILE_RESOURCE, True),
    ModelIdKind.APPLICATION_INFERENCE_PROFILE_ARN: (_PROFILE_RESOURCE, True),
    ModelIdKind.CUSTOM_MODEL_ARN: (re.compile(rf"{_PART}\.{_PART}([.:]{_PART}){{0,3}}/[a-z0-9]{{12}}"), True),
    ModelIdKind.CUSTOM_MODEL_DEPLOYMENT_ARN: (_TWELVE, True),
    ModelIdKind.IMPORTED_MODEL_ARN: (_TWELVE, True),
    ModelIdKind.PROVISIONED_MODEL_ARN: (_TWELVE, True),
    ModelIdKind.PROMPT_ARN: (re.compile(r"[0-9a-zA-Z]{10}(:[0-9]{1,5})?"), True),
    ModelIdKind.PROMPT_ROUTER_ARN: (_PROFILE_RESOURCE, True),
    ModelIdKind.DEFAULT_PROMPT_ROUTER_ARN: (_PROFILE_RESOURCE, True),
    ModelIdKind.SAGEMAKER_ENDPOINT_ARN: (re.compile(r"[a-zA-Z0-9-]+"), True),
}
_NAMED_BY_THE_ARN = frozenset({ModelIdKind.FOUNDATION_MODEL_ARN, ModelIdKind.INFERENCE_PROFILE_ARN})


@dataclass(frozen=True, slots=True)
class ModelId:
    """One `modelId`, taken apart. Make it with `parse_model_id`.

    Attributes:
        text: what is sent, unchanged.
        kind: what it names.
        geo: the geo prefix of an inference profile (`eu`, `apac`, `us-gov`, `global` ...).
        provider: such as `anthropic`; None where an ARN does not tell.
        name: such as `claude-3-haiku-20240307`.
        version: such as `v1:0`; None where the id has none.
        context: the suffix for a context length, such as `48k`.
        partition: of an ARN, such as `aws-us-gov`.
        region: of an ARN. The request can go nowhere else.
        account: of an ARN; None for a foundation model.
        resource: of an ARN, what follows the slash.
    """

    text: str
    kind: ModelIdKind
    geo: str | None = None
    provider: str | None = None
    name: str | None = None
    version: str | None = None
    context: str | None = None
    partition: str | None = None
    region: str | None = None
    account: str | None = None
    resource: str | None = None

    def __str__(self) -> str:
        """What is sent."""
        return self.text

    @property
    def is_arn(self) -> bool:
        """Whether this is an ARN of any kind."""
        return self.partition is not None

    @property
    def profile_id(self) -> str | None:
        """The id of the inference profile, without the ARN around it; None for everything else."""
        if self.kind is ModelIdKind.PROFILE:
            return self.text
        if self.kind in {ModelIdKind.INFERENCE_PROFILE_ARN, ModelIdKind.APPLICATION_INFERENCE_PROFILE_ARN}:
            return self.resource
        return None

    @property
    def base(self) -> str | None:
        """The base model's id, without ARN, geo prefix and context suffix; None where the text does not tell."""
        if self.provider is None:
            return None
        version = f"-{self.version}" if self.version else ""
        return f"{self.provider}.{self.name}{version}"


@lru_cache(maxsize=1024)
def parse_model_id(text: str) -> ModelId:
    """Take a `modelId` apart.

    Raises:
        ModelIdError: where Converse would refuse the text for its form.
    """
    if not text or len(text) > _MAX_CHARACTERS:
        raise ModelIdError(
            f"A model id has 1 to {_MAX_CHARACTERS} characters, and {text[:80]!r} has {len(text)}. "
            "Give a model id, an inference profile id or an ARN."
        )
    if text.startswith("arn:"):
        return _parse_arn(text)
    if (profile := _GEO.fullmatch(text)) and (base := _BASE.fullmatch(profile["model"])):
        return ModelId(text, ModelIdKind.PROFILE, geo=profile["geo"], **_name_parts(base))
    if base := _BASE.fullmatch(text):
        return ModelId(text, ModelIdKind.BASE_MODEL, **_name_parts(base))
    raise ModelIdError(
        f"{text!r} is not a model id. Give `provider.model-version` (such as 'amazon.nova-lite-v1:0'), an inference "
        "profile id (such as 'eu.amazon.nova-lite-v1:0') or an ARN."
    )


def is_model_id(text: str) -> bool:
    """Whether `parse_model_id` takes the text."""
    try:
        parse_model_id(text)
    except ModelIdError:
        return False
    return True


def is_arn(text: str) -> bool:
    """Whether the text claims to be an ARN; whether it is a good one, `parse_model_id` says."""
    return text.startswith("arn:")


def base_model_id(text: str) -> str | None:
    """The base model's id behind an id, a profile id or an ARN; None where the text does not tell.

    CountTokens and the prices of the catalog want this one: `eu.amazon.nova-lite-v1:0` -> `amazon.nova-lite-v1:0`.
    """
    return parse_model_id(text).base


def geo_of(text: str) -> str | None:
    """The geo prefix of an inference profile's id or ARN, or None."""
    return parse_model_id(text).geo


def arn_region(text: str) -> str | None:
    """The region that an ARN is bound to; None for a plain id."""
    return parse_model_id(text).region


def _name_parts(base: re.Match[str]) -> dict[str, str | None]:
    rest = base["rest"]
    if split := _VERSION.fullmatch(rest):
        return {
            "provider": base["provider"],
            "name": split["name"],
            "version": split["version"],
            "context": split["context"],
        }
    name, _, context = rest.partition(":")
    return {"provider": base["provider"], "name": name, "context": context or None}


def _parse_arn(text: str) -> ModelId:
    arn = _ARN.fullmatch(text)
    if arn is None:
        raise ModelIdError(
            f"{text!r} is not an ARN of Bedrock or of a SageMaker endpoint. "
            "Copy the ARN from the Bedrock console: arn:aws:bedrock:region:account:kind/name."
        )
    kind = next((kind for kind in _RESOURCES if kind.value == arn["type"]), None)
    sagemaker = kind is ModelIdKind.SAGEMAKER_ENDPOINT_ARN
    if kind is None or sagemaker is not (arn["service"] == "sagemaker"):
        kinds = ", ".join(known.value for known in _RESOURCES)
        raise ModelIdError(
            f"{text!r} is an ARN of kind {arn['type']!r}, which Converse does not take. Give one of: {kinds}."
        )
    form, wants_account = _RESOURCES[kind]
    if not form.fullmatch(arn["resource"]) or wants_account is not (arn["account"] is not None):
        account = "with the account's twelve digits" if wants_account else "without an account"
        raise ModelIdError(
            f"{text!r} is not a well formed ARN of a {kind.value}: the part after the slash or the account is wrong. "
            f"This kind is written {account}; copy it from the Bedrock console."
        )
    named = _named_model(arn["resource"]) if kind in _NAMED_BY_THE_ARN else None
    return ModelId(
        text,
        kind,
        geo=named.geo if named else None,
        provider=named.provider if named else None,
        name=named.name if named else None,
        version=named.version if named else None,
        context=named.context if named else None,
        partition=arn["partition"],
        region=arn["region"],
        account=arn["account"],
        resource=arn["resource"],
    )


def _named_model(resource: str) -> ModelId | None:
    return parse_model_id(resource) if is_model_id(resource) else None
