"""The journal and the ledger: what was written is found again, and nothing else is."""

import asyncio
import hashlib
import threading
from collections import Counter
from dataclasses import replace

import pytest
from harness.job_engine import COST_USD, answered, refused
from harness.job_folder import until
from harness.memory_location import MemoryStore
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.errors import LeaseLostError, OutputError
from airflow_provider_bedrock_llm.core.response import RequestAttempt, Usage
from airflow_provider_bedrock_llm.jobs.journal import Journal, PartReader, Place
from airflow_provider_bedrock_llm.jobs.keeper import Keeper, Pace
from airflow_provider_bedrock_llm.jobs.lease import take_lease
from airflow_provider_bedrock_llm.jobs.ledger import ledger_key, read_ledger, row_key
from airflow_provider_bedrock_llm.jobs.record import Asked
from airflow_provider_bedrock_llm.jobs.result import journal_line
from airflow_provider_bedrock_llm.jobs.tally import Tally


def asked_of(number, version="v1"):
    request_hash = hashlib.sha256(f"{number}-{version}".encode()).hexdigest()[:32]
    key = ledger_key(request_hash, f"r{number}", dedupe=False)
    return Asked(number, f"r{number}", request_hash, key, row_key("settings", f"{number}-{version}"))


def open_journal(store):
    folder = store.at("job")
    names = Journal.list_parts(folder)
    lease = take_lease(folder, {}, map(Journal.epoch_of, names))
    return Journal(folder, lease, names), lease, len(names)


def write_all(journal):
    part = journal.cut()
    if part is not None:
        journal.write(part)


def ledger_of(store, *, dedupe=False):
    journal, _, count = open_journal(store)
    tally = Tally()
    return read_ledger(journal, count, tally, dedupe=dedupe), tally, journal


def test_an_answer_is_found_by_its_request_and_by_its_row():
    store = MemoryStore()
    journal, _, _ = open_journal(store)
    place = journal.add(journal_line(asked_of(1), answered("yes")))
    write_all(journal)

    ledger, _, journal = ledger_of(store)

    assert ledger.answer_of_request(asked_of(1).key) == ledger.answer_of_row(asked_of(1).row) == place.pack()
    assert PartReader(journal).line(place)["answer"] == "yes"
    assert ledger.answer_of_request(asked_of(1, "v2").key) is None


def test_with_dedupe_an_answer_is_found_whichever_record_it_was_for():
    store = MemoryStore()
    journal, _, _ = open_journal(store)
    journal.add(journal_line(asked_of(1), answered("yes")))
    write_all(journal)
    other = ledger_key(asked_of(1).hash, "another", dedupe=True)

    assert ledger_of(store, dedupe=True)[0].answer_of_request(other) is not None
    assert ledger_of(store)[0].answer_of_request(other) is None


def test_failures_are_counted_and_not_found():
    store = MemoryStore()
    journal, _, _ = open_journal(store)
    journal.add(journal_line(asked_of(1), refused()))
    write_all(journal)

    ledger, tally, _ = ledger_of(store)

    assert len(ledger) == 0
    assert tally.throttled == 1


ODD_TEXTS = st.text() | st.sampled_from(['{"hash":"', "\n", "\r\n", "\u2028", "\x00", "\ud83d"])


def responses():
    failed = RequestAttempt("m", "m-1", "eu-west-1", "direct", 0.1, fault="throttled")
    costs = st.none() | st.floats(0, 10)
    texts = st.builds(lambda text, cost: answered(text, cost_usd=cost), ODD_TEXTS, costs)
    retried = texts.map(lambda r: replace(r, attempts=(failed, *r.attempts)))
    features = st.lists(st.sampled_from(["cachePoint", "serviceTier"]), min_size=1, max_size=2, unique=True)
    poorer = st.builds(lambda r, dropped: replace(r, features_disabled=tuple(dropped)), texts | retried, features)
    return (
        texts
        | retried
        | poorer
        | st.just(refused())
        | st.builds(lambda v: answered("{}", v), st.dictionaries(ODD_TEXTS, ODD_TEXTS))
    )


@given(st.lists(st.tuples(responses(), st.booleans()), max_size=12))
def test_what_is_counted_live_and_what_is_read_back_agree(given_responses):
    store, live = MemoryStore(), Tally()
    journal, _, _ = open_journal(store)
    for number, (response, cuts) in enumerate(given_responses):
        line = journal_line(asked_of(number), response)
        live.spend(line)
        journal.add(line)
        if cuts:
            write_all(journal)
    write_all(journal)

    ledger, again, journal = ledger_of(store)

    dropped = Counter(feature for response, _ in given_responses for feature in response.features_disabled)
    assert live.money["features_disabled"] == dropped
    expected = live.money
    for money in (expected, *expected["routes"].values()):
        money["cost_usd"] = None if money["cost_usd"] is None else pytest.approx(money["cost_usd"], abs=2e-9)
    expected["known_cost_usd"] = pytest.approx(expected["known_cost_usd"], abs=2e-9)
    assert again.money == expected
    reader = PartReader(journal)
    for number, (response, _) in enumerate(given_responses):
        place = ledger.answer_of_request(asked_of(number).key)
        assert (place is not None) == response.success
        if place is not None:
            found = reader.line(Place.unpack(place))
            value = response.structured_output
            assert found["answer"] == (response.get_content() if value is None else value)


