"""What each route can take is learned from what came back, and forgotten as soon as it no longer holds."""

import pytest
from harness.routes import make_route
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.faults import Fault, Reaction
from airflow_provider_bedrock_llm.core.limiter import LimiterConfig, RouteBook

ROUTE = make_route()
OTHER = make_route(region="eu-west-1")


def call(book, fault=None, *, at=0.0, until=None, route=ROUTE):
    book.finish(book.start(route, at), fault, at if until is None else until)


def fill(book, count, at=0.0):
    return [book.start(ROUTE, at) for _ in range(count)]


def test_a_new_route_is_open():
    book = RouteBook()
    assert book.has_room(ROUTE)
    assert not book.is_resting(ROUTE, 0.0)


def test_asking_about_a_route_learns_nothing():
    book = RouteBook()
    book.has_room(ROUTE)
    book.is_resting(ROUTE, 0.0)
    assert book.states == {}


def test_max_in_flight_bounds_the_calls_of_a_route():
    book = RouteBook(LimiterConfig(max_in_flight=2))
    first, _ = fill(book, 2)
    assert not book.has_room(ROUTE)
    assert book.has_room(OTHER)
    book.finish(first, None, 1.0)
    assert book.has_room(ROUTE)


def test_an_overload_halves_what_was_in_flight():
    book = RouteBook()
    tickets = fill(book, 40)
    book.finish(tickets[0], Fault.OVERLOADED, 1.0)
    assert book.state(ROUTE).window == 20


def test_one_wave_of_overload_halves_once():
    book = RouteBook()
    for ticket in fill(book, 40):
        book.finish(ticket, Fault.OVERLOADED, 1.0)
    assert book.state(ROUTE).window == 20


def test_calls_of_the_very_moment_of_the_shrinking_belong_to_its_wave():
    book = RouteBook()
    for ticket in fill(book, 40, at=1.0):
        book.finish(ticket, Fault.OVERLOADED, 1.0)
    assert book.state(ROUTE).window == 20


def test_the_next_wave_halves_again():
    book = RouteBook(LimiterConfig(failures_to_rest=100))
    for start in (0.0, 2.0):
        tickets = fill(book, 20, at=start)
        for ticket in tickets:
            book.finish(ticket, Fault.OVERLOADED, start + 1)
    assert book.state(ROUTE).window == 5


def test_the_window_never_closes():
    book = RouteBook(LimiterConfig(failures_to_rest=100))
    for second in range(50):
        call(book, Fault.OVERLOADED, at=float(second))
    assert book.state(ROUTE).window == 1
    assert book.has_room(ROUTE)


def test_each_answer_opens_it_by_a_quarter_of_a_place():
    book = RouteBook()
    for ticket in fill(book, 40):
        book.finish(ticket, Fault.OVERLOADED, 1.0)
    for _ in range(20):
        call(book, at=2.0)
    assert book.state(ROUTE).window == 25


def test_throttling_sets_the_pace_and_leaves_the_window_open():
    book = RouteBook()
    for ticket in fill(book, 40):
        book.finish(ticket, Fault.THROTTLED, 1.0)
    assert book.has_room(ROUTE)
    assert 0 < book.wait_seconds(ROUTE, 1.0) < 0.1


def test_the_window_does_not_outgrow_the_most_that_is_allowed():
    book = RouteBook(LimiterConfig(max_in_flight=4))
    call(book, Fault.THROTTLED)
    for _ in range(100):
        call(book, at=1.0)
    assert book.state(ROUTE).window == 4


@pytest.mark.parametrize("fault", [Fault.OVERLOADED, Fault.NOT_READY, Fault.CONNECTION_FAILED])
def test_a_route_rests_after_capacity_failures_in_a_row(fault):
    book = RouteBook()
    call(book, fault)
    call(book, fault)
    assert not book.is_resting(ROUTE, 0.0)
    call(book, fault)
    assert book.is_resting(ROUTE, 14.9)
    assert not book.is_resting(ROUTE, 15.0)
    assert not book.is_resting(OTHER, 0.0)


def test_an_answer_between_failures_starts_the_count_anew():
    book = RouteBook()
    for fault in (Fault.OVERLOADED, Fault.OVERLOADED, None, Fault.OVERLOADED, Fault.OVERLOADED):
        call(book, fault)
    assert not book.is_resting(ROUTE, 0.0)


