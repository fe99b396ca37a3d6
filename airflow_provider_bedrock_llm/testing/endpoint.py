"""A Bedrock for one test: a real endpoint on loopback, the connection to it, scripted answers, and what was asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from airflow_provider_bedrock_llm.local.answers import Answer, ConverseCall
    from airflow_provider_bedrock_llm.local.wire_errors import ErrorReply

    Reply = str | Mapping[str, Any] | Answer | Callable[[ConverseCall], "str | Mapping[str, Any] | Answer"]

__all__ = ["AskedRequest", "LocalBedrock", "local_bedrock"]

CONN_ID = "bedrock_llm_default"
_KEPT_REQUESTS = 100_000


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """A request that reached the endpoint.

    Args:
        operation: `Converse`, `ConverseStream`, `InvokeModel` ...
        model: the id on the wire: a model id, inference profile id or ARN.
        region: the AWS region.
        text: the text of the last user message; empty for other operations than Converse's.
        system: the text of the system prompt.
        body: the request's JSON.
        outcome: `ok`, or the error's code.
    """

    operation: str
    model: str
    region: str
    text: str
    system: str
    body: Mapping[str, Any]
    outcome: str


class LocalBedrock:
    """What the fixture gives: answers and faults to script, and requests to look at.

    Without a script, the endpoint answers by rule: a text, or a value that fits the request's JSON Schema.
    """

    def __init__(self) -> None:
        from airflow_provider_bedrock_llm.local.endpoint import LocalEndpoint  # noqa: PLC0415 - brings a web server

        self._replies: list[tuple[str, Reply]] = []
        self._endpoint = LocalEndpoint(answerer=self._reply_to, keep_bodies=_KEPT_REQUESTS, tls_port=None)
        self.url = self._endpoint.url
        """What a connection takes as `endpoint_url`."""
        self.control = self._endpoint.control
        """Everything else that can be steered: quotas, latency, models, guardrails, counts."""

    def answers(self, reply: Reply, *, when: str = "") -> None:
        """Answer so from now on. What was scripted last comes first.

        Args:
            reply: a text; a dict, which becomes the structured answer; an `Answer`; or a function of the
                `ConverseCall` that gives one of these.
            when: only where the request's text or system prompt has this in it.
        """
        self._replies.insert(0, (when, reply))

    def fails(
        self, error: str | ErrorReply = "too_many_requests", *, times: int | None = None, when: str = "", **rule: Any
    ) -> None:
        """Answer with an error of AWS's.

        Args:
            error: the name of one that the endpoint knows (`local.PRESETS` lists them), or an `ErrorReply`.
            times: for so many requests; None for all.
            when: only where the prompt has this in it.
            **rule: more of a `FaultRule`, such as `model="*haiku*"` or `region="us-east-1"`.
        """
        self.control.fail(error, first=times, text=when, **rule)

    @property
    def asked(self) -> list[AskedRequest]:
        """The requests that came, oldest first, those included that were answered with an error."""
        return [_asked(kept) for kept in self.control.bodies() if kept["body"] is not None]

    @property
    def prompts(self) -> list[str]:
        """The texts that models were asked, oldest first."""
        return [request.text for request in self.asked if request.text]

    def reset(self) -> None:
        """Forget the script, the faults and what was asked."""
        self._replies.clear()
        self.control.reset()

    def stop(self) -> None:
        """End the endpoint."""
        self._endpoint.stop()

    def _reply_to(self, call: ConverseCall) -> Any:
        from airflow_provider_bedrock_llm.local.rule_answers import answer_by_rule  # noqa: PLC0415

        for when, reply in self._replies:
            if when in call.prompt:
                return reply(call) if callable(reply) else reply
        return answer_by_rule(call)


@pytest.fixture(scope="session")
def local_bedrock_of_session() -> Iterator[LocalBedrock]:
    bedrock = LocalBedrock()
    yield bedrock
    bedrock.stop()


@pytest.fixture
def local_bedrock(
    local_bedrock_of_session: LocalBedrock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> LocalBedrock:
    """A Bedrock for one test. The connection `bedrock_llm_default` leads to it, and jobs keep their folders below
    pytest's `tmp_path`; both by environment variables, so that processes which the test starts see them too.
    """
    bedrock = local_bedrock_of_session
    bedrock.reset()
    connection = {
        "conn_type": "bedrockllm",
        "login": "AKIDLOCALEXAMPLE",
        "password": "local-secret-key",
        "extra": {"endpoint_url": bedrock.url, "region_name": "us-east-1"},
    }
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__WORK_DIR", (tmp_path / "bedrock_llm").as_uri())
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__CATALOG_MODE", "bundled")
    # A token of the machine's owner, should there be one, has no business in a test.
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    return bedrock


def _asked(kept: Mapping[str, Any]) -> AskedRequest:
    from airflow_provider_bedrock_llm.local.answers import ConverseCall  # noqa: PLC0415

    body = kept["body"]
    is_conversation = isinstance(body, dict) and "messages" in body and kept["operation"].startswith("Converse")
    call = ConverseCall(kept["operation"], kept["asked_id"], kept["asked_id"], kept["region"], body)
    return AskedRequest(
        operation=kept["operation"],
        model=kept["asked_id"],
        region=kept["region"],
        text=call.text if is_conversation else "",
        system=call.system if is_conversation else "",
        body=body,
        outcome=kept["outcome"],
    )
