"""The course of a job fits a page, however long it ran and however often it was taken up again."""

from itertools import pairwise

import pytest

from airflow_provider_bedrock_llm.jobs.timeline import MOST_POINTS, Timeline


def timeline_of(seconds, earlier=()):
    timeline = Timeline(earlier)
    for second in range(seconds):
        timeline.add(float(second), 10 * second, 0.001 * second, second // 100)
    return timeline.ending(float(seconds), 10 * seconds, 0.001 * seconds, seconds // 100)


@pytest.mark.parametrize("seconds", [1, 50, 119, 120, 121, 3_600, 100_000])
def test_it_never_has_more_points_than_a_page_takes(seconds):
    points = timeline_of(seconds)

    assert len(points) <= MOST_POINTS
    assert len(points) >= min(seconds, MOST_POINTS // 2)
    assert points[-1] == {
        "seconds": seconds,
        "done": 10 * seconds,
        "cost_usd": pytest.approx(0.001 * seconds),
        "throttled": seconds // 100,
    }


@pytest.mark.parametrize("seconds", [130, 3_600])
def test_its_points_rise_and_lie_evenly(seconds):
    points = timeline_of(seconds)

    distances = [later["seconds"] - earlier["seconds"] for earlier, later in pairwise(points)]
    assert len({*distances[:-1]}) == 1
    assert 0 < distances[-1] <= distances[0]


def test_a_later_runner_goes_on_behind_the_earlier_one():
    earlier = timeline_of(60)
    points = timeline_of(30, earlier)

    assert points[: len(earlier)] == earlier
    assert points[-1]["seconds"] == 90
    assert [point["seconds"] for point in points] == sorted(point["seconds"] for point in points)
