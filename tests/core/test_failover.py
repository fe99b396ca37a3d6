"""The engine's machine, in microseconds: what follows what, and what can never happen."""

from dataclasses import replace

import pytest
from harness.routes import make_route, make_routes
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.failover import Call, Failover, GiveUp, Reason, Wait
from airflow_provider_bedrock_llm.core.faults import Fault, Reaction

REJECTED = Fault.INVALID_ANSWER
OF_CALLS = [fault for fault in Fault if fault is not REJECTED]
RETRIED = [fault for fault in OF_CALLS if fault.reaction is Reaction.RETRY and fault is not Fault.READ_TIMEOUT]
FINAL = [fault for fault in OF_CALLS if fault.reaction is Reaction.STOP]


class Drive:
    """Tells the machine what happened, and writes down what it said."""

    def __init__(self, routes=1, *, resting=(), answer_retries=0, answer_delay_seconds=0.0, draw=0.5, **retry):
        made = make_routes(routes) if isinstance(routes, int) else tuple(routes)
        self.machine = Failover(made, RetryConfig(**retry), answer_retries, answer_delay_seconds)
        self.resting = set(resting)
        self.now = 0.0
        self.draw = draw
        self.said = []
        self._hear(self.machine.begin(self.now, self._rests))

    def _rests(self, route):
        return self.machine.routes.index(route) in self.resting

    def _hear(self, step):
        self.progress, decision = step
        self.said.append(decision)

    @property
    def last(self):
        return self.said[-1]

    def hear(self, *faults, seconds=0.0, hint=None):
        for fault in faults:
            self.now += seconds
            if fault is REJECTED:
                self._hear(self.machine.rejected(self.progress, self.now, self._rests))
            else:
                self._hear(self.machine.failed(self.progress, fault, self.now, self.draw, hint, self._rests))
            self.sit_out()
        return self

    def drop(self):
        self._hear(self.machine.dropped(self.progress, self.now, self._rests))
        return self

    def sit_out(self):
        while isinstance(self.last, Wait):
            self.now += self.last.seconds
            self._hear(self.machine.resume(self.progress, self.now, self._rests))

    @property
    def calls(self):
        return [step for step in self.said if isinstance(step, Call)]

    @property
    def called(self):
        return [self.machine.routes.index(call.route) for call in self.calls]

    @property
    def waits(self):
        return [step.seconds for step in self.said if isinstance(step, Wait)]


def test_the_best_route_is_called_first():
    assert Drive(3).said == [Call(make_route(region="region-0"), 1)]


@pytest.mark.parametrize("fault", FINAL)
def test_what_no_retry_can_help_stops_after_one_call(fault):
    drive = Drive(3, max_retries=9).hear(fault)
    reason = Reason.DEADLINE if fault is Fault.DEADLINE else Reason.FAULT
    assert drive.said[1:] == [GiveUp(reason, fault)]


@pytest.mark.parametrize("fault", RETRIED)
@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_max_retries_means_retries(fault, max_retries):
    drive = Drive(max_retries=max_retries).hear(*[fault] * (max_retries + 1))
    assert len(drive.calls) == max_retries + 1
    assert drive.last == GiveUp(Reason.RETRIES, fault)


def test_retries_are_one_budget_over_all_routes():
    drive = Drive(6, max_retries=3).hear(*[Fault.THROTTLED] * 4)
    assert drive.called == [0, 1, 2, 3]
    assert drive.last == GiveUp(Reason.RETRIES, Fault.THROTTLED)


def test_another_route_is_tried_at_once_and_the_same_one_after_a_wait():
    drive = Drive(2, max_retries=3, retry_delay=8).hear(*[Fault.THROTTLED] * 3)
    assert [type(step).__name__ for step in drive.said] == ["Call", "Call", "Wait", "Call", "Call"]
    assert drive.called == [0, 1, 0, 1]
    assert drive.waits == [4]


def test_waits_grow_with_each_round():
    drive = Drive(max_retries=3).hear(*[Fault.OVERLOADED] * 3)
    assert drive.waits == [0.5, 1, 2]


def test_the_servers_hint_lengthens_the_wait():
    assert Drive(max_retries=1).hear(Fault.THROTTLED, hint=7).waits == [7]


@pytest.mark.parametrize(
    "fault", [fault for fault in OF_CALLS if fault.reaction is Reaction.MOVE_ON and fault is not Fault.NEEDS_PROFILE]
)
def test_a_route_that_cannot_serve_is_left_for_good_without_a_wait_or_a_retry(fault):
    drive = Drive(3, max_retries=0).hear(fault, fault)
    assert drive.called == [0, 1, 2]
    assert drive.waits == []
    assert drive.hear(fault).last == GiveUp(Reason.ROUTES, fault)


def test_an_id_that_needs_a_profile_is_left_in_every_region_at_once():
    routes = [make_route(model_id, region) for model_id in ("m", "us.m") for region in ("r1", "r2")]
    drive = Drive(routes, max_retries=0).hear(Fault.NEEDS_PROFILE)
    assert drive.called == [0, 2]


