"""The catalog's Airflow Variable, and the catalog of a connection.

In a task and in a trigger the Variable goes through the Task SDK, which asks the API server or a secrets backend; on
the command line it goes to the metadata database. Everything here blocks: on an event loop, use
`BedrockModelCatalog.aensure_catalog_available`, which calls it in a thread.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.model_catalog import BedrockModelCatalog
from airflow_provider_bedrock_llm.aws.region_discovery import partition_of
from airflow_provider_bedrock_llm.core.errors import CatalogError

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

__all__ = ["AirflowVariableStore", "model_catalog"]


class AirflowVariableStore:
    """Keeps one text per Airflow Variable.

    Writing always goes to the metadata database. A secrets backend that holds the same key wins when it is read, so a
    catalog kept there has to be put there by hand: `airflow bedrock-llm models refresh --to-file FILE --max-bytes N`.
    What fits (33 regions): an account that is as the snapshot says takes 7 KB, so it fits 8 KB (SSM Parameter Store,
    advanced) whole and 4 KB (standard) without names and lifecycles; one with 165 application profiles and every
    profile changed takes 64 KB (Secrets Manager).
    """

    def get(self, key: str) -> str | None:
        """The Variable's text, or None where there is none.

        Raises:
            CatalogError: Airflow or a secrets backend did not give it.
        """
        try:
            value = _variable_get(key)
        except Exception as error:  # any secrets backend, with any library, may stand behind it
            raise CatalogError(f"Airflow said: {type(error).__name__}: {error}") from error
        return None if value is None else str(value)

    def set(self, key: str, text: str, description: str) -> None:
        """Write the Variable.

        Raises:
            CatalogError: Airflow did not take it.
        """
        try:
            _variable_class().set(key, text, description=description)
        except Exception as error:  # see get
            raise CatalogError(f"Airflow said: {type(error).__name__}: {error}") from error

    def delete(self, key: str) -> None:
        """Delete the Variable, if it is there.

        Raises:
            CatalogError: Airflow did not do it.
        """
        try:
            _variable_class().delete(key)
        except Exception as error:  # see get
            raise CatalogError(f"Airflow said: {type(error).__name__}: {error}") from error


def model_catalog(hook: BedrockLLMHook, **settings: Any) -> BedrockModelCatalog:
    """The catalog of a connection's account, kept in an Airflow Variable unless the settings say otherwise.

    Args:
        hook: gives the clients, and with its region the partition.
        **settings: those of `BedrockModelCatalog`. Give each account a `variable_key` of its own.
    """
    settings.setdefault("partition", partition_of(hook.get_available_regions()[0]))
    return BedrockModelCatalog(hook.clients.client, AirflowVariableStore(), **settings)


def _in_task_process() -> bool:
    """Whether a supervisor answers for Airflow's database, as in a task or in a trigger."""
    return hasattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS")


def _variable_class() -> Any:
    if _in_task_process():
        from airflow.sdk import Variable  # noqa: PLC0415 - which one is right is known when it is called
    else:
        from airflow.models.variable import Variable  # noqa: PLC0415 - it opens the metadata database
    return Variable


def _variable_get(key: str) -> Any:
    if _in_task_process():
        return _variable_class().get(key, default=None)
    return _variable_class().get(key, default_var=None)
