"""One job cut into several that run side by side, each with its share of the rows and of the quotas.

Which shard a row belongs to is told by its id (its text, where it has none): rows that come or go move no other row,
so a shard's answers stay of use, and repeated ids meet in one shard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.jobs.hash_table import hash_key
from airflow_provider_bedrock_llm.jobs.record import composite_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.core.budget import Budget
    from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
    from airflow_provider_bedrock_llm.jobs.row import Row
    from airflow_provider_bedrock_llm.jobs.source import Source
    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["Shard", "ShardOfSource", "budget_share", "fair_share", "plan_shards"]

_MOST_SHARDS = 1024


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Shard:
    """Which part of the rows is meant.

    Args:
        index: from 0.
        of: how many parts there are.
    """

    index: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.of:
            raise ConfigurationError(
                f"shard has index={self.index} of={self.of}. Give an index from 0 up to, without, `of`."
            )

    @property
    def name(self) -> str:
        """As file names have it: people and sorting want the same width."""
        return f"{self.index:04d}-of-{self.of:04d}"


@plain_dataclass(frozen=True, slots=True)
class ShardOfSource:
    """Those rows of a source that belong to a shard; else like the source.

    Args:
        whole: the source.
        shard: which part.
        id_columns: what names a row.
    """

    whole: Source
    shard: Shard
    id_columns: tuple[str, ...]

    @property
    def location(self) -> Location:
        """Of the whole source."""
        return self.whole.location

    def rows(self) -> Iterator[Row]:
        """Read the whole, and give the part."""
        for row in self.whole.rows():
            if hash_key(self._name(row)) % self.shard.of == self.shard.index:
                yield row

    def header(self) -> list[str] | None:
        """See `Source`."""
        return self.whole.header()

    def fingerprint(self) -> str:
        """Changes when the whole changes."""
        return self.whole.fingerprint()

    def _name(self, row: Row) -> str:
        if self.id_columns:
            try:
                found = composite_id(row.fields(), self.id_columns)
            except ValueError:
                found = None
            if found is not None:
                return found
        return row.text


def fair_share(config: ParallelProcessingConfig, shard: Shard | None) -> ParallelProcessingConfig:
    """What a shard may use of limits that are meant for all shards together: equal parts, never nothing.

    Args:
        config: concurrency and known quotas of the whole.
        shard: which part; None for all of it.
    """
    if shard is None:
        return config
    quotas = config.tokens_per_minute
    return replace(
        config,
        max_concurrent_requests=_part(config.max_concurrent_requests, shard),
        tokens_per_minute=quotas and {model: _part(tokens, shard) for model, tokens in quotas.items()},
    )


def budget_share(budget: Budget | None, shard: Shard | None) -> Budget | None:
    """What a shard may spend of a budget that is meant for all shards together: together never more than that.

    Raises:
        ConfigurationError: there are fewer tokens than shards.
    """
    if budget is None or shard is None:
        return budget
    tokens = None if budget.tokens is None else budget.tokens // shard.of
    if tokens == 0:
        raise ConfigurationError(
            f"budget has {budget.tokens} tokens for {shard.of} shards. Give more tokens, or make fewer shards."
        )
    return replace(budget, usd=None if budget.usd is None else budget.usd / shard.of, tokens=tokens)


def _part(whole: int, shard: Shard) -> int:
    each, rest = divmod(whole, shard.of)
    return max(1, each + (shard.index < rest))


def plan_shards(
    rows: int | None = None, *, rows_per_shard: int | None = None, count: int | None = None
) -> list[dict[str, Any]]:
    """Shards for `BedrockParallelOperator.partial(...).expand(shard=...)`.

    Args:
        rows: how many rows the source has, about; needed with `rows_per_shard`.
        rows_per_shard: about how many rows a shard is to have.
        count: how many shards, instead.

    Returns:
        One `{"index": ..., "of": ...}` per shard; fit for an XCom.

    Raises:
        ConfigurationError: it is not clear how many, or more than Airflow maps (1024).
    """
    if (count is None) == (rows_per_shard is None) or (count is None and rows is None):
        raise ConfigurationError("plan_shards needs either `count`, or `rows` and `rows_per_shard`. Give one of them.")
    if count is None:
        count = max(1, math.ceil((rows or 0) / max(1, rows_per_shard or 1)))
    if not 1 <= count <= _MOST_SHARDS:
        raise ConfigurationError(
            f"plan_shards makes {count} shards. Give 1 to {_MOST_SHARDS}, which is what Airflow maps in one go: "
            "raise rows_per_shard."
        )
    return [{"index": index, "of": count} for index in range(count)]
