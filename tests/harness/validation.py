"""Validation functions that are found by their path."""

from __future__ import annotations

from typing import Any

from airflow_provider_bedrock_llm.core.config import ValidationResult


def refuse_all(_response: Any) -> ValidationResult:
    """No answer is good enough."""
    return ValidationResult(False, "refused by path")
