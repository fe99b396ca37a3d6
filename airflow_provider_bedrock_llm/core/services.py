"""How a model of another service than Bedrock is called: under which name, at which address, with which keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.candidates import is_bedrock
from airflow_provider_bedrock_llm.core.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.candidates import Candidate

__all__ = ["OPENAI_SHAPED", "ServiceCall", "bedrock_credentials", "parse_api_keys", "service_call", "service_keys"]

_PROVIDERS = {
    "nvidia": "nvidia_nim",
    "nvidia nim": "nvidia_nim",
    "google": "gemini",
    "together": "together_ai",
    "together ai": "together_ai",
    "mistral ai": "mistral",
    "ollama": "ollama_chat",
}
"""LiteLLM's name of a service, where that is not the service's own in lower case."""

OPENAI_SHAPED = "openai"
_AWS_NAMES = {
    "aws_access_key_id": "login",
    "access_key_id": "login",
    "aws_secret_access_key": "password",
    "secret_access_key": "password",
    "aws_session_token": "aws_session_token",
    "session_token": "aws_session_token",
    "aws_region": "region_name",
    "aws_region_name": "region_name",
    "aws_default_region": "region_name",
    "region": "region_name",
    "region_name": "region_name",
    "profile_name": "profile_name",
    "aws_profile": "profile_name",
}


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """What a call of another service's model needs.

    Args:
        service: the service's name in the candidate list.
        model: as LiteLLM names it: provider, slash, model.
        api_base: where the service answers; None for its own address.
        keys: its keys, used in turn; empty where there is none.
    """

    service: str
    model: str
    api_base: str | None = None
    keys: tuple[str, ...] = field(default=(), repr=False)


def service_call(candidate: Candidate, keys: Sequence[str], api_base: str | None = None) -> ServiceCall:
    """How a candidate is called.

    Args:
        candidate: of another service than Bedrock.
        keys: of the service.
        api_base: its address, where the candidate names none.
    """
    base = candidate.api_endpoint or api_base
    name = candidate.service.strip().lower()
    provider = candidate.provider or (OPENAI_SHAPED if base else _PROVIDERS.get(name, name.replace(" ", "_")))
    return ServiceCall(candidate.service, f"{provider}/{candidate.model}", base, tuple(keys))


def parse_api_keys(text: str) -> dict[str, Any]:
    """Read API_KEYS in its form of service -> keys.

    Args:
        text: a JSON object; a key is a text, texts with commas between them, or a list; Bedrock's is an object.

    Raises:
        ConfigurationError: it is something else. The text is not repeated: it is secret.
    """
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ConfigurationError(
            'API_KEYS is not a JSON object of service -> keys. Write it as {"NVIDIA": "key", "Bedrock": '
            '{"aws_access_key_id": "...", "aws_secret_access_key": "..."}}.'
        )
    return data


def service_keys(api_keys: Mapping[str, Any], service: str) -> tuple[str, ...] | None:
    """The keys of a service; None where it is not named, whatever its case.

    Args:
        api_keys: as `parse_api_keys` gives them.
        service: its name in the candidate list.
    """
    found = next((value for name, value in api_keys.items() if name.casefold() == service.casefold()), None)
    if found is None:
        return None
    given = found.split(",") if isinstance(found, str) else found
    if not isinstance(given, Sequence):
        raise ConfigurationError(f"API_KEYS has an object for {service}. Give its key as text, or a list of keys.")
    keys = tuple(str(key).strip() for key in given)
    return tuple(key for key in keys if key) or ("",)


def bedrock_credentials(api_keys: Mapping[str, Any]) -> dict[str, Any] | None:
    """AWS's credentials under the key `Bedrock` or `AWS`, in the words of an Airflow connection; None without one.

    Raises:
        ConfigurationError: the entry is not an object, or has a field that is not known.
    """
    found = next((value for name, value in api_keys.items() if is_bedrock(name)), None)
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            "API_KEYS has no object for Bedrock. Give aws_access_key_id, aws_secret_access_key and, if there is one, "
            "aws_session_token."
        )
    unknown = sorted(name for name in found if name.lower() not in _AWS_NAMES)
    if unknown:
        raise ConfigurationError(
            f"API_KEYS has {unknown[0]!r} under Bedrock. Known are: {', '.join(sorted(_AWS_NAMES))}."
        )
    return {_AWS_NAMES[name.lower()]: value for name, value in found.items()}
