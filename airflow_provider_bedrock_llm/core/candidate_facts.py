"""What the catalog knows of a candidate: fills what a list left out, and makes lists of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.access import DEFAULT_PREFERENCE, options_for
from airflow_provider_bedrock_llm.core.candidates import Candidate, candidate_faults, parse_candidates
from airflow_provider_bedrock_llm.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_bedrock_llm.core.access import AccessMethod
    from airflow_provider_bedrock_llm.core.catalog import Catalog, ResolvedModel
    from airflow_provider_bedrock_llm.core.model_card import ModelCard
    from airflow_provider_bedrock_llm.core.model_listing import ModelRow
    from airflow_provider_bedrock_llm.core.pricing import Prices

__all__ = ["candidate_entries", "complete_candidates"]

_SIZE_IN_AN_ID = re.compile(r"(?<![a-z0-9])((?:\d+x)?\d+(?:\.\d+)?b)(?![a-z0-9])")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9.]+")
_TOLD = {
    "tool_use": "tools",
    "structured_output": "structured output",
    "reasoning": "reasoning",
    "prompt_caching": "prompt caching",
    "citations": "citations",
}


def complete_candidates(
    data: Any,
    catalog: Catalog,
    regions: Sequence[str],
    *,
    where: str = "candidates",
    preference: tuple[AccessMethod, ...] = DEFAULT_PREFERENCE,
    data_residency: str | None = None,
) -> tuple[Candidate, ...]:
    """Read a candidate list, hold its Bedrock entries against the catalog, and fill what they leave out.

    Args:
        data: as `parse_candidates` takes it.
        catalog: what is known of Bedrock's models.
        regions: where an entry without `aws_region` is asked, best first.
        where: what the list is called in errors.
        preference: the ways of access that are allowed, best first.
        data_residency: as in `RetryConfig`.

    Raises:
        ConfigurationError: the list is malformed, or a model is unknown or cannot be asked in its region; every fault
            is named with its entry.
    """
    candidates, faults, complete = parse_candidates(data, where), [], []
    for candidate in candidates:
        if not candidate.is_bedrock:
            complete.append(candidate)
            continue
        try:
            resolved = catalog.resolve(candidate.model)
        except ConfigurationError as error:
            faults.append(f"{candidate.name}: {str(error).rstrip('.')}")
            continue
        asked = [candidate.aws_region] if candidate.aws_region else list(regions)
        sent = next(
            (
                (options[0].model_id, region)
                for region in asked
                if (options := options_for(resolved, region, preference, data_residency=data_residency))
            ),
            None,
        )
        if sent is None:
            faults.append(_not_there(candidate, asked, resolved))
            continue
        complete.append(_filled(candidate, resolved.card, catalog.prices_for(*sent)))
    if faults:
        raise candidate_faults(where, faults)
    return tuple(complete)


def candidate_entries(rows: Iterable[ModelRow], region: str | None = None) -> dict[str, dict[str, Any]]:
    """A candidate list of models of the catalog; what the catalog does not know is left out.

    Args:
        rows: the models.
        region: what `aws_region` of the entries says; None leaves it to the connection.
    """
    entries: dict[str, dict[str, Any]] = {}
    for row in rows:
        card, rates = row.card, row.prices.on_demand if row.prices else None
        entry = {
            "size": _size_of(card),
            "feature": _feature_of(card),
            "input_price": rates.input if rates else None,
            "output_price": rates.output if rates else None,
            "model": card.model_id,
            "service": "Bedrock",
            "aws_region": region,
        }
        entries[_name_of(card, entries)] = {name: value for name, value in entry.items() if value is not None}
    return entries


def _not_there(candidate: Candidate, asked: Sequence[str], resolved: ResolvedModel) -> str:
    known = ", ".join(sorted(resolved.card.regions)) if resolved.card else ""
    where = ", ".join(asked) or "any region, because none is configured"
    instead = f"; it is known in {known}" if known else ""
    return f"{candidate.name}: {candidate.model} cannot be asked in {where}{instead}"


def _filled(candidate: Candidate, card: ModelCard | None, prices: Prices | None) -> Candidate:
    if card is None:
        return candidate
    rates = prices.on_demand if prices else None
    known: dict[str, Any] = {
        "size": _size_of(card),
        "feature": _feature_of(card),
        "context_window_tokens": card.context_window_tokens,
        "max_output_tokens": card.max_output_tokens,
        "input_modalities": card.input_modalities or None,
        "capabilities": tuple(sorted(name for name, value in card.capabilities.items() if value is True)) or None,
    }
    if candidate.input_price is None and candidate.output_price is None:
        known |= {"input_price": rates.input if rates else None, "output_price": rates.output if rates else None}
    new: dict[str, Any] = {
        name: value for name, value in known.items() if value is not None and getattr(candidate, name) is None
    }
    return replace(candidate, **new, filled=(*candidate.filled, *new)) if new else candidate


def _size_of(card: ModelCard) -> str | None:
    """As the id tells it; for a mixture of experts that may be the parameters in use. Most makers say nothing."""
    found = _SIZE_IN_AN_ID.search(card.model_id.partition(".")[2])
    return found[1].upper().replace("X", "x") if found else None


def _feature_of(card: ModelCard) -> str:
    takes = " and ".join(modality.lower() for modality in sorted(card.input_modalities, reverse=True)) or "text"
    parts = [f"{card.name} by {card.provider} takes {takes}"]
    if card.context_window_tokens:
        parts.append(f"context of {card.context_window_tokens:,} tokens")
    parts += [words for name, words in _TOLD.items() if card.capabilities.get(name) is True]
    return f"{', '.join(parts)}."


def _name_of(card: ModelCard, taken: Mapping[str, Any]) -> str:
    name = _NOT_IN_A_NAME.sub("-", card.name.lower()).strip("-")
    return card.model_id if name in taken else name
