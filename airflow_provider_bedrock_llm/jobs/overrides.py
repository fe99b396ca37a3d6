"""What a row says about how it is asked: its own model, `maxTokens`, temperature or system prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_bedrock_llm.core.errors import RequestValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["OVERRIDABLE", "Override", "Overrides"]

OVERRIDABLE = ("model", "max_tokens", "temperature", "system")


class Override(NamedTuple):
    """What one row says. Empty cells say nothing.

    Attributes:
        models: who may answer, best first; none for those of the job.
        inference_config: over the job's.
        system: instead of the job's system prompt; None for that.
    """

    models: Sequence[str | Mapping[str, Any]] = ()
    inference_config: Mapping[str, Any] = {}
    system: str | None = None


class Overrides:
    """Reads the columns that override settings of the job.

    Args:
        columns: by what they override (`OVERRIDABLE`), the names of the columns.
        models: those of the job. A row's own `max_tokens` and temperature stand above what they say of themselves.
    """

    def __init__(self, columns: Mapping[Any, str], models: Sequence[str | Mapping[str, Any]]) -> None:
        self.columns = frozenset(columns.values())
        self._columns: dict[str, str] = dict(columns)
        self._models = models

    def of(self, row: Mapping[str, Any]) -> Override:
        """What a row says.

        Raises:
            RequestValidationError: a cell holds what the setting cannot be; the text names its column.
        """
        cells = {what: row.get(column) for what, column in self._columns.items()}
        said = {what: cell for what, cell in cells.items() if cell is not None and cell != ""}
        if not said:
            return _NOTHING
        inference = {}
        if "max_tokens" in said:
            inference["maxTokens"] = self._number(said["max_tokens"], "max_tokens", int, "a whole number of 1 or more")
        if "temperature" in said:
            inference["temperature"] = self._number(said["temperature"], "temperature", float, "a number of 0 or more")
        models: Sequence[str | Mapping[str, Any]] = self._names(said["model"]) if "model" in said else ()
        if inference and not models:
            models = self._models_under(inference)
        system = said.get("system")
        if system is not None and not isinstance(system, str):
            raise self._refusal("system", "text")
        return Override(models, inference, system)

    def _names(self, cell: Any) -> list[str]:
        names = cell if isinstance(cell, list) else [cell]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise self._refusal("model", "the name of a model, or a list of names, best first")
        return names

    def _number(self, cell: Any, what: str, kind: type[int | float], wanted: str) -> float:
        try:
            number = kind(cell)
        except (TypeError, ValueError) as error:
            raise self._refusal(what, wanted) from error
        is_whole = kind is float or not isinstance(cell, float) or cell == number
        if isinstance(cell, bool) or not number >= (kind is int) or not is_whole:
            raise self._refusal(what, wanted)
        return number

    def _models_under(self, inference: Mapping[str, Any]) -> Sequence[str | Mapping[str, Any]]:
        """The job's models with the row's settings over their own; none where they have no settings of their own."""
        if not any(not isinstance(model, str) and model.get("inference_config") for model in self._models):
            return ()
        return [
            model
            if isinstance(model, str)
            else {**model, "inference_config": {**(model.get("inference_config") or {}), **inference}}
            for model in self._models
        ]

    def _refusal(self, what: str, wanted: str) -> RequestValidationError:
        return RequestValidationError(
            f"The column {self._columns[what]!r}, which overrides {what}, does not hold {wanted}. Correct the row, or "
            "leave the cell empty for the job's own."
        )


_NOTHING = Override()