def test_a_route_that_cannot_serve_is_not_called_in_a_later_round():
    drive = Drive(3, max_retries=9).hear(Fault.THROTTLED, Fault.NOT_IN_REGION, *[Fault.THROTTLED] * 3)
    assert drive.called == [0, 1, 2, 0, 2, 0]


def test_the_last_route_to_say_no_sends_the_request_back_to_those_that_were_busy():
    drive = Drive(2, max_retries=2).hear(Fault.THROTTLED, Fault.END_OF_LIFE)
    assert drive.called == [0, 1, 0]
    assert drive.waits == [0.5]


def test_no_connection_to_a_region_takes_all_its_routes_out_of_the_round():
    routes = [make_route(model, region) for region in ("us-east-1", "eu-west-1") for model in ("m", "us.m", "global.m")]
    drive = Drive(routes, max_retries=3).hear(Fault.CONNECTION_FAILED, Fault.CONNECTION_FAILED)
    assert drive.called == [0, 3, 0]
    assert len(drive.waits) == 1


def test_expired_credentials_are_refreshed_once_on_the_same_route():
    drive = Drive(2, max_retries=0).hear(Fault.EXPIRED_CREDENTIALS)
    assert drive.last == Call(drive.machine.routes[0], 2, refresh_credentials=True)
    assert drive.hear(Fault.EXPIRED_CREDENTIALS).last == GiveUp(Reason.FAULT, Fault.EXPIRED_CREDENTIALS)
    assert len(drive.calls) == 2


def test_a_read_timeout_is_not_sent_again():
    drive = Drive(3, max_retries=9).hear(Fault.READ_TIMEOUT)
    assert drive.said[1:] == [GiveUp(Reason.TIMEOUTS, Fault.READ_TIMEOUT)]


@pytest.mark.parametrize("allowed", [1, 2])
def test_a_read_timeout_is_sent_again_as_often_as_allowed(allowed):
    drive = Drive(3, max_retries=9, max_timeout_retries=allowed).hear(*[Fault.READ_TIMEOUT] * (allowed + 1))
    assert len(drive.calls) == allowed + 1
    assert drive.last == GiveUp(Reason.TIMEOUTS, Fault.READ_TIMEOUT)


def test_allowed_timeouts_stay_within_the_retries():
    drive = Drive(max_retries=1, max_timeout_retries=9).hear(Fault.READ_TIMEOUT, Fault.READ_TIMEOUT)
    assert drive.last == GiveUp(Reason.RETRIES, Fault.READ_TIMEOUT)


def test_max_attempts_total_caps_retries_failovers_refreshes_and_new_questions_alike():
    for faults in (
        [Fault.THROTTLED] * 2,
        [Fault.NOT_IN_REGION] * 2,
        [Fault.THROTTLED, Fault.EXPIRED_CREDENTIALS],
        [REJECTED] * 2,
        [Fault.NOT_IN_REGION, REJECTED],
    ):
        drive = Drive(4, max_retries=9, max_attempts_total=2, answer_retries=9).hear(*faults)
        assert len(drive.calls) == 2
        assert drive.last == GiveUp(Reason.ATTEMPTS, faults[-1])


def test_the_fault_that_is_final_is_named_even_where_the_attempts_are_used_up():
    drive = Drive(max_attempts_total=1).hear(Fault.BAD_INPUT)
    assert drive.last == GiveUp(Reason.FAULT, Fault.BAD_INPUT)


def test_no_wait_is_begun_that_ends_after_the_deadline():
    drive = Drive(max_retries=9, retry_delay=8, deadline_seconds=10).hear(Fault.THROTTLED, seconds=3)
    assert drive.waits == [4]
    assert drive.hear(Fault.THROTTLED).last == GiveUp(Reason.DEADLINE, Fault.THROTTLED)


def test_no_call_starts_after_the_deadline():
    drive = Drive(4, max_retries=9, deadline_seconds=10).hear(Fault.THROTTLED, seconds=10)
    assert drive.said[1:] == [GiveUp(Reason.DEADLINE, Fault.THROTTLED)]


def test_a_rejected_answer_is_asked_again_on_the_same_route():
    drive = Drive(3, answer_retries=2).hear(REJECTED, REJECTED)
    assert drive.called == [0, 0, 0]
    assert drive.hear(REJECTED).last == GiveUp(Reason.ANSWERS, REJECTED)


def test_rejected_answers_cost_no_retries_and_retries_cost_no_questions():
    drive = Drive(max_retries=1, answer_retries=1).hear(REJECTED, Fault.THROTTLED)
    assert len(drive.calls) == 3
    assert isinstance(drive.last, Call)


def test_the_wait_before_asking_again_is_the_callers():
    drive = Drive(answer_retries=1, answer_delay_seconds=2.5).hear(REJECTED)
    assert drive.waits == [2.5]
    assert drive.called == [0, 0]


def test_asking_again_stays_on_the_route_that_answered_after_a_wait_too():
    drive = Drive(2, max_retries=1, answer_retries=1, answer_delay_seconds=1).hear(Fault.THROTTLED, REJECTED)
    assert drive.called == [0, 1, 1]