@given(st.integers(0, 2**23 - 1), st.integers(0, 2**40 - 2))
def test_a_place_fits_into_one_number_above_zero(part, offset):
    packed = Place(part, offset).pack()

    assert Place.unpack(packed) == (part, offset)
    assert 0 < packed < 2**63


def test_a_damaged_part_says_what_to_delete():
    store = MemoryStore()
    journal, _, _ = open_journal(store)
    place = journal.add(journal_line(asked_of(1), answered("yes")))
    write_all(journal)
    name = journal.parts[place.part]
    store.files[f"job/results/{name}"] = store.files[f"job/results/{name}"].replace(b'"yes"}', b'"y')

    with pytest.raises(OutputError, match=rf"{name}' are damaged at byte 0\. Delete that file"):
        PartReader(journal).line(place)


class WatchedJournal(Journal):
    """Notes which parts are read; where a barrier is set, none of parts 1 to 4 is read before all are asked for."""

    def __init__(self, store, line_bytes, count):
        folder = store.at("job")
        super().__init__(folder, take_lease(folder, {}), [])
        self.read = []
        self.barrier = None
        self.places = []
        for _ in range(count):
            self.places.append(self.add({"text": "x" * line_bytes}))
            write_all(self)

    def read_part(self, number):
        self.read.append(number)
        if self.barrier is not None and number in range(1, 5):
            self.barrier.wait(timeout=30)
        return super().read_part(number)


def test_small_parts_are_read_several_at_once_and_each_once():
    journal = WatchedJournal(MemoryStore(), 10, 40)
    journal.barrier = threading.Barrier(4)

    with PartReader(journal) as reader:
        assert all(reader.line(place)["text"] == "x" * 10 for place in journal.places)
    assert sorted(journal.read) == list(range(40))

    assert [number for number, _ in journal.read_parts(40)] == list(range(40))
    assert sorted(journal.read) == sorted([*range(40), *range(40)])


def test_large_parts_and_parts_out_of_order_are_read_when_they_are_wanted():
    large = WatchedJournal(MemoryStore(), 3 * 1024 * 1024, 3)
    with PartReader(large) as reader:
        reader.line(large.places[0])
        reader.line(large.places[1])
    assert large.read == [0, 1]

    small = WatchedJournal(MemoryStore(), 10, 40)
    backwards = small.places[::-1]
    with PartReader(small) as reader:
        assert all(reader.line(place) for place in backwards)
    assert small.read == list(range(39, -1, -1))


def test_usage_of_all_attempts_is_paid_for():
    rejected = RequestAttempt(
        "m", "m-1", "eu-west-1", "direct", 0.1, fault="invalid_answer", usage=Usage(7, 3), cost_usd=0.5
    )
    response = answered("x")
    response = replace(response, attempts=(rejected, *response.attempts), cost_usd=0.5 + COST_USD)
    tally = Tally()

    tally.spend(journal_line(asked_of(1), response))

    assert tally.tokens[:2] == [17, 8]
    assert tally.money["routes"]["m-1 in eu-west-1"]["cost_usd"] == 0.5


class AwayForAWhile:
    """A lease on a storage that does not say, for so many looks."""

    def __init__(self, lease, looks):
        self._lease = lease
        self.looks = looks

    def check(self):
        if self.looks:
            self.looks -= 1
            raise OutputError("The store is away. Wait.")
        self._lease.check()


class TestKeeper:
    PACE = Pace(flush_seconds=0.01, patience_seconds=0.3)

    async def keep(self, keeper):
        async def tell():
            pass

        return asyncio.create_task(keeper.run(tell))

    async def test_a_full_disk_that_gets_room_again_loses_nothing(self):
        store = MemoryStore()
        journal, lease, _ = open_journal(store)
        keeper = Keeper(journal, lease, replace(self.PACE, patience_seconds=30))
        store.free_bytes = 0
        keeping = await self.keep(keeper)
        journal.add(journal_line(asked_of(1), answered("one")))
        await until(lambda: not keeper.writable.is_set())
        journal.add(journal_line(asked_of(2), answered("two")))
        store.free_bytes = None

        await asyncio.wait_for(keeper.writable.wait(), 60)
        keeper.end()
        await keeping
        await keeper.flush()

        assert len(ledger_of(store)[0]) == 2

    async def test_a_lease_that_cannot_be_looked_at_for_a_while_loses_nothing(self):
        store = MemoryStore()
        journal, lease, _ = open_journal(store)
        lease = AwayForAWhile(lease, looks=3)
        keeper = Keeper(journal, lease, replace(self.PACE, patience_seconds=30))
        keeping = await self.keep(keeper)
        await until(lambda: lease.looks == 0)
        await asyncio.wait_for(keeper.writable.wait(), 60)
        keeper.end()
        await keeping

    async def test_a_disk_that_stays_full_ends_the_run(self):
        store = MemoryStore()
        journal, lease, _ = open_journal(store)
        keeper = Keeper(journal, lease, self.PACE)
        store.free_bytes = 0
        journal.add(journal_line(asked_of(1), answered("one")))

        with pytest.raises(OutputError, match="No space left on device"):
            await (await self.keep(keeper))

    async def test_a_lost_lease_ends_the_run_after_what_was_paid_is_written(self):
        store = MemoryStore()
        journal, lease, _ = open_journal(store)
        keeper = Keeper(journal, lease, self.PACE)
        journal.add(journal_line(asked_of(1), answered("one")))
        take_lease(store.at("job"), {})

        with pytest.raises(LeaseLostError):
            await keeper.flush()

        assert len(ledger_of(store)[0]) == 1
