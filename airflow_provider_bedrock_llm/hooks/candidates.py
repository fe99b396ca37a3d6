"""Where candidate lists come from, and the keys of the services that they name."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_bedrock_llm.core.errors import CatalogError, ConfigurationError
from airflow_provider_bedrock_llm.core.services import ServiceCall, parse_api_keys, service_call, service_keys
from airflow_provider_bedrock_llm.hooks.catalog_variable import AirflowVariableStore
from airflow_provider_bedrock_llm.jobs.storage import open_location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_bedrock_llm.core.candidates import Candidate

__all__ = ["api_keys", "call_of", "read_candidates"]

_VARIABLE = "variable://"
_API_KEYS = "API_KEYS"


def read_candidates(given: Any) -> tuple[Any, str]:
    """Fetch a candidate list. Blocks.

    Args:
        given: the list itself; its JSON text; `variable://name` for an Airflow Variable; or a local path or a URI of
            object storage.

    Returns:
        The list, unchecked, and what it is called in errors.

    Raises:
        ConfigurationError: there is no such file or Variable.
    """
    if not isinstance(given, str):
        return given, "candidates"
    if given.lstrip().startswith(("{", "[")):
        return given, "candidates"
    if given.startswith(_VARIABLE):
        name = given.removeprefix(_VARIABLE)
        try:
            text = AirflowVariableStore().get(name)
        except CatalogError as error:
            raise ConfigurationError(
                f"The Airflow Variable {name!r} with the candidates cannot be read: {error}"
            ) from error
        if text is None:
            raise ConfigurationError(
                f"There is no Airflow Variable {name!r}, which candidates={given!r} names. Add it under Admin, "
                "Variables; `airflow bedrock-llm candidates --json` makes its value."
            )
        return text, given
    try:
        return open_location(given, "candidates").read(), given
    except OSError as error:
        raise ConfigurationError(
            f"candidates={given!r} cannot be read: {type(error).__name__}: {error}. Give a file, a URI of object "
            "storage, variable://name, or the list itself."
        ) from error


def api_keys() -> dict[str, Any]:
    """API_KEYS of the environment, by service; empty where there is none.

    Raises:
        ConfigurationError: it is not of the form service -> keys.
    """
    text = os.environ.get(_API_KEYS, "").strip()
    return parse_api_keys(text) if text else {}


def call_of(candidate: Candidate, keys: Mapping[str, Any], get_connection: Callable[[str], Any]) -> ServiceCall:
    """How a candidate of another service is called: key and address of its Airflow connection, or its keys of API_KEYS.

    Args:
        candidate: of another service than Bedrock.
        keys: as `api_keys` gives them.
        get_connection: asks Airflow.

    Raises:
        ConfigurationError: the connection that the candidate names does not exist.
    """
    conn_id = candidate.conn_id or f"{re.sub(r'[^a-z0-9]+', '_', candidate.service.lower())}_default"
    try:
        connection = get_connection(conn_id)
    except AirflowNotFoundException as error:
        if candidate.conn_id is not None:
            raise ConfigurationError(
                f"The Airflow connection {conn_id!r} of the candidate {candidate.name!r} does not exist. Add it under "
                f"Admin, Connections, with the key of {candidate.service} as its password."
            ) from error
        return service_call(candidate, service_keys(keys, candidate.service) or ())
    key = connection.password or connection.extra_dejson.get("api_key") or ""
    return service_call(candidate, (key,), connection.host or None)
