"""Guardrails by word: a simple stand-in for ApplyGuardrail and for guardrailConfig in Converse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .wire_errors import ErrorReply, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Guardrail", "GuardrailBook", "apply_reply"]

_UNIT_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class Guardrail:
    """Blocks texts in which one of `words` stands, whatever its case."""

    guardrail_id: str
    words: tuple[str, ...]
    version: str = "DRAFT"
    blocked_input: str = "Sorry, the model cannot answer this question."
    blocked_output: str = "Sorry, the model cannot answer this question."

    def found_in(self, text: str) -> list[str]:
        lowered = text.lower()
        return [word for word in self.words if re.search(rf"\b{re.escape(word.lower())}\b", lowered)]


class GuardrailBook:
    """The guardrails of an endpoint, by id and version."""

    def __init__(self) -> None:
        self._guardrails: dict[tuple[str, str], Guardrail] = {}

    def reset(self) -> None:
        self._guardrails.clear()

    def add(self, guardrail: Guardrail) -> None:
        self._guardrails[guardrail.guardrail_id, guardrail.version] = guardrail

    def find(self, identifier: str, version: str) -> Guardrail:
        """The guardrail of an id or ARN; Refused as AWS does where there is none."""
        name = identifier.rpartition("/")[2]
        found = self._guardrails.get((name, version))
        if found is None:
            text = "The guardrail identifier or version provided in the request does not exist."
            raise Refused(ErrorReply("ValidationException", 400, text))
        return found


def apply_reply(guardrail: Guardrail, source: str, texts: Iterable[str], scope: str) -> Mapping[str, Any]:
    """The body of an ApplyGuardrail reply."""
    joined = "\n".join(texts)
    found = guardrail.found_in(joined)
    blocked = guardrail.blocked_input if source == "INPUT" else guardrail.blocked_output
    units = (len(joined) + _UNIT_CHARACTERS - 1) // _UNIT_CHARACTERS
    usage = {
        "topicPolicyUnits": 0,
        "contentPolicyUnits": 0,
        "wordPolicyUnits": units,
        "sensitiveInformationPolicyUnits": 0,
        "sensitiveInformationPolicyFreeUnits": 0,
        "contextualGroundingPolicyUnits": 0,
    }
    return {
        "usage": usage,
        "action": "GUARDRAIL_INTERVENED" if found else "NONE",
        "outputs": [{"text": blocked}] if found else [],
        "assessments": [assessment(found)] if found or scope == "FULL" else [],
    }


def assessment(found: Iterable[str]) -> dict[str, Any]:
    """What a guardrail says about the words that it found."""
    words = [{"match": word, "action": "BLOCKED"} for word in found]
    return {"wordPolicy": {"customWords": words, "managedWordLists": []}} if words else {}
