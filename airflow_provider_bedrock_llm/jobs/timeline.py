"""How a job went, in few enough points for a page: records, money and throttling over its running time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MOST_POINTS", "Timeline"]

MOST_POINTS = 120


class Timeline:
    """Keeps at most `MOST_POINTS` points, at even distances that double whenever the points become too many.

    Args:
        earlier: the points of runners before this one; their running time counts on, the time between does not.
    """

    def __init__(self, earlier: Sequence[Mapping[str, float]] = ()) -> None:
        self._points = [dict(point) for point in earlier]
        self._offset_seconds = self._points[-1]["seconds"] if self._points else 0.0
        self._distance_seconds = 1.0
        self._thin_out()

    def add(self, seconds: float, done: int, cost_usd: float, throttled: int) -> None:
        """Note how the job stands.

        Args:
            seconds: since this runner began.
            done: records with an outcome.
            cost_usd: as far as it is known, of the whole job.
            throttled: calls that Bedrock throttled, of the whole job.
        """
        at = self._offset_seconds + seconds
        if self._points and at < self._points[-1]["seconds"] + self._distance_seconds:
            return
        self._points.append(_point(at, done, cost_usd, throttled))
        self._thin_out()

    def ending(self, seconds: float, done: int, cost_usd: float, throttled: int) -> list[dict[str, float]]:
        """The points, and behind them how the job stands now.

        Args:
            seconds: as for `add`, and so the others.
            done: records with an outcome.
            cost_usd: known cost of the whole job.
            throttled: throttled calls of the whole job.
        """
        now = _point(self._offset_seconds + seconds, done, cost_usd, throttled)
        before = [point for point in self._points[: MOST_POINTS - 1] if point["seconds"] < now["seconds"]]
        return [*before, now]

    def _thin_out(self) -> None:
        while len(self._points) >= MOST_POINTS:
            self._points = self._points[::2]
            self._distance_seconds *= 2


def _point(seconds: float, done: int, cost_usd: float, throttled: int) -> dict[str, float]:
    return {"seconds": round(seconds, 1), "done": done, "cost_usd": round(cost_usd, 6), "throttled": throttled}
