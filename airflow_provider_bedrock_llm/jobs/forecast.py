"""What a job will take, from its source and its journal: read before anything is asked, and nothing is written."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.errors import RequestValidationError, TemplateError
from airflow_provider_bedrock_llm.core.estimate import (
    Estimate,
    OutputLength,
    PromptSample,
    estimate_run,
    request_text_tokens,
    text_tokens,
)
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.jobs.intake import Intake
from airflow_provider_bedrock_llm.jobs.journal import Journal
from airflow_provider_bedrock_llm.jobs.lease import Lease
from airflow_provider_bedrock_llm.jobs.ledger import read_ledger
from airflow_provider_bedrock_llm.jobs.question import Questions
from airflow_provider_bedrock_llm.jobs.record import Record
from airflow_provider_bedrock_llm.jobs.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_provider_bedrock_llm.core.pricing import Prices
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.jobs.job import JobSpec

__all__ = ["forecast"]

_SAMPLED = 1_000
_COUNTED = 20
_REQUESTS_PER_LOOK = 256
_ROWS_PER_LOOK = 4096


def forecast(
    spec: JobSpec,
    prices: Sequence[Prices | None],
    count_tokens: Callable[[BedrockConverseRequest], int] | None = None,
) -> Estimate:
    """Estimate what a job will take. Blocks for as long as it takes to read the source.

    Every row is looked up where answers may be reused or shared, which costs some 25 microseconds each; otherwise
    rows are counted, and about a thousand of them looked at.

    Args:
        spec: the job.
        prices: of its routes, best first.
        count_tokens: Bedrock's CountTokens, for a sample of twenty; None for the heuristic alone.

    Raises:
        SourceError: the source cannot be read, or has not one record that can be asked.
        TemplateError: the template takes not one record.
        OutputError: the journal cannot be read.
    """
    tally = Tally()
    parts = Journal.list_parts(spec.folder)
    ledger = read_ledger(Journal(spec.folder, Lease(spec.folder, 0), parts), len(parts), tally, dedupe=spec.dedupe)
    questions = Questions(spec)
    intake = Intake(spec, questions, ledger)
    rows = sum(1 for _ in spec.source.rows())
    intake.expect(rows)
    sample = _Sample()
    reused, asked = 0, rows
    if len(ledger) or spec.dedupe:
        reused, asked = _look_through(intake, sample)
    else:
        stride = max(1, rows // _SAMPLED)
        for request in _rendered(islice(intake.records(), 0, None, stride), questions):
            sample.add(request)
    if rows > reused and sample.is_empty:
        intake.check(lambda: True)  # it says what is wrong with all of them
    return estimate_run(
        rows,
        reused,
        asked,
        sample.prompts(count_tokens),
        OutputLength(_max_tokens(spec), 0.0 if spec.operation == "embed" else _mean_answer_tokens(tally)),
        prices,
        extra_input_tokens=_schema_tokens(spec),
        tier=(spec.request.get("service_tier") or {}).get("type"),
    )


def _look_through(intake: Intake, sample: _Sample) -> tuple[int, int]:
    """How many records have an answer, and how many requests are left."""
    reused = asked = 0
    ended = False
    while not ended:
        batch = intake.next(_REQUESTS_PER_LOOK, _ROWS_PER_LOOK)
        ended = batch.ended
        reused += batch.reused + batch.truncated
        asked += len(batch.requests)
        for request in batch.requests:
            sample.add(request)
    return reused, asked


def _rendered(records: Iterator[object], questions: Questions) -> Iterator[BedrockConverseRequest]:
    for record in records:
        if isinstance(record, Record):
            try:
                yield questions.ask(record)[0]
            except (TemplateError, RequestValidationError):
                continue  # the run itself says what is wrong with it


class _Sample:
    """Requests at even distances: whenever there are twice too many, every second one is forgotten."""

    def __init__(self) -> None:
        self._stride = 1
        self._seen = 0
        self._shapes: list[tuple[float, int, int]] = []
        self._requests: list[BedrockConverseRequest] = []

    @property
    def is_empty(self) -> bool:
        return not self._shapes

    def add(self, request: BedrockConverseRequest) -> None:
        if self._seen % self._stride == 0:
            self._shapes.append(request_text_tokens(request))
            if len(self._requests) < _COUNTED:
                self._requests.append(request)
        self._seen += 1
        if len(self._shapes) >= 2 * _SAMPLED:
            self._shapes = [*self._shapes[:_COUNTED], *self._shapes[_COUNTED::2]]
            self._stride *= 2

    def prompts(self, count_tokens: Callable[[BedrockConverseRequest], int] | None) -> PromptSample:
        characters = sum(shape[1] for shape in self._shapes)
        return PromptSample(
            tokens=tuple(shape[0] for shape in self._shapes),
            ascii_share=sum(shape[2] for shape in self._shapes) / characters if characters else 1.0,
            counted_tokens=tuple(map(count_tokens, self._requests)) if count_tokens else (),
        )


def _max_tokens(spec: JobSpec) -> int | None:
    own = [model.get("inference_config") or {} for model in spec.models if not isinstance(model, str)]
    settings = [*own, spec.inference_config or {}]
    return next((setting["maxTokens"] for setting in settings if setting.get("maxTokens")), None)


def _mean_answer_tokens(tally: Tally) -> float | None:
    """Of the answers that the journal has; None where it has none."""
    answers = sum(route.succeeded for route in tally.routes.values())
    return tally.tokens[1] / answers if answers else None


def _schema_tokens(spec: JobSpec) -> float:
    if spec.output_schema is None:
        return 0.0
    return text_tokens(json.dumps(dict(OutputSchema.of(spec.output_schema).json_schema)))