@pytest.mark.parametrize("fault", [Fault.BAD_INPUT, Fault.DENIED, Fault.THROTTLED, Fault.READ_TIMEOUT, Fault.LISTED])
def test_what_one_request_did_wrong_does_not_close_the_route_for_others(fault):
    book = RouteBook()
    for _ in range(20):
        call(book, fault)
    assert not book.is_resting(ROUTE, 0.0)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault.reaction is Reaction.MOVE_ON])
def test_a_route_that_cannot_serve_anyone_rests_at_once_and_long(fault):
    book = RouteBook()
    call(book, fault)
    assert book.is_resting(ROUTE, 119.0)
    assert not book.is_resting(ROUTE, 120.0)


def test_after_a_rest_one_probe_goes_ahead():
    book = RouteBook()
    for _ in range(3):
        call(book, Fault.OVERLOADED)
    probe = book.start(ROUTE, 20.0)
    assert book.is_resting(ROUTE, 20.0)
    book.finish(probe, None, 21.0)
    assert not book.is_resting(ROUTE, 21.0)


def test_rests_double_while_probes_fail_up_to_the_longest():
    book = RouteBook()
    for _ in range(3):
        call(book, Fault.OVERLOADED)
    now, rests = 0.0, []
    for _ in range(6):
        rests.append(book.state(ROUTE).rest_until - now)
        now = book.state(ROUTE).rest_until
        call(book, Fault.OVERLOADED, at=now)
    assert rests == [15, 30, 60, 120, 120, 120]


def test_failures_that_were_under_way_when_the_rest_began_do_not_lengthen_it():
    book = RouteBook()
    for ticket in fill(book, 32):
        book.finish(ticket, Fault.OVERLOADED, 1.0)
    assert book.state(ROUTE).rest_until == 16


def test_a_probe_that_is_given_up_makes_way_for_the_next():
    book = RouteBook()
    for _ in range(3):
        call(book, Fault.OVERLOADED)
    book.finish(book.start(ROUTE, 20.0), Fault.DEADLINE, 21.0)
    assert not book.is_resting(ROUTE, 21.0)


def test_a_rejected_answer_is_a_sign_of_life():
    book = RouteBook()
    for _ in range(3):
        call(book, Fault.OVERLOADED)
    call(book, Fault.INVALID_ANSWER, at=20.0)
    assert not book.is_resting(ROUTE, 20.0)
    assert book.state(ROUTE).succeeded == 1


def test_a_dead_route_costs_one_call_per_rest():
    book = RouteBook()
    calls, now = 0, 0.0
    while now < 20 * 60:
        if not book.is_resting(ROUTE, now):
            call(book, Fault.CONNECTION_FAILED, at=now)
            calls += 1
        now += 0.1
    assert calls <= 3 + 20 * 60 / 120 + 3


def test_counters_say_what_happened():
    book = RouteBook()
    for fault in (None, Fault.THROTTLED, Fault.OVERLOADED, None):
        call(book, fault)
    state = book.state(ROUTE)
    assert (state.calls, state.succeeded, state.throttled, state.failed, state.in_flight) == (4, 2, 1, 2, 0)


steps = st.lists(st.tuples(st.booleans(), st.none() | st.sampled_from(list(Fault)), st.floats(0, 30)), max_size=60)


@given(steps, st.integers(1, 50))
def test_the_books_balance_whatever_happens(story, most):
    book = RouteBook(LimiterConfig(max_in_flight=most))
    now, under_way = 0.0, []
    for starts, fault, seconds in story:
        now += seconds
        if starts:
            under_way.append(book.start(ROUTE, now))
        elif under_way:
            book.finish(under_way.pop(), fault, now)
        state = book.state(ROUTE)
        assert state.in_flight == len(under_way)
        assert 1 <= state.window <= most
        assert state.rest_until <= now + 120
        assert state.calls == state.in_flight + state.succeeded + state.failed
    for ticket in under_way:
        book.finish(ticket, None, now)
    assert book.has_room(ROUTE)
    assert not under_way or not book.is_resting(ROUTE, now + 1000)


def test_a_quota_of_tokens_that_is_known_paces_a_route_before_any_throttling():
    book = RouteBook()
    book.know_quotas({ROUTE.model_id: 60_000})
    for _ in range(60):
        book.start(ROUTE, 0.0, tokens=1_000)
    assert book.wait_seconds(ROUTE, 0.0, 1_000) > 0
    assert book.wait_seconds(ROUTE, 60.0, 1_000) == 0
