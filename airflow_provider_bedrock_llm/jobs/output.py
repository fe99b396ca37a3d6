"""The output of a job: one row per record, in the order of the input.

All rows are written as JSON lines first: to the output itself where that is a JSONL file, else to `rows.jsonl` in the
job's folder, from which the output, tables and exports are made, as often as need be and at no cost.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import OutputError
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.jobs.columns import Columns
from airflow_provider_bedrock_llm.jobs.dead_letters import dead_letter, dead_letter_uri
from airflow_provider_bedrock_llm.jobs.intake import SAME_AS
from airflow_provider_bedrock_llm.jobs.journal import PartReader, Place, encode_line
from airflow_provider_bedrock_llm.jobs.output_folder import Spool, partition_path, replace_parts
from airflow_provider_bedrock_llm.jobs.output_format import write_rows
from airflow_provider_bedrock_llm.jobs.record import BadRecord
from airflow_provider_bedrock_llm.jobs.result import OUTPUT_COLUMNS, ROUTING_COLUMNS, bad_row, output_row
from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.jobs.truncation import Truncation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

    from airflow_provider_bedrock_llm.jobs.intake import Intake
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.journal import Journal
    from airflow_provider_bedrock_llm.jobs.record import Record

__all__ = ["columns_of", "read_rows", "write_from_rows", "write_output"]

_LINES_PER_WRITE = 512

_Row = dict[str, "Any"]


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
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(spec.rows_file.writer())
        dead = _dead_letters(spec, stack)
        reader = stack.enter_context(PartReader(journal))
        lines: list[bytes] = []
        for record, row, attempts in _rows(spec, intake, reader):
            lines.append(encode_line(row))
            if dead is not None and row["error"] is not None:
                dead.write(encode_line(dead_letter(record, row, attempts, spec.job_uri)))
            if len(lines) == _LINES_PER_WRITE:
                stream.write(b"".join(lines))
                lines.clear()
        stream.write(b"".join(lines))
        before_it_shows()
    if not spec.rows_are_the_output:
        write_from_rows(spec, before_it_shows)


def read_rows(spec: JobSpec) -> Iterator[_Row]:
    """The rows of a finished job, those without an answer included.

    Raises:
        OutputError: there are none, or they cannot be read.
    """
    place = spec.rows_file
    try:
        with place.open() as lines:
            for line in lines:
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"The rows of the job in {place.uri!r} cannot be read: {type(error).__name__}: {error}. "
            "Run the job to its end, as a task or by `airflow bedrock-llm job resume`: kept answers cost nothing."
        ) from error


def columns_of(spec: JobSpec, rows: Iterable[_Row]) -> Columns:
    """The columns that rows of this job make, learned from all of them."""
    schema = spec.output_schema
    columns = Columns(OutputSchema.of(schema).json_schema if schema is not None else None)
    columns.keep(*(name for name in spec.keep_columns if name not in {"*", "id"}))
    for row in rows:
        columns.note(row)
    return columns


def _dead_letters(spec: JobSpec, stack: contextlib.ExitStack) -> IO[bytes] | None:
    uri = spec.sink.dead_letter_uri
    if uri is None:
        return None
    return stack.enter_context(open_location(dead_letter_uri(uri, spec.shard), "dead_letter_uri").writer())


def write_from_rows(spec: JobSpec, before_it_shows: Callable[[], None]) -> None:
    """Make the output of `spec.rows_file`, where the two differ.

    Args:
        spec: the job.
        before_it_shows: as for `write_output`.

    Raises:
        OutputError: the output cannot be written, or a value does not fit its column.
    """
    columns = columns_of(spec, _shown(spec) if spec.output_format.is_flat else ())
    by = spec.sink.partition_by
    if by:
        _write_partitions(spec, columns, before_it_shows)
    elif spec.output_is_a_folder:

        def write(_: str, stream: IO[bytes]) -> None:
            write_rows(stream, _shown(spec), spec.output_format, columns)

        replace_parts(spec.output, spec.shard, spec.output_format.suffix, [""], write, before_it_shows)
    else:
        with spec.output.writer() as stream:
            write_rows(stream, _shown(spec), spec.output_format, columns)
            before_it_shows()


def _write_partitions(spec: JobSpec, columns: Columns, before_it_shows: Callable[[], None]) -> None:
    by = spec.sink.partition_by
    with Spool() as spool:
        for row in _shown(spec):
            spool.add(partition_path(row, by), encode_line(row))

        def write(partition: str, stream: IO[bytes]) -> None:
            rows = map(json.loads, spool.lines(partition))
            write_rows(stream, rows, spec.output_format, columns, without=by)

        replace_parts(spec.output, spec.shard, spec.output_format.suffix, spool.partitions, write, before_it_shows)


def _shown(spec: JobSpec) -> Iterator[_Row]:
    rows = read_rows(spec)
    return rows if spec.sink.failed_rows == "keep" else (row for row in rows if row["error"] is None)


def _rows(spec: JobSpec, intake: Intake, reader: PartReader) -> Iterator[tuple[Record | BadRecord, _Row, int]]:
    """Each record, its row and how often it was asked."""
    count = 0
    truncation = Truncation(spec.models, spec.truncated)
    columns = (*OUTPUT_COLUMNS, *(ROUTING_COLUMNS if spec.candidates else ()))
    for record in intake.records():
        count += 1
        if count > len(intake.places):
            raise intake.changed()
        packed = intake.places[record.index]
        if packed & SAME_AS:
            packed = intake.places[packed ^ SAME_AS]
        if isinstance(record, BadRecord):
            yield record, bad_row(record, spec.keep_columns, columns), 0
        elif packed:
            line = truncation.outcome(reader.line(Place.unpack(packed)))
            yield record, output_row(record, spec.keep_columns, line, columns), len(line.get("calls") or (None,))
        else:
            problem = intake.template_problem(record)
            if problem is None:
                raise intake.changed()
            yield record, bad_row(problem, spec.keep_columns, columns), 0
    if count != len(intake.places):
        raise intake.changed()
