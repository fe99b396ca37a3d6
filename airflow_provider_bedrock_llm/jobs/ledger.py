"""What was paid for already: read back from the journal, in a few microseconds and some 40 bytes a record."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.jobs.hash_table import HashTable, hash_key
from airflow_provider_bedrock_llm.jobs.journal import Place
from airflow_provider_bedrock_llm.jobs.tally import Tally
from airflow_provider_bedrock_llm.jobs.truncation import covers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_bedrock_llm.jobs.journal import Journal

__all__ = ["Ledger", "ledger_key", "read_ledger", "row_key"]

_SIMPLE_LINE = re.compile(
    rb'\{"hash":"([0-9a-f]{32})","key":"([0-9a-f]{16})","row":"([0-9a-f]{16})",'
    rb'"usage":\[(\d+),(\d+),(\d+),(\d+)\],"cost_usd":(null|[-+.0-9e]+),'
    rb'"model":"([^"\\]*)","region":"([^"\\]*)",'
)
"""An answer that came at the first call: nearly every line begins so, and is counted without parsing the answer."""

_NEEDED = ("hash", "key", "row", "usage", "id")


class Ledger:
    """Finds the answer to a request, or to a row that has not changed at all.

    Args:
        dedupe: whether records share the answers of equal requests.
        expected: how many answers there may be, where that is known.
    """

    def __init__(self, *, dedupe: bool, expected: int = 0) -> None:
        self._dedupe = dedupe
        self._by_request = HashTable(expected)
        self._by_row = HashTable(expected)
        self.failed_in_batch: set[int] = set()
        """Records, by the key in their lines, that a batch job was asked for and did not answer."""
        self._truncated: dict[tuple[int | None, bool], HashTable] = {}

    def put(self, request_hash: bytes, key: bytes, row: bytes, place: int) -> None:
        """Note where an answer is. A later one takes the place of an earlier one."""
        self._by_request.put(int(request_hash[:16] if self._dedupe else key, 16), place)
        self._by_row.put(int(row, 16), place)

    def put_truncated(self, line: Mapping[str, Any], place: int) -> None:
        """Note where an answer is that was cut off at maxTokens. It counts for as long as it would be cut again."""
        key = int(line["hash"][:16] if self._dedupe else line["key"], 16)
        self._truncated.setdefault((line["max_tokens"], "error" in line), HashTable()).put(key, place)

    def truncated_answer(self, key: int, limit: int | None) -> tuple[int, bool] | None:
        """Where an answer to a request is that was cut off, and would be again, and whether it was rejected for that.

        Args:
            key: the request's `ledger_key`.
            limit: of tokens, as it holds now.
        """
        for (cut_at, is_rejected), table in self._truncated.items():
            place = table.get(key) if covers(cut_at, limit) else None
            if place is not None:
                return place, is_rejected
        return None

    def answer_of_request(self, key: int) -> int | None:
        """Where the answer to a request is (`Place.pack`), by its `ledger_key`."""
        return self._by_request.get(key)

    def answer_of_row(self, row: int) -> int | None:
        """Where the answer to a row is, by its `row_key`."""
        return self._by_row.get(row)

    def __len__(self) -> int:
        """How many different requests have an answer, truncated ones included."""
        return len(self._by_request) + sum(map(len, self._truncated.values()))


def ledger_key(request_hash: str, record_id: str, *, dedupe: bool) -> int:
    """Under what an answer is found again: its request, and its record unless records share answers."""
    return int(request_hash[:16], 16) if dedupe else hash_key(request_hash, record_id)


def row_key(settings: str, text: str) -> int:
    """Names a row as it stands in the file, under settings of the job."""
    return hash_key(settings, text)


def read_ledger(journal: Journal, count: int, tally: Tally, *, dedupe: bool, expected: int = 0) -> Ledger:
    """Read the first parts of a journal.

    Args:
        journal: of the job.
        count: how many parts.
        tally: tokens, money and calls are added to it: they were spent, whether or not the answers are of use. What
            other runs of the task spent is not.
        dedupe: as for `Ledger`.
        expected: as for `Ledger`.

    Raises:
        OutputError: a part cannot be read.
    """
    ledger = Ledger(dedupe=dedupe, expected=expected)
    for number, data in journal.read_parts(count):
        _read_part(number, data, ledger, Tally() if journal.is_carried(journal.parts[number]) else tally)
    return ledger


def _read_part(number: int, data: bytes, ledger: Ledger, tally: Tally) -> None:
    """Take every whole line. What is torn, or is no result, counts as never written."""
    simple: dict[tuple[bytes, bytes], list[float]] = {}
    offset = 0
    while (end := data.find(b"\n", offset)) >= 0:
        place = Place(number, offset).pack()
        if match := _SIMPLE_LINE.match(data, offset, end):
            request_hash, key, row, *spent, cost, model, region = match.groups()
            ledger.put(request_hash, key, row, place)
            sums = simple.setdefault((model, region), [0, 0, 0, 0, 0, 0.0, 0])
            sums[0] += 1
            for column, tokens in enumerate(spent, 1):
                sums[column] += int(tokens)
            if cost == b"null":
                sums[6] += 1
            else:
                sums[5] += float(cost)
        elif line := _parsed(data[offset:end]):
            tally.spend(line)
            if "max_tokens" in line:
                ledger.put_truncated(line, place)
            elif "error" not in line:
                ledger.put(line["hash"].encode(), line["key"].encode(), line["row"].encode(), place)
            elif "batch" in line:
                ledger.failed_in_batch.add(int(line["key"], 16))
        offset = end + 1
    for (model, region), (calls, *tokens, cost_usd, unpriced) in simple.items():
        route = f"{model.decode()} in {region.decode()}"
        tally.spend_simply(route, int(calls), [int(count) for count in tokens], cost_usd, int(unpriced))


def _parsed(data: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(data)
    except ValueError:
        return None
    return line if isinstance(line, dict) and all(name in line for name in _NEEDED) else None
