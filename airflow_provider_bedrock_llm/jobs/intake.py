"""What is still to be asked: walks the source in order, takes what the journal has, and makes requests of the rest."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.errors import ContentError, RequestValidationError, SourceError, TemplateError
from airflow_provider_bedrock_llm.jobs.hash_table import HashSet, HashTable, hash_key
from airflow_provider_bedrock_llm.jobs.ledger import ledger_key
from airflow_provider_bedrock_llm.jobs.record import Asked, BadRecord, Record
from airflow_provider_bedrock_llm.jobs.record_reader import RecordReader
from airflow_provider_bedrock_llm.jobs.truncation import Truncation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.ledger import Ledger
    from airflow_provider_bedrock_llm.jobs.question import Questions
    from airflow_provider_bedrock_llm.jobs.row import Row

__all__ = ["SAME_AS", "Batch", "Intake", "spec_fingerprint"]

_SHOWN_PROBLEMS = 5
_ROWS_PER_LOOK = 4096
_END: tuple[int, None] = (-1, None)

SAME_AS = 1 << 63
"""In `Intake.places`: this record has the outcome of another one, whose index the other bits tell."""


@dataclass(slots=True)
class Batch:
    """What one look into the source gave.

    Args:
        requests: to be asked.
        asked: the records that they are for, in the same order.
        reused: how many records have an answer in the journal.
        truncated: how many have one there that was cut off at maxTokens, and count as failed.
        skipped: rows that cannot be asked.
        followed: for each record that asks the very same as an earlier one, the index of that one.
        ended: whether the source is through.
    """

    requests: list[BedrockConverseRequest] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    reused: int = 0
    truncated: int = 0
    skipped: list[BadRecord] = field(default_factory=list)
    followed: list[int] = field(default_factory=list)
    ended: bool = False


class Intake:
    """Reads the source of one run. For one thread at a time.

    Args:
        spec: the job.
        questions: makes its requests.
        ledger: knows which answers the journal has.
    """

    def __init__(self, spec: JobSpec, questions: Questions, ledger: Ledger) -> None:
        self._spec = spec
        self._source = spec.source
        self._questions = questions
        self._ledger = ledger
        self._truncation = Truncation(spec.models, spec.truncated)
        self._repeated: set[int] = set()
        self._first_asker = HashTable()
        self._walk: Iterator[tuple[int, Row]] | None = None
        self._reader = self._new_reader()
        self.places = array("Q")
        """Per record where its outcome is (`Place.pack`), 0 while it has none, or `SAME_AS` another's."""

    def check(self, is_wanted: Callable[[], bool]) -> bool:
        """Read the source through before anything is spent.

        Args:
            is_wanted: asked now and then; False ends the check early.

        Returns:
            Whether it came to its end.

        Raises:
            SourceError: it is missing or empty, or a row is bad and `on_bad_record` is `fail`.
            TemplateError: a record does not fit the template and `on_bad_record` is `fail`.
        """
        self._check_header()
        reader, ids = self._new_reader(), HashSet()
        problems: list[BadRecord] = []
        bad = total = 0
        for index, row in enumerate(self._questions.media.ahead(self._source.rows())):
            total += 1
            if total % _ROWS_PER_LOOK == 0 and not is_wanted():
                return False
            problem = self._problem(reader.read(index, row), row, ids)
            if problem is not None:
                bad += 1
                if problem.cause == "duplicate_id":
                    self._repeated.add(index)
                if len(problems) < _SHOWN_PROBLEMS:
                    problems.append(problem)
        if total == 0 and self._spec.shard is None and not self._spec.reads_query:
            raise SourceError(
                f"The source {self._source.location.uri!r} is empty. Check `source`, and the task that writes it."
            )
        if bad and self._spec.on_bad_record == "fail":
            self._refuse(problems, bad, total)
        del reader, ids  # their memory is for the places
        self.expect(total)
        return True

    def expect(self, total: int) -> None:
        """Take it as read that the source has so many records and no bad ones among them."""
        self.places = array("Q", (0,)) * total

    def records(self) -> Iterator[Record | BadRecord]:
        """Every row, from the start, with repeated ids told apart as far as `check` has seen them."""
        reader = self._new_reader()
        for index, row in enumerate(self._source.rows()):
            yield self._told_apart(reader.read(index, row))

    def next(self, most_requests: int, most_rows: int) -> Batch:
        """Look further into the source.

        Args:
            most_requests: ends the look.
            most_rows: ends it too, so that a long stretch of reused records is no long silence.

        Raises:
            SourceError: the source cannot be read on, or is not what it was.
        """
        if self._walk is None:
            self._walk = enumerate(self._questions.media.ahead(self._source.rows()))
        batch = Batch()
        for _ in range(most_rows):
            index, row = next(self._walk, _END)
            if row is None:
                batch.ended = True
                self._reader, self._first_asker = self._new_reader(), HashTable()  # all rows are told apart
                break
            if index >= len(self.places):
                raise self.changed()
            self._look_up(index, row, batch)
            if len(batch.requests) >= most_requests:
                break
        return batch

    def changed(self) -> SourceError:
        """The error for a source that changes under the job."""
        return SourceError(
            f"The source {self._source.location.uri!r} changed while the job ran. "
            "Run the task again: only what changed is asked and paid."
        )

    def _look_up(self, index: int, row: Row, batch: Batch) -> None:
        row_name = self._questions.row_name(row)
        place = self._answer_of_row(index, row_name)
        if place is not None:
            self.places[index] = place
            batch.reused += 1
            return
        record = self._told_apart(self._reader.read(index, row))
        if isinstance(record, BadRecord):
            batch.skipped.append(record)
            return
        try:
            request, request_hash = self._questions.ask(record)
        except (TemplateError, RequestValidationError) as error:
            batch.skipped.append(_unfit(record, error))
            return
        key = ledger_key(request_hash, record.id, dedupe=self._spec.dedupe)
        place = self._ledger.answer_of_request(key)
        if place is not None:
            self.places[index] = place
            batch.reused += 1
            return
        limit = self._truncation.limit_of(request)
        again = self._truncation.again_tokens(limit)
        if self._is_cut_for_good(index, key, again or limit, batch):
            return
        cut_before = None if again is None else self._ledger.truncated_answer(key, limit)
        if again is not None and cut_before is not None:
            request, limit = self._truncation.with_limit(request, again), again
        if self._spec.dedupe:
            same = hash_key(request_hash, str(limit))
            first = self._first_asker.get(same)
            if first is not None:
                self.places[index] = SAME_AS | first
                batch.followed.append(first)
                return
            self._first_asker.put(same, index)
        record_key = key if not self._spec.dedupe else ledger_key(request_hash, record.id, dedupe=False)
        cut_place = cut_before[0] if cut_before is not None and not cut_before[1] else 0
        batch.requests.append(request)
        batch.asked.append(Asked(index, record.id, request_hash, record_key, row_name, limit, cut_place))

    def _is_cut_for_good(self, index: int, key: int, limit: int | None, batch: Batch) -> bool:
        """Whether the journal has an answer that was cut off and that no limit of this run makes whole."""
        found = self._ledger.truncated_answer(key, limit)
        if found is None:
            return False
        self.places[index], is_rejected = found
        if is_rejected or self._truncation.fails:
            batch.truncated += 1
        else:
            batch.reused += 1
        return True

    def _answer_of_row(self, index: int, row_name: int) -> int | None:
        """Rows that are named by their content are told apart by counting, so each of them must be looked into."""
        if not self._spec.id_columns or index in self._repeated:
            return None
        return self._ledger.answer_of_row(row_name)

    def _new_reader(self) -> RecordReader:
        return RecordReader(self._spec.id_columns, self._questions.columns)

    def _told_apart(self, record: Record | BadRecord) -> Record | BadRecord:
        return _repeats(record) if record.index in self._repeated and isinstance(record, Record) else record

    def template_problem(self, record: Record) -> BadRecord | None:
        """What is wrong with a record that the template does not take."""
        try:
            self._questions.check(record)
        except (TemplateError, RequestValidationError) as error:
            return _unfit(record, error)
        return None

    def _problem(self, record: Record | BadRecord, row: Row, ids: HashSet) -> BadRecord | None:
        if isinstance(record, BadRecord):
            return record
        if self._spec.id_columns and not ids.add(hash_key(record.id)):
            return _repeats(record)
        if self._ledger.answer_of_row(self._questions.row_name(row)) is not None:
            return None
        return self.template_problem(record)

    def _check_header(self) -> None:
        header = self._source.header()
        if header is None or not header:
            return
        wanted = {*self._spec.id_columns, *self._questions.columns, *self._spec.keep_columns} - {"*"}
        wanted |= self._questions.optional_columns
        missing = sorted(wanted - set(header))
        if missing:
            raise SourceError(
                f"The source {self._source.location.uri!r} lacks the column {missing[0]!r}, which id_columns, "
                f"keep_columns, a template or another setting names. It has: {', '.join(header)}."
            )

    def _refuse(self, problems: list[BadRecord], bad: int, total: int) -> None:
        shown = "; ".join(problem.problem for problem in problems)
        kind = TemplateError if problems[0].cause in {"template", "missing_column"} else SourceError
        raise kind(
            f"{bad} of {total} records of {self._source.location.uri!r} cannot be asked: {shown}"
            f"{' ...' if bad > len(problems) else ''}. Correct them, or set on_bad_record='skip' to report them in the "
            "output and go on; nothing was spent."
        )


def _repeats(record: Record) -> BadRecord:
    problem = f"{record.place} has the id {record.id!r}, which an earlier {record.origin.unit} has too"
    return BadRecord(record.index, None, record.fields, record.line, "duplicate_id", problem)


def _unfit(record: Record, error: Exception) -> BadRecord:
    problem = f"{record.place}: {error}"
    cause = "content" if isinstance(error, ContentError) else "template"
    return BadRecord(record.index, record.id, record.fields, record.line, cause, problem)


def spec_fingerprint(spec: JobSpec) -> str:
    """Changes when the description of the job or its source changes.

    Raises:
        SourceError: there is no such source.
    """
    return hashlib.sha256(spec.to_json() + spec.source.fingerprint().encode()).hexdigest()[:32]