def test_a_resting_route_is_left_alone_while_another_can_serve():
    assert Drive(3, resting={0, 1}).called == [2]


def test_where_all_routes_rest_the_best_is_called_all_the_same():
    assert Drive(3, resting={0, 1, 2}).called == [0]


def test_a_retry_waits_rather_than_wake_a_resting_route():
    drive = Drive(2, resting={1}, max_retries=1).hear(Fault.THROTTLED)
    assert drive.waits == [0.5]
    assert drive.called == [0, 0]


def test_one_machine_serves_many_requests():
    machine = Drive(2).machine
    first, _ = machine.begin(0.0)
    second, _ = machine.begin(5.0)
    machine.failed(first, Fault.THROTTLED, 1.0, 0.5)
    assert second == replace(first, started_at=5.0)


configs = st.fixed_dictionaries(
    {
        "max_retries": st.integers(0, 6),
        "retry_delay": st.floats(0, 30),
        "backoff_multiplier": st.floats(1, 4),
        "max_retry_delay": st.floats(0, 60),
        "deadline_seconds": st.none() | st.floats(0.1, 100),
        "max_attempts_total": st.none() | st.integers(1, 8),
        "max_timeout_retries": st.integers(0, 3),
        "answer_retries": st.integers(0, 3),
        "answer_delay_seconds": st.floats(0, 5),
    }
)
places = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["r1", "r2", "r3"])), min_size=1, max_size=6, unique=True
)
outcomes = st.tuples(
    st.sampled_from(list(Fault)),
    st.floats(0, 20),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 30),
    st.sets(st.integers(0, 5)),
)


@given(st.data(), configs, places, st.sets(st.integers(0, 5)))
def test_whatever_happens_it_ends_within_its_budgets(data, config, places, resting):
    routes = [make_route(model, region) for model, region in places]
    drive = Drive(routes, resting=resting, **config)
    retry = drive.machine.retry
    most = 1 + retry.max_retries + (len(routes) - 1) + 1 + drive.machine.answer_retries
    history = []
    while not isinstance(drive.last, GiveUp):
        assert isinstance(drive.last, Call)
        assert drive.last.number == len(drive.calls) <= most
        fault, seconds, drive.draw, hint, drive.resting = data.draw(outcomes)
        history.append((fault, drive.called[-1]))
        drive.hear(fault, seconds=seconds, hint=hint)
        check_after(drive, history)
    assert len(drive.calls) <= (retry.max_attempts_total or most)
    assert drive.last.fault is history[-1][0]
    assert isinstance(drive.last.reason, Reason)


def check_after(drive, history):
    retry = drive.machine.retry
    fault, _ = history[-1]
    faults = [past for past, _ in history]
    if isinstance(drive.last, GiveUp):
        return
    deadline = retry.deadline_seconds
    assert deadline is None or drive.now < deadline
    assert fault.reaction is not Reaction.STOP
    assert faults.count(Fault.READ_TIMEOUT) <= retry.max_timeout_retries
    assert faults.count(Fault.EXPIRED_CREDENTIALS) <= 1
    assert faults.count(REJECTED) <= drive.machine.answer_retries
    assert sum(past.reaction is Reaction.RETRY and past is not REJECTED for past in faults) <= retry.max_retries
    gone = {route for past, route in history if past.reaction is Reaction.MOVE_ON}
    assert drive.called[-1] not in gone
    assert drive.last.refresh_credentials is (fault is Fault.EXPIRED_CREDENTIALS)


def test_a_feature_that_is_left_out_costs_no_retry_and_no_wait_and_stays_on_the_route():
    drive = Drive(2, max_retries=0, resting={0})
    drive.drop().drop()
    assert drive.called == [1, 1, 1]
    assert drive.waits == []
    assert drive.hear(Fault.THROTTLED).last == GiveUp(Reason.RETRIES, Fault.THROTTLED)


def test_leaving_out_keeps_to_deadline_and_attempts():
    drive = Drive(max_attempts_total=2)
    assert drive.drop().drop().last == GiveUp(Reason.ATTEMPTS, Fault.UNSUPPORTED_FEATURE)
    drive = Drive(deadline_seconds=5)
    drive.now = 5.0
    assert drive.drop().last == GiveUp(Reason.DEADLINE, Fault.UNSUPPORTED_FEATURE)


@given(st.data(), configs, st.integers(1, 4))
def test_leaving_out_features_ends_whatever_comes_between(data, config, routes):
    drive = Drive(routes, **config)
    while not isinstance(drive.last, GiveUp):
        if data.draw(st.integers(0, 9)):
            drive.drop()
        else:
            drive.hear(data.draw(st.sampled_from(list(Fault))))
        assert len(drive.calls) <= 21 * routes + 12


@given(st.lists(st.tuples(st.sampled_from(list(Fault)), st.floats(0, 5)), max_size=12), configs, st.integers(1, 4))
def test_the_same_story_always_ends_the_same_way(story, config, routes):
    def play():
        drive = Drive(routes, **config)
        for fault, seconds in story:
            if isinstance(drive.last, GiveUp):
                break
            drive.hear(fault, seconds=seconds)
        return drive.said

    assert play() == play()
