"""The control address: faults, limits, latency, models, credentials, guardrails and counts, as JSON under /_local/.

It has no credentials of its own: whoever reaches the endpoint may steer it. That is why it binds to loopback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aiohttp import web

from .batch_settings import BatchSettings
from .faults import FaultRule
from .guardrails import Guardrail
from .latency import Latency, LatencyClock
from .limits import Limit
from .models import load_models
from .wire import dump_json, read_json
from .wire_errors import PRESETS, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from .state import EndpointState

__all__ = ["ControlApi"]


class ControlApi:
    """Reads and changes an endpoint's state.

    GET stats | calls?last=N | metadata?key=K | bodies | errors | faults | limits | batch
    POST faults | limits | latency | models | credentials | guardrails | batch | settings | reset
    DELETE faults[?name=N]
    """

    def __init__(self, state: EndpointState) -> None:
        self._state = state

    async def serve(self, request: web.BaseRequest, what: str, query: str) -> web.Response:
        asked = {key: values[-1] for key, values in parse_qs(query).items()}
        verbs: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "stats"): lambda _: self._state.stats.report(),
            ("GET", "calls"): lambda _: self._state.stats.recent(int(asked.get("last", 100))),
            ("GET", "metadata"): lambda _: self._state.stats.by_metadata(asked.get("key", "")),
            ("GET", "bodies"): lambda _: list(self._state.stats.bodies),
            ("GET", "errors"): lambda _: sorted(PRESETS),
            ("GET", "faults"): lambda _: self._state.faults.report(),
            ("DELETE", "faults"): lambda _: self._state.faults.clear(asked.get("name")),
            ("POST", "faults"): self._faults,
            ("POST", "limits"): self._limits,
            ("POST", "latency"): self._latency,
            ("POST", "models"): self._models,
            ("POST", "credentials"): self._credentials,
            ("POST", "guardrails"): self._guardrails,
            ("GET", "batch"): lambda _: self._state.batch.report(),
            ("POST", "batch"): self._batch,
            ("POST", "settings"): self._settings,
            ("POST", "reset"): lambda _: self._state.reset(),
        }
        verb = verbs.get((request.method, what))
        if verb is None:
            return _answer({"error": f"{request.method} {what} is not known here."}, 404)
        try:
            return _answer(verb(read_json(await request.read())), 200)
        except Refused as refused:
            return _answer({"error": refused.reply.message}, 400)
        except (ValueError, TypeError, KeyError) as error:
            return _answer({"error": str(error)}, 400)

    def _faults(self, body: Any) -> None:
        rules = [FaultRule.from_json(one) for one in (body if isinstance(body, list) else [body])]
        self._state.faults.add(rules, self._state.now())

    def _limits(self, body: Any) -> None:
        self._state.limits.replace(tuple(Limit(**one) for one in body))

    def _latency(self, body: Any) -> None:
        self._state.latency = LatencyClock(Latency(**body))

    def _models(self, body: Any) -> None:
        models = load_models(body["models"])
        if body.get("replace"):
            self._state.models.replace(models)
        else:
            self._state.models.update(models)

    def _credentials(self, body: Any) -> None:
        self._state.credentials.register(body["credential"], error=body.get("error"), account=body.get("account"))

    def _guardrails(self, body: Any) -> None:
        self._state.guardrails.add(Guardrail(**{**body, "words": tuple(body["words"])}))

    def _batch(self, body: Any) -> None:
        self._state.batch.settings = BatchSettings(**body)

    def _settings(self, body: Any) -> None:
        self._state.stats.keep_bodies = int(body["keep_bodies"])
        self._state.stats.reset()


def _answer(value: Any, status: int) -> web.Response:
    return web.Response(body=dump_json(value).encode(), status=status, content_type="application/json")
