"""One request's dialogue with Bedrock: what is sent, what the answers are worth, and what the caller gets.

A `Conversation` joins the pure parts (failover, faults, limits, schema, prices) and stays pure: the loops in `aws`
give it outcomes, times and draws, and do what it says. `begin`, `take` and `resume` return a `Call` to make, a `Wait`
to sit out, or the `BedrockResponse` that ends it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.config import ValidationResult
from airflow_provider_bedrock_llm.core.diagnosis import error_for
from airflow_provider_bedrock_llm.core.errors import JobStoppedError, RequestValidationError
from airflow_provider_bedrock_llm.core.failover import Call, Decision, Failover, GiveUp, Progress, Reason, Wait
from airflow_provider_bedrock_llm.core.faults import Fault, classify
from airflow_provider_bedrock_llm.core.features import refused_features, without
from airflow_provider_bedrock_llm.core.inference import FittedParams, fit_inference
from airflow_provider_bedrock_llm.core.policy import ConversePolicy
from airflow_provider_bedrock_llm.core.pricing import cost_usd
from airflow_provider_bedrock_llm.core.prompt_cache import cache_savings_usd, place_cache_points
from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt, Usage
from airflow_provider_bedrock_llm.core.schema import Verdict
from airflow_provider_bedrock_llm.core.token_budget import estimate_input_tokens, output_burndown, used_tokens
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply, WireRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_bedrock_llm.core.limiter import RouteBook, Ticket
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.routes import Route

__all__ = ["Conversation", "ConversePolicy", "Step"]

_OUTPUT = "outputConfig"
_MAY_BE_A_REFUSAL = frozenset({Fault.BAD_INPUT, Fault.DENIED, Fault.LISTED})

Step = Call | Wait | BedrockResponse

_MAX_TOKENS_WHERE_UNKNOWN = 4_096
"""Without `maxTokens` a call reserves all that its model can answer; this where the catalog does not know how much."""


class Conversation:
    """One request, from its first call to its response.

    Args:
        policy: what it has in common with others.
        request: what is asked.
        failover: the rules and routes.
        book: what is known of the routes; shared.
    """

    __slots__ = (
        "_attempts",
        "_book",
        "_call",
        "_dropped",
        "_extra",
        "_extra_model",
        "_failover",
        "_fits",
        "_input_tokens",
        "_policy",
        "_progress",
        "_refused",
        "_request",
        "_sent",
        "_ticket",
    )

    def __init__(
        self, policy: ConversePolicy, request: BedrockConverseRequest, failover: Failover, book: RouteBook
    ) -> None:
        self._policy = policy
        self._request = request
        self._failover = failover
        self._book = book
        self._attempts: list[RequestAttempt] = []
        self._extra: list[Mapping[str, Any]] = []
        self._extra_model = ""
        self._dropped: dict[str, str] = {}
        self._fits: dict[int, FittedParams] = {}
        self._refused: dict[tuple[str, str], dict[str, str]] = {}
        self._sent: Mapping[str, Any] = {}
        self._input_tokens: int | None = None
        self._progress: Progress
        self._call: Call
        self._ticket: Ticket

    def begin(self, now: float) -> Step:
        """The first call."""
        step = self._next(self._failover.begin(now, self._avoid(now)), now)
        problems = self._problems()
        if not problems:
            return step
        error = RequestValidationError(problems[0], validation_errors=problems)
        return self._end(BedrockResponse(success=False, error=error, **self._account(now)))

    def resume(self, now: float) -> Step:
        """What follows a wait."""
        return self._next(self._failover.resume(self._progress, now, self._avoid(now)), now)

    def start(self, call: Call, now: float) -> WireRequest:
        """The call begins: count it, and say what to send."""
        self._call = call
        self._ticket = self._book.start(call.route, now, self.reserved_tokens(call.route))
        self._sent = self._params(call.route, now)
        return WireRequest("converse", call.route.region, self._sent, call.route.choice.service)

    @property
    def called_at(self) -> float:
        """When the last call began."""
        return self._ticket.started_at

    def reserved_tokens(self, route: Route) -> float:
        """What a call over this route reserves of a quota on tokens: roughly its input, and what it may answer."""
        request, policy = self._request, self._policy
        if self._input_tokens is None:
            content = (request.messages, request.system, request.tool_config)
            self._input_tokens = estimate_input_tokens(content)
        for settings in (route.choice.inference_config, request.inference_config, policy.inference_config):
            if settings and settings.get("maxTokens"):
                return float(self._input_tokens + settings["maxTokens"])
        card = policy.card_for(route.model_id)
        return float(self._input_tokens + ((card and card.max_output_tokens) or _MAX_TOKENS_WHERE_UNKNOWN))

    def seconds_left(self, now: float) -> float | None:
        """Time until the deadline, None where there is none."""
        return self._failover.seconds_left(self._progress, now)

    def take(self, outcome: Reply | Failure, now: float, draw: float) -> Step:
        """What came of the call.

        Args:
            outcome: the transport's.
            now: when it came.
            draw: a number in [0, 1) for the backoff's jitter.
        """
        if isinstance(outcome, Failure):
            return self._take_failure(outcome, now, draw)
        return self._take_reply(outcome, now)

    def abandon(self, now: float) -> None:
        """The call was cancelled from outside; give its place back."""
        self._book.finish(self._ticket, Fault.DEADLINE, now)

    def give_up(self, now: float) -> BedrockResponse:
        """The deadline passed while the request waited for its turn."""
        return self._failed(GiveUp(Reason.DEADLINE, self._progress.fault), now)

    def spent(self, now: float) -> BedrockResponse | None:
        """What the request has cost so far, where nothing more of it is sent; None where that is nothing."""
        if not any(attempt.usage.total_tokens for attempt in self._attempts):
            return None
        error = JobStoppedError(
            "A stop came before the next call of this request, whose earlier answers were unfit. Ask it again."
        )
        return self._end(BedrockResponse(success=False, error=error, **self._account(now)))

    def _take_failure(self, failure: Failure, now: float, draw: float) -> Step:
        fault = classify(failure, self._policy.retry.retryable_codes)
        refused, goes_on_without = self._refused_feature(failure, fault)
        if refused is not None:
            fault = Fault.UNSUPPORTED_FEATURE
        is_serving = fault is Fault.THROTTLED and self._book.is_serving_others(self._ticket, now)
        is_out_of_tokens = "tokens" in failure.message
        self._book.finish(self._ticket, fault, now, is_out_of_tokens=is_out_of_tokens)
        if fault is Fault.NEEDS_PROFILE:
            self._policy.learn_profile(*self._call.route.key)
        self._attempts.append(
            self._attempt(
                failure.duration_seconds,
                fault=str(fault),
                failure=failure,
                request_id=failure.request_id,
                may_have_cost=fault.may_have_cost or failure.kind is FailureKind.STREAM,
                refused_feature=refused,
            )
        )
        if goes_on_without:
            return self._next(self._failover.dropped(self._progress, now, self._avoid(now)), now)
        hint, avoid = failure.retry_after_seconds, self._avoid(now)
        return self._next(
            self._failover.failed(self._progress, fault, now, draw, hint, avoid, is_serving=is_serving), now
        )

    def _take_reply(self, reply: Reply, now: float) -> Step:
        route = self._call.route
        usage = reply.data.get("usage") or {}
        tier = (reply.data.get("serviceTier") or {}).get("type")
        prices = self._policy.prices_of(route)
        cost = cost_usd(usage, prices, tier=tier) if usage else None
        self._book.finish(self._ticket, None, now, used_tokens(usage, output_burndown(route.model_id)))
        self._policy.features.learn(route.key, self._refused.get(route.key, {}), now)
        self._attempts.append(
            self._attempt(
                reply.duration_seconds,
                usage=Usage.from_wire(usage),
                cost_usd=cost,
                cache_savings_usd=cache_savings_usd(usage, prices, tier=tier),
                request_id=reply.request_id,
            )
        )
        response = self._answered(reply, now)
        verdict = self._judge(response)
        if verdict.error is None:
            return self._end(replace(response, structured_output=verdict.value) if self._policy.schema else response)
        self._attempts[-1] = replace(
            self._attempts[-1], fault=str(Fault.INVALID_ANSWER), validation_error=verdict.error
        )
        if not verdict.ask_again:
            self._progress = replace(self._progress, rejected=self._failover.answer_retries)
        return self._next(self._failover.rejected(self._progress, now, self._avoid(now)), now)

    def _judge(self, answer: BedrockResponse) -> Verdict:
        """Hold the answer against the schema, then against the caller's function."""
        policy = self._policy
        verdict = policy.schema.check(answer) if policy.schema is not None else Verdict()
        if verdict.error is not None:
            if verdict.ask_again and policy.schema is not None:
                self._tell(policy.schema.messages_to_ask_again(answer, verdict.error))
            return verdict
        if policy.validate is None:
            return verdict
        try:
            result = policy.validate(replace(answer, structured_output=verdict.value))
        except Exception as error:  # noqa: BLE001 - the caller's code; its fault must not lose a paid answer's record
            return Verdict(error=f"the validation function raised {type(error).__name__}", ask_again=False)
        if not isinstance(result, ValidationResult):
            kind = type(result).__name__
            return Verdict(error=f"the validation function returned {kind}, not a ValidationResult", ask_again=False)
        if result.success:
            return verdict
        return Verdict(error=result.error_message or "the validation function said no")

    def _tell(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Say at the next call what was wrong with this answer, if the same model is asked: another one would be
        shown signatures and tool calls that it did not make.
        """
        model = self._call.route.model
        self._extra = [*(self._extra if self._extra_model == model else ()), *messages]
        self._extra_model = model

    def _next(self, step: tuple[Progress, Decision], now: float) -> Step:
        self._progress, decision = step
        return self._failed(decision, now) if isinstance(decision, GiveUp) else decision

    def _avoid(self, now: float) -> Callable[[Route], bool]:
        """A route is left alone while it rests, is full, or would make the call wait for long."""
        book = self._book
        return lambda route: book.is_avoided(route, now, self.reserved_tokens(route))

    def _problems(self) -> list[str]:
        """What one of the models is known not to take, said before the first is asked: a failover must not find out."""
        choices: dict[int, Route] = {}
        for route in self._failover.routes:
            choices.setdefault(id(route.choice), route)
        return [problem for route in choices.values() for problem in self._fitted(route).problems]

    def _fitted(self, route: Route) -> FittedParams:
        key = id(route)  # the failover keeps its routes as long as this
        if key not in self._fits:
            self._fits[key] = self._fit(route)
        return self._fits[key]

    def _fit(self, route: Route) -> FittedParams:
        params = self._request.converse_params(route.model_id)
        inference = {
            **(self._policy.inference_config or {}),
            **params.get("inferenceConfig", {}),
            **(route.choice.inference_config or {}),
        }
        if inference:
            params["inferenceConfig"] = inference
        retry = self._policy.retry
        droppable = retry.droppable_features if retry.enable_feature_fallback else ()
        return fit_inference(params, self._policy.card_for(route.model_id), droppable)

    def _params(self, route: Route, now: float) -> dict[str, Any]:
        fitted = self._fitted(route)
        params = dict(fitted.params)
        self._dropped = dict.fromkeys(fitted.dropped, "the model does not take it")
        refused = {**self._policy.features.refused(route.key, now), **self._refused.get(route.key, {})}
        refused = {feature: said for feature, said in refused.items() if self._may_drop(feature)}
        if self._extra and self._extra_model == route.model:
            params["messages"] = [*params.get("messages", ()), *self._extra]
        if self._policy.schema is not None:
            native = self._policy.takes_output_config(route.model_id)
            if native and _OUTPUT in refused:
                native = False
                self._dropped[_OUTPUT] = refused[_OUTPUT]
            params = self._policy.schema.apply_to(params, native=native)
        if self._policy.cache is not None:
            card = self._policy.card_for(route.model_id)
            params = place_cache_points(params, self._policy.cache, card, self._policy.fixed)
        for feature, said in refused.items():
            kept = without(params, feature)
            if kept is not None:
                params = kept
                self._dropped[feature] = said
        return params

    def _refused_feature(self, failure: Failure, fault: Fault) -> tuple[str | None, bool]:
        """What of the request the model does not take, if that is why the call failed, and whether to go on without."""
        if fault not in _MAY_BE_A_REFUSAL:
            return None, False
        features = refused_features(failure, self._sent)
        for feature in features:
            if self._may_drop(feature):
                self._refused.setdefault(self._call.route.key, {})[feature] = failure.message
                return feature, True
        return (features[0] if features and fault is not Fault.LISTED else None), False

    def _may_drop(self, feature: str) -> bool:
        """A schema of the policy's own holds without `outputConfig` too: the answer is held against it."""
        own_schema = feature == _OUTPUT and self._policy.schema is not None and not self._request.output_config
        retry = self._policy.retry
        return retry.may_drop(feature) or (own_schema and retry.enable_feature_fallback)

    def _attempt(self, duration_seconds: float, **outcome: Any) -> RequestAttempt:
        route = self._call.route
        return RequestAttempt(route.model, route.model_id, route.region, route.access, duration_seconds, **outcome)

    def _answered(self, reply: Reply, now: float) -> BedrockResponse:
        route = self._call.route
        return BedrockResponse(
            success=True,
            response_data=reply.data,
            model_used=route.model_id,
            region_used=route.region,
            access=route.access,
            warnings=self._warnings(),
            features_disabled=tuple(self._dropped),
            candidate=route.choice.candidate,
            **self._account(now),
        )

    def _failed(self, end: GiveUp, now: float) -> BedrockResponse:
        route = self._failover.routes[self._progress.current]
        policy = self._policy
        return self._end(
            BedrockResponse(
                success=False,
                error=error_for(end, route, self._attempts, policy.retry, policy.setting),
                warnings=self._warnings(),
                candidate=route.choice.candidate,
                **self._account(now),
            )
        )

    def _end(self, response: BedrockResponse) -> BedrockResponse:
        self._policy.report(response)
        return response

    def _account(self, now: float) -> dict[str, Any]:
        answered = [attempt.cost_usd for attempt in self._attempts if attempt.failure is None]
        known = [cost for cost in answered if cost is not None]
        return {
            "attempts": tuple(self._attempts),
            "cost_usd": sum(known) if len(known) == len(answered) else None,
            "total_duration_ms": (now - self._progress.started_at) * 1000,
            "request_id": self._request.request_id,
        }

    def _warnings(self) -> tuple[str, ...]:
        route = self._failover.routes[self._progress.current]
        warnings = [f"{feature} was left out of the call of {route}: {why}" for feature, why in self._dropped.items()]
        unpaid = sum(attempt.may_have_cost for attempt in self._attempts)
        if unpaid:
            warnings.append(f"{unpaid} call(s) ended without an answer and may be billed all the same")
        return tuple(warnings)
