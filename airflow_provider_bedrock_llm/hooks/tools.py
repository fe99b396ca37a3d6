"""The hook's verb for tools."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_bedrock_llm.aws.converse import Engine
from airflow_provider_bedrock_llm.aws.tools import run_tools
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.config import ValidationResult
from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.core.tools import Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.core.tools import ToolRun

__all__ = ["ToolVerbs"]

_IN_FORM = text_message("Give your answer once more, in the required form.")


class ToolVerbs:
    """Part of `BedrockLLMHook`."""

    if TYPE_CHECKING:
        _switched: Any
        chosen_for: Any
        clients: Any
        converse: Any
        log: Any
        plan: Any
        policy: Any

    def converse_with_tools(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Callable[..., Any] | Tool],
        *,
        max_turns: int = 10,
        max_cost_usd: float | None = None,
        tool_choice: Mapping[str, Any] | None = None,
        raise_on: tuple[type[Exception], ...] = (AirflowFailException, AirflowSkipException),
        **fields: Any,
    ) -> ToolRun:
        """Let a model use Python functions until it has its answer.

        What a function raises is told to the model, which may try again or do without. Where the hook has an
        `output_schema`, the model is asked once more at the end, for the answer in that form.

        Args:
            messages: Converse messages; the last one is the question.
            tools: functions whose parameters have type hints; the docstring tells the model what each is good for.
            max_turns: how often the model is asked at most, the question for the form not counted.
            max_cost_usd: no further turn once so much was paid.
            tool_choice: forces a tool in the first turn: `{"any": {}}` or `{"tool": {"name": ...}}`.
            raise_on: exceptions of the functions that end the task instead of being told to the model.
            **fields: the other fields of `BedrockConverseRequest`: `system`, `inference_config`, ...

        Returns:
            The last response, the whole conversation, every call of a tool, tokens and cost of all turns.

        Raises:
            ConfigurationError: a function cannot be a tool.
            ToolLimitError: a limit was met; `run` has what was said and done.
            LLMManagerError: no answer; which kind says why.
        """
        run = run_tools(
            self._ask_with_tools(),
            messages,
            tools,
            max_turns=max_turns,
            max_cost_usd=max_cost_usd,
            tool_choice=tool_choice,
            raise_on=raise_on,
            **fields,
        )
        self.log.info(
            "%d tool call(s), %d of them failed, in %d turn(s): %d tokens in, %d out.",
            len(run.calls),
            sum(call.error is not None for call in run.calls),
            run.turns,
            run.usage.input_tokens,
            run.usage.output_tokens,
        )
        if self.policy().schema is None:
            return run
        specs = [*(fields.pop("tool_config", None) or {}).get("tools", ()), *(Tool.of(one).to_wire() for one in tools)]
        formed = self.converse([*run.messages, _IN_FORM], tool_config={"tools": specs}, **fields)
        return run.followed_by(formed, _IN_FORM)

    def _ask_with_tools(self) -> Callable[[BedrockConverseRequest], BedrockResponse]:
        """Asks turn by turn; where the hook has candidates, the first turn chooses for all of them."""
        models: Sequence[Any] = ()

        def ask(request: BedrockConverseRequest) -> BedrockResponse:
            nonlocal models
            models = models or self.chosen_for(request)[0].models
            return self._tool_engine.ask(replace(request, models=models))

        return ask

    @cached_property
    def _tool_engine(self) -> Engine:
        """Asks without the schema, and lets the validation function see answers only, not the use of tools."""
        policy = self.policy()
        validate = policy.validate
        if policy.schema is not None or validate is None:
            policy = replace(policy, schema=None, validation=None)
        else:

            def accept(response: BedrockResponse) -> ValidationResult:
                return ValidationResult(success=True) if response.has_tool_use() else validate(response)

            policy = replace(policy, validation=replace(policy.validation, response_validation_function=accept))
        transport = self._switched(BotoTransport(self.clients))
        return Engine(transport, policy, self.plan(), plan_for=self.plan_for)
