"""Any interleaving of runners, crashes, takeovers and changes of the input ends with an exact result.

Runners are stepped by hand over a storage in memory: what a real one does between two points where it may die.
"""

from dataclasses import dataclass, field

from harness.job_engine import answered, refused
from harness.memory_location import MemoryStore
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from airflow_provider_bedrock_llm.core.errors import LeaseLostError
from airflow_provider_bedrock_llm.jobs.journal import Journal, PartReader, Place
from airflow_provider_bedrock_llm.jobs.lease import Lease, take_lease
from airflow_provider_bedrock_llm.jobs.ledger import Ledger, ledger_key, read_ledger, row_key
from airflow_provider_bedrock_llm.jobs.record import Asked
from airflow_provider_bedrock_llm.jobs.result import journal_line
from airflow_provider_bedrock_llm.jobs.tally import Tally


def asked_of(number, text):
    request_hash = text.encode().hex().rjust(32, "0")[-32:]
    record_id = f"r{number}"
    key = ledger_key(request_hash, record_id, dedupe=False)
    return Asked(number, record_id, request_hash, key, row_key("s", f"{record_id} {text}"))


@dataclass
class Runner:
    """What one process knows."""

    journal: Journal
    lease: Lease
    ledger: Ledger
    answered: dict[str, Place] = field(default_factory=dict)
    in_buffer: set[int] = field(default_factory=set)

    @classmethod
    def start(cls, store):
        folder = store.at("job")
        lease = take_lease(folder, {}, map(Journal.epoch_of, Journal.list_parts(folder)))
        names = Journal.list_parts(folder)
        journal = Journal(folder, lease, names)
        return cls(journal, lease, read_ledger(journal, len(names), Tally(), dedupe=False))


class Jobs(RuleBasedStateMachine):
    """`rows` is the input; `safe` are the requests whose answer was ever brought to storage."""

    @initialize(count=st.integers(1, 6))
    def start(self, count):
        self.store = MemoryStore()
        self.rows = {number: f"text{number}" for number in range(count)}
        self.safe = set()
        self.runners = [Runner.start(self.store)]

    @rule()
    def start_another(self):
        self.runners.append(Runner.start(self.store))

    @rule(draw=st.data())
    def ask(self, draw):
        """Any runner that lives, fenced off or not, asks something that it does not know the answer of."""
        if not self.runners:
            return
        runner = draw.draw(st.sampled_from(self.runners))
        missing = [
            asked
            for number, text in self.rows.items()
            if (asked := asked_of(number, text)).hash not in runner.answered
            and runner.ledger.answer_of_request(asked.key) is None
        ]
        if not missing:
            return
        asked = draw.draw(st.sampled_from(missing))
        if draw.draw(st.booleans()):
            runner.answered[asked.hash] = runner.journal.add(journal_line(asked, answered(asked.hash)))
            runner.in_buffer.add(asked.key)
        else:
            runner.journal.add(journal_line(asked, refused()))

    @rule(draw=st.data())
    def flush(self, draw):
        if not self.runners:
            return
        runner = draw.draw(st.sampled_from(self.runners))
        part = runner.journal.cut()
        if part is not None:
            runner.journal.write(part)
        self.safe |= runner.in_buffer
        runner.in_buffer.clear()
        is_newest = all(runner.lease.epoch >= other.lease.epoch for other in self.runners)
        try:
            runner.lease.check()
        except LeaseLostError:
            self.runners.remove(runner)
            return
        assert is_newest, "two runners believe that they hold the job"

    @rule(draw=st.data())
    def crash(self, draw):
        if self.runners:
            self.runners.remove(draw.draw(st.sampled_from(self.runners)))

    @rule(torn=st.binary(max_size=30))
    def tear(self, torn):
        """Half a line at the end of the newest part, as a dying machine may leave it."""
        names = Journal.list_parts(self.store.at("job"))
        if names:
            self.store.files[f"job/results/{names[-1]}"] += torn.replace(b"\n", b"")

    @rule(number=st.integers(0, 8), text=st.sampled_from(["a", "b", "c"]))
    def change_or_add_a_row(self, number, text):
        self.rows[number] = text

    @rule(number=st.integers(0, 8))
    def remove_a_row(self, number):
        self.rows.pop(number, None)

    @invariant()
    def what_was_kept_is_found_by_whoever_comes(self):
        if not hasattr(self, "store"):
            return
        names = Journal.list_parts(self.store.at("job"))
        journal = Journal(self.store.at("job"), Lease(self.store.at("job"), 10**5), names)
        ledger = read_ledger(journal, len(names), Tally(), dedupe=False)
        reader = PartReader(journal)
        for number, text in self.rows.items():
            asked = asked_of(number, text)
            place = ledger.answer_of_request(asked.key)
            assert (place is not None) == (asked.key in self.safe)
            assert place == ledger.answer_of_row(asked.row)
            if place is not None:
                line = reader.line(Place.unpack(place))
                assert (line["id"], line["answer"]) == (asked.id, asked.hash)


Jobs.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyInterleaving = Jobs.TestCase
