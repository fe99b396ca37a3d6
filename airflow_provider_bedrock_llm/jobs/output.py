"""The output of a job: one JSON line per record, in the order of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.jobs.intake import SAME_AS
from airflow_provider_bedrock_llm.jobs.journal import PartReader, Place, encode_line
from airflow_provider_bedrock_llm.jobs.record import BadRecord
from airflow_provider_bedrock_llm.jobs.result import bad_row, output_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_bedrock_llm.jobs.intake import Intake
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.journal import Journal

__all__ = ["write_output"]

_LINES_PER_WRITE = 512


def write_output(spec: JobSpec, intake: Intake, journal: Journal, before_it_shows: Callable[[], None]) -> None:
    """Read the source once more and put each record's outcome beside it. Memory does not grow with the records.

    Args:
        spec: the job.
        intake: knows where each outcome is.
        journal: holds the outcomes.
        before_it_shows: called when all is written, before the output replaces an earlier one; may raise.

    Raises:
        OutputError: the output cannot be written, or results cannot be read.
        SourceError: the source is not what it was.
    """
    with spec.output.writer() as stream:
        lines: list[bytes] = []
        for line in _rows(spec, intake, PartReader(journal)):
            lines.append(line)
            if len(lines) == _LINES_PER_WRITE:
                stream.write(b"".join(lines))
                lines.clear()
        stream.write(b"".join(lines))
        before_it_shows()


def _rows(spec: JobSpec, intake: Intake, reader: PartReader) -> Iterator[bytes]:
    count = 0
    for record in intake.records():
        count += 1
        if count > len(intake.places):
            raise intake.changed()
        packed = intake.places[record.index]
        if packed & SAME_AS:
            packed = intake.places[packed ^ SAME_AS]
        if isinstance(record, BadRecord):
            yield encode_line(bad_row(record, spec.keep_columns))
        elif packed:
            yield encode_line(output_row(record, spec.keep_columns, reader.line(Place.unpack(packed))))
        else:
            problem = intake.template_problem(record)
            if problem is None:
                raise intake.changed()
            yield encode_line(bad_row(problem, spec.keep_columns))
    if count != len(intake.places):
        raise intake.changed()
