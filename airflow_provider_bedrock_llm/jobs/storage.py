"""Where jobs keep their files: local folders and any object storage that Airflow's ObjectStoragePath reaches.

The only way to either. Everything blocks, so event loops call it in a thread.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from airflow_provider_bedrock_llm.jobs.local_storage import LocalLocation
from airflow_provider_bedrock_llm.jobs.location import Location
from airflow_provider_bedrock_llm.jobs.object_storage import ObjectLocation

__all__ = ["LocalLocation", "Location", "ObjectLocation", "absolute_uri", "open_location"]


def open_location(uri: str, setting: str) -> Location:
    """Find the storage for a URI.

    Args:
        uri: a local path, `file://...`, or `scheme://[conn_id@]...` as ObjectStoragePath takes it.
        setting: the setting that the URI comes from, for errors.

    Raises:
        ConfigurationError: the URI names a storage that cannot be reached from here.
    """
    path = _local_path(uri)
    return ObjectLocation.of(uri, setting) if path is None else LocalLocation(path, setting)


def absolute_uri(uri: str) -> str:
    """Make a local path mean the same in every process. Other URIs stay as they are."""
    path = _local_path(uri)
    return uri if path is None else os.path.abspath(path)  # noqa: PTH100 - a symbolic link may move later


def _local_path(uri: str) -> Path | None:
    if "://" not in uri:
        return Path(uri).expanduser()
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
