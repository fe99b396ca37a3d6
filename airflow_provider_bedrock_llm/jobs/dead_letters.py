"""The rows without an answer, each as it stood in the input, with the cause: a file to look into and to ask again.

A line holds the row's columns as they were and, under `_dead_letter`, its `id`, the `cause` (a short name), the
`message`, how many `attempts` were made, and the `job_uri`. So the file is a `source` like any other, and
`retry_dead_letters` finds the job in it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import SourceError
from airflow_provider_bedrock_llm.jobs.manifest import MANIFEST_FILE
from airflow_provider_bedrock_llm.jobs.storage import open_location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_bedrock_llm.jobs.record import BadRecord, Record
    from airflow_provider_bedrock_llm.jobs.shard import Shard

__all__ = ["DEAD_LETTER", "dead_letter", "dead_letter_uri", "job_of_dead_letters"]

DEAD_LETTER = "_dead_letter"
"""The column that says why."""


def dead_letter(record: Record | BadRecord, row: Mapping[str, Any], attempts: int, job_uri: str) -> dict[str, Any]:
    """A row without an answer, as the file has it.

    Args:
        record: the row of the input.
        row: the row of the output.
        attempts: calls that were made for it.
        job_uri: the job's folder.
    """
    why = {"id": row["id"], **row["error"], "attempts": attempts, "job_uri": job_uri}
    return {**record.fields, DEAD_LETTER: why}


def dead_letter_uri(uri: str, shard: Shard | None) -> str:
    """The file of a shard: `failed.jsonl` becomes `failed-0001-of-0003.jsonl`."""
    if shard is None:
        return uri
    folder, slash, name = uri.rpartition("/")
    stem, dot, suffix = name.partition(".")
    return f"{folder}{slash}{stem}-{shard.name}{dot}{suffix}"


def job_of_dead_letters(uri: str) -> str:
    """The job to go on with.

    Args:
        uri: of a job's folder, or of its dead letters.

    Raises:
        SourceError: it is neither, or there are no dead letters in it.
    """
    place = open_location(uri, "retry_dead_letters")
    if place.child(MANIFEST_FILE).exists():
        return uri
    try:
        with place.open() as lines:
            first = lines.readline()
        return str(json.loads(first)[DEAD_LETTER]["job_uri"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"retry_dead_letters={uri!r} is neither the folder of a job nor a file with dead letters. Give the job_uri "
            "that the task's log and XCom name, or the dead_letter_uri of a job with failed rows."
        ) from error
