"""From a record to the request that is asked for it, and back from a row to a whole request."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.candidates import parse_candidates
from airflow_provider_bedrock_llm.core.errors import RequestValidationError, TemplateError
from airflow_provider_bedrock_llm.core.prompt_cache import FixedPart
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, request_hash, text_message
from airflow_provider_bedrock_llm.core.routing import routing_identity
from airflow_provider_bedrock_llm.core.routing_rule import Routing
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.jobs.ledger import row_key
from airflow_provider_bedrock_llm.jobs.media import MediaColumns
from airflow_provider_bedrock_llm.jobs.overrides import Overrides
from airflow_provider_bedrock_llm.jobs.record import content_id
from airflow_provider_bedrock_llm.jobs.template import PromptTemplate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.record import Record
    from airflow_provider_bedrock_llm.jobs.row import Row

__all__ = ["Questions", "request_rows"]

_BYTES = "__bytes__"
_REQUEST_FIELDS = frozenset(f.name for f in fields(BedrockConverseRequest))


class Questions:
    """Makes the requests of a job. Compiled once; used from one thread at a time.

    Args:
        spec: the job.

    Raises:
        TemplateError: a template is not valid Jinja.
        ConfigurationError: the output schema is not one.
    """

    def __init__(self, spec: JobSpec) -> None:
        self._prompt = (
            PromptTemplate(spec.prompt_template, "prompt_template") if spec.prompt_template is not None else None
        )
        self._system = PromptTemplate(spec.system_template, "system_template") if spec.system_template else None
        self._models: list[Any] = list(spec.models)
        self._candidates = parse_candidates(spec.candidates) if spec.candidates else ()
        self._routing = Routing.of(spec.routing)
        self._schema = OutputSchema.of(spec.output_schema).json_schema if spec.output_schema is not None else None
        shared = dict(spec.request)
        self._system_blocks = list(shared.pop("system", None) or [])
        self._shared = shared
        self._inference_config = dict(spec.inference_config or {})
        self._metadata = spec.request_metadata or None
        self._overrides = Overrides(spec.override_columns, spec.models)
        self.media = MediaColumns(spec.media_columns, spec.source_folder_uri, as_s3_location=spec.media_as_s3_location)

        parts = [
            spec.prompt_template,
            spec.system_template,
            [_without_limit(model) for model in self._models],
            self._schema,
            spec.request,
            {name: value for name, value in (spec.inference_config or {}).items() if name != "maxTokens"},
            spec.id_columns,
            spec.source.header(),
            spec.override_columns,
            spec.media_columns,
            spec.media_as_s3_location,
            *([routing_identity(self._candidates, self._routing)] if self._candidates else []),
        ]
        self.settings = hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()
        """Changes with whatever shapes requests apart from the row's text, as `request_hash` does."""

    @property
    def fixed_part(self) -> FixedPart:
        """What all prompts of the job have in common, for the prompt cache."""
        system = self._system is None or self._system.is_constant
        prefix = self._prompt.prefix if self._prompt and not self.media.columns else ""  # files stand before the text
        return FixedPart(system=system, prompt_prefix=prefix)

    @property
    def columns(self) -> frozenset[str]:
        """The columns that every record must have."""
        system = self._system.columns if self._system else frozenset()
        return system | (self._prompt.columns if self._prompt else frozenset({"messages"}))

    @property
    def optional_columns(self) -> frozenset[str]:
        """The columns that a record may lack, but not a header."""
        return self._overrides.columns | self.media.columns

    def row_name(self, row: Row) -> int:
        """Names a row as it stands in the file, with the state of the files that it names, under these settings."""
        return row_key(self.settings, row.text + self.media.state(row) if self.media.columns else row.text)

    def ask(self, record: Record) -> tuple[BedrockConverseRequest, str]:
        """The request for a record, and the hash that names it.

        Raises:
            TemplateError: a template cannot be rendered with this record, or the prompt is empty.
            RequestValidationError: the row does not hold a request.
        """
        row, prompt = record.fields, self._prompt
        request = self._from_row(row) if prompt is None else self._rendered(prompt, row)
        request = replace(request, request_id=record.id)
        if not self._candidates:
            return request, request_hash(request, self._models, self._schema)
        who = routing_identity(self._candidates, self._routing, [str(name) for name in request.models])
        return request, request_hash(replace(request, models=()), [who], self._schema)

    def check(self, record: Record) -> None:
        """Find out what `ask` would raise, at a fraction of its cost.

        Raises:
            TemplateError: as `ask`.
            RequestValidationError: as `ask`.
        """
        if self._prompt is None:
            self._from_row(record.fields)
        else:
            self._texts(self._prompt, record.fields)
            self._overrides.of(record.fields)
            self.media.blocks(record.fields)

    def _texts(self, prompt: PromptTemplate, row: Mapping[str, Any]) -> tuple[str, str]:
        """The user's and the system's text for a row."""
        text = prompt.render(row)
        system = self._system.render(row) if self._system else ""
        if not text.strip():
            raise TemplateError("The prompt is empty for this record. Correct prompt_template or leave the record out.")
        try:
            text.encode()
            system.encode()
        except UnicodeEncodeError as error:
            raise TemplateError(
                "The record holds half of a surrogate pair, which is no text. Correct its encoding."
            ) from error
        return text, system

    def _rendered(self, prompt: PromptTemplate, row: Mapping[str, Any]) -> BedrockConverseRequest:
        text, system = self._texts(prompt, row)
        override = self._overrides.of(row)
        message = text_message(text)
        message["content"] = [*self.media.blocks(row), *message["content"]]
        return BedrockConverseRequest(
            messages=[message],
            system=self._system_blocks_with(system if override.system is None else override.system),
            inference_config={**self._inference_config, **override.inference_config} or None,
            request_metadata=self._metadata,
            models=override.models,
            **self._shared,
        )

    def _from_row(self, row: Mapping[str, Any]) -> BedrockConverseRequest:
        given = {
            name: _with_bytes(value) for name, value in row.items() if name in _REQUEST_FIELDS and value is not None
        }
        settings = self._shared | given
        settings["inference_config"] = self._inference_config | (given.get("inference_config") or {}) or None
        settings["request_metadata"] = (given.get("request_metadata") or {}) | (self._metadata or {}) or None
        system = self._system.render(row) if self._system else ""
        settings["system"] = [*(self._system_blocks_with(system) or []), *(given.get("system") or [])] or None
        return BedrockConverseRequest.from_dict(settings)

    def _system_blocks_with(self, text: str) -> list[Mapping[str, Any]] | None:
        blocks = [{"text": text}] if text.strip() else []
        return [*blocks, *self._system_blocks] or None


