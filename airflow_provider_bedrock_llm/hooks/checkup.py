"""Does a connection work, step by step: settings, credentials, regions, models, and one real call where it is wanted.

Everything but the last step asks the control plane, which costs nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_bedrock_llm.aws.failures import EXPECTED, failure_from
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, LLMManagerError
from airflow_provider_bedrock_llm.core.faults import Fault, classify
from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.hooks.probe import probe_region, quick_clients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.aws.clients import Clients
    from airflow_provider_bedrock_llm.core.routes import ModelChoice, Route
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

__all__ = ["Step", "check_steps"]

_AVAILABLE = ("AVAILABLE", "AUTHORIZED")
_ANSWER_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a check.

    Args:
        name: what was looked at.
        outcome: `ok`; `failed`; or `unknown`, where it could not be found out, which is no failure.
        told: what was found, and for a failure the remedy.
    """

    name: str
    outcome: Literal["ok", "failed", "unknown"]
    told: str

    def to_dict(self) -> dict[str, str]:
        """JSON-safe."""
        return asdict(self)


def check_steps(hook: BedrockLLMHook, *, paid_call: bool = False) -> Iterator[Step]:
    """Check a connection, and say each step as it is done. A step that all others need ends the check when it fails.

    Args:
        hook: the hook of the connection.
        paid_call: whether to ask the first model for a few tokens.
    """
    try:
        regions = hook.get_available_regions()
        source = _source_of_credentials(hook)
    except (LLMManagerError, *EXPECTED) as error:
        yield Step("settings", "failed", str(error))
        return
    yield Step("settings", "ok", f"the connection {hook.bedrock_conn_id!r} is valid; regions: {', '.join(regions)}")
    clients = quick_clients(hook.client_settings)
    yield from _credentials(clients, hook, source, regions[0])
    working = []
    for region in regions:
        models, problem = probe_region(clients, region)
        working += [] if problem else [region]
        yield Step(region, "failed" if problem else "ok", problem or f"Bedrock answers, {models} models are listed")
    if not working:
        return
    try:
        choices = hook.choices
    except ConfigurationError:
        yield Step("models", "unknown", "the connection names none; operators name theirs, and --model tries one here")
        return
    for choice in choices:
        yield _model(clients, hook, choice)
    if paid_call:
        yield _call(hook)


def _source_of_credentials(hook: BedrockLLMHook) -> str | None:
    found = hook.get_session().get_credentials()
    return None if found is None else f"access key ...{found.access_key[-4:]} (from {found.method})"


def _credentials(clients: Clients, hook: BedrockLLMHook, source: str | None, region: str) -> Iterator[Step]:
    if source is None:
        told = "no access keys were found; a bearer token in the environment may do. Set keys, a profile, or a role"
        yield Step("credentials", "unknown", told)
        return
    if hook.client_settings.endpoint_url is not None:
        yield Step("credentials", "ok", f"{source}; STS is not asked, because the connection has its own endpoint")
        return
    try:
        caller = clients.client("sts", region).get_caller_identity()
    except EXPECTED as error:
        yield Step("credentials", "failed", f"{source}: AWS does not accept them: {failure_from(error, 0.0)}")
        return
    yield Step("credentials", "ok", f"{source}: {caller['Arn']}")


def _model(clients: Clients, hook: BedrockLLMHook, choice: ModelChoice) -> Step:
    try:
        plan = hook.plan([choice])
    except LLMManagerError as error:
        return Step(choice.model, "failed", str(error))
    routes = plan.routes(plan.order(0))
    told = f"goes to {routes[0]}" + (f", then {len(routes) - 1} further routes" if len(routes) > 1 else "")
    return _access(clients, hook, routes[0], told)


def _access(clients: Clients, hook: BedrockLLMHook, route: Route, told: str) -> Step:
    """Whether the account may ask a model: AWS tells without a call, for foundation models."""
    card = hook.catalog.resolve(route.model).card
    if card is None:
        return Step(route.model, "unknown", f"{told}; whether the account may ask it shows at the first call")
    try:
        found = clients.client("bedrock", route.region).get_foundation_model_availability(modelId=card.model_id)
    except EXPECTED as error:
        failure = failure_from(error, 0.0)
        remedy = " Allow `bedrock:GetFoundationModelAvailability`." if classify(failure) is Fault.DENIED else ""
        return Step(route.model, "unknown", f"{told}; AWS does not say whether it may be asked ({failure}).{remedy}")
    missing = _missing(found)
    if missing:
        return Step(
            route.model,
            "failed",
            f"the account may not ask it in {route.region}: {missing}. Ask for access under Model access in the "
            "Bedrock console, or leave the model out.",
        )
    return Step(route.model, "ok", told)


def _missing(found: dict[str, Any]) -> str:
    states = {
        "agreement": found["agreementAvailability"]["status"],
        "authorization": found["authorizationStatus"],
        "entitlement": found["entitlementAvailability"],
        "region": found["regionAvailability"],
    }
    return ", ".join(f"{name} {state}" for name, state in states.items() if state not in _AVAILABLE)


def _call(hook: BedrockLLMHook) -> Step:
    try:
        response = hook.converse(
            [text_message("Answer with the word yes.")], inference_config={"maxTokens": _ANSWER_TOKENS}
        )
    except LLMManagerError as error:
        return Step("one call", "failed", str(error))
    cost = "of unknown price" if response.cost_usd is None else f"{response.cost_usd:.6f} USD"
    return Step(
        "one call",
        "ok",
        f"{response.model_used} in {response.region_used} answered in {response.total_duration_ms / 1000:.1f} s, "
        f"{response.usage.total_tokens} tokens, {cost}",
    )
