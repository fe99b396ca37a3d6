"""The snapshot in the wheel: what the catalog knows where nobody asks AWS."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from airflow_provider_bedrock_llm.core.catalog import Catalog

__all__ = ["bundled_checksum", "load_bundled_catalog"]


@cache
def load_bundled_catalog() -> Catalog:
    """Return the bundled catalog, read once per process.

    Raises:
        CatalogError: the file in the installed package is damaged.
    """
    return Catalog.from_dict(_document())


def bundled_checksum() -> str:
    """Return what tells one bundle from another; what was learned is kept as a difference from one of them."""
    return str(_document()["checksum"])


@cache
def _document() -> dict[str, Any]:
    text = (files("airflow_provider_bedrock_llm.aws") / "catalog_bundled.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
