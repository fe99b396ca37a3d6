"""A small client for the control address of a local endpoint."""

from __future__ import annotations

import http.client
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from .batch_settings import BatchSettings
from .latency import Latency
from .wire_errors import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .limits import Limit
    from .models import LocalModel

__all__ = ["EndpointControl", "EndpointStats"]


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """What an endpoint was asked since its start or its last reset."""

    calls: int
    by_operation: Mapping[str, int]
    by_model: Mapping[str, int]
    by_region: Mapping[str, int]
    by_outcome: Mapping[str, int]
    detail: tuple[Mapping[str, Any], ...]
    in_flight: int
    peak_in_flight: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int

    @property
    def answered(self) -> int:
        return self.by_outcome.get("ok", 0)


class EndpointControl:
    """Steers an endpoint by its plain URL; ValueError for what it does not take. One call, one connection."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc

    def stats(self) -> EndpointStats:
        report = self._send("GET", "stats")
        return EndpointStats(**{**report, "detail": tuple(report["detail"])})

    def calls(self, last: int = 100) -> list[dict[str, Any]]:
        """The last calls, without bodies."""
        found: list[dict[str, Any]] = self._send("GET", f"calls?last={last}")
        return found

    def calls_by(self, metadata_key: str) -> dict[str, int]:
        """How many calls carried each value of a requestMetadata key, such as a record's id."""
        found: dict[str, int] = self._send("GET", f"metadata?key={quote(metadata_key)}")
        return found

    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of the last calls; none unless `keep_bodies` was set."""
        found: list[dict[str, Any]] = self._send("GET", "bodies")
        return found

    def keep_bodies(self, count: int) -> None:
        """Keep the last `count` bodies from now on; starts counting anew."""
        self._send("POST", "settings", {"keep_bodies": count})

    def fail(self, error: str | ErrorReply | None = None, *, action: str = "error", **rule: Any) -> None:
        """Let calls go wrong: `error` names a preset (GET errors lists them); `rule` is the rest of a `FaultRule`."""
        if error is None and action in {"error", "stream_error"}:
            error = "internal"
        document = {"action": action, "error": _plain(error), **rule}
        self._send("POST", "faults", {key: value for key, value in document.items() if value is not None})

    def throttle(self, first: int | None = None, **rule: Any) -> None:
        """Answer the next `first` calls (None: all) with Too many requests."""
        self.fail("too_many_requests", first=first, **rule)

    def fired(self) -> list[dict[str, Any]]:
        """How often each fault rule saw a call and fired."""
        found: list[dict[str, Any]] = self._send("GET", "faults")
        return found

    def heal(self, name: str | None = None) -> None:
        """Drop all fault rules, or those of one name."""
        self._send("DELETE", "faults" if name is None else f"faults?name={quote(name)}")

    def limit(self, *limits: Limit) -> None:
        """Put these quotas in the place of all there are; none at all lifts them."""
        self._send("POST", "limits", [asdict(one) for one in limits])

    def latency(self, seconds: float = 0.0, **distribution: Any) -> None:
        """Take `seconds` per answer, or draw from a distribution: the fields of `Latency`."""
        self._send("POST", "latency", asdict(Latency(seconds=seconds, **distribution)))

    def models(self, models: Iterable[LocalModel], *, replace: bool = False) -> None:
        """Add or change models, or put them in the place of all there are."""
        self._send("POST", "models", {"models": [asdict(one) for one in models], "replace": replace})

    def credential(self, credential: str, *, error: str | None = None, account: str | None = None) -> None:
        """Answer this access key or bearer token with an error from now on, or give it an account."""
        self._send("POST", "credentials", {"credential": credential, "error": error, "account": account})

    def guardrail(self, guardrail_id: str, words: Iterable[str], version: str = "DRAFT") -> None:
        """Make a guardrail that blocks these words."""
        self._send("POST", "guardrails", {"guardrail_id": guardrail_id, "words": list(words), "version": version})

    def batch(self, **settings: float) -> None:
        """Set quotas and pace of batch jobs: the fields of `BatchSettings`; what is not named is as at the start."""
        self._send("POST", "batch", asdict(BatchSettings(**settings)))  # type: ignore[arg-type]  # counts and seconds

    def batch_jobs(self) -> list[dict[str, Any]]:
        """Every batch job there was, the oldest first, as GetModelInvocationJob tells it."""
        found: list[dict[str, Any]] = self._send("GET", "batch")
        return found

    def reset(self) -> None:
        """Back to how the endpoint was started."""
        self._send("POST", "reset")

    def _send(self, method: str, what: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(self._address, timeout=10)
        try:
            raw = None if body is None else json.dumps(body).encode()
            connection.request(method, f"/_local/{what}", raw, {"Connection": "close"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise ValueError(f"The local endpoint did not take {method} {what}: {answer['error']}")
        return answer


def _plain(error: str | ErrorReply | None) -> Any:
    if not isinstance(error, ErrorReply):
        return error
    document: dict[str, Any] = {one.name: getattr(error, one.name) for one in fields(error)}
    document["members"], document["extra_headers"] = dict(error.members), dict(error.extra_headers)
    if error.raw_body is not None:
        document["raw_body"] = error.raw_body.decode()
    return document