def _without_limit(model: Any) -> Any:
    if isinstance(model, str) or "maxTokens" not in (model.get("inference_config") or {}):
        return model
    settings = {name: value for name, value in model["inference_config"].items() if name != "maxTokens"}
    return {**model, "inference_config": settings}


def request_rows(requests: Iterable[BedrockConverseRequest | Mapping[str, Any]]) -> list[bytes]:
    """Requests, or rows for the template, that were given inline, as lines of requests.jsonl.

    Args:
        requests: requests, or rows; a row without `request_id` gets one from its content.

    Raises:
        RequestValidationError: something that JSON cannot hold.
    """
    lines = []
    seen: dict[str, int] = {}
    for number, request in enumerate(requests):
        row = request.to_dict() if isinstance(request, BedrockConverseRequest) else dict(request)
        try:
            row = _without_bytes(row)
            if not row.get("request_id"):
                first = content_id(row, 1)
                seen[first] = seen.get(first, 0) + 1
                row = {"request_id": content_id(row, seen[first]), **row}
            lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode())
        except (TypeError, ValueError) as error:
            raise RequestValidationError(
                f"requests[{number}] cannot be written as JSON: {error}. Use texts, numbers, lists, dicts and bytes."
            ) from error
    return lines


def _without_bytes(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return {_BYTES: base64.b64encode(value).decode()}
    if hasattr(value, "items"):
        return {key: _without_bytes(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_bytes(item) for item in value]
    return value


def _with_bytes(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_BYTES}:
            return base64.b64decode(value[_BYTES])
        return {key: _with_bytes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    return value
