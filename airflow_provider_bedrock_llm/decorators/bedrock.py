"""`@task.bedrock` and `@task.bedrock_parallel`: a Python function says what is asked, and the task is the answer.

What the function returns is data: it is sent as it is, and Airflow never renders it as a template.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import TaskDecorator
    from airflow.sdk import Context

__all__ = ["bedrock_parallel_task", "bedrock_task"]

_SET_BY_THE_FUNCTION = frozenset({"prompt", "messages"})


class _FunctionSays(DecoratedOperator):
    """What both decorators share: how the function is called."""

    @property
    def is_async(self) -> bool:
        """The task itself never is, whatever the function is."""
        return False

    def _returned(self, context: Context) -> Any:
        context_merge(context, self.op_kwargs)
        kwargs = determine_kwargs(self.python_callable, self.op_args, context)
        returned = self.python_callable(*self.op_args, **kwargs)
        return asyncio.run(returned) if inspect.iscoroutine(returned) else returned


class _BedrockDecoratedOperator(_FunctionSays, BedrockConverseOperator):
    custom_operator_name: str = "@task.bedrock"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in BedrockConverseOperator.template_fields if name not in _SET_BY_THE_FUNCTION),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = dict(DecoratedOperator.template_fields_renderers)

    def __init__(self, **kwargs: Any) -> None:
        _refuse(kwargs, _SET_BY_THE_FUNCTION, self.custom_operator_name)
        super().__init__(**kwargs)
        self._asked: BedrockConverseRequest | None = None

    def execute(self, context: Context) -> Any:
        returned = self._returned(context)
        if isinstance(returned, BedrockConverseRequest):
            self._asked, self.messages = returned, returned.messages
        elif isinstance(returned, str) and returned.strip():
            self.prompt = returned
        elif isinstance(returned, Mapping):
            self.messages = [returned]
        elif isinstance(returned, Sequence) and not isinstance(returned, (str, bytes)) and returned:
            self.messages = returned
        else:
            raise AirflowFailException(
                f"The function {self.python_callable.__name__!r} returned "
                f"{'an empty value' if not returned else type(returned).__name__}. "
                "Return a prompt, a list of messages or a BedrockConverseRequest."
            )
        return super().execute(context)

    def _request(self, context: Context) -> BedrockConverseRequest:
        """What the function's request says wins over what the decorator says; tags and settings are merged."""
        request = super()._request(context)
        asked = self._asked
        if asked is None:
            return request
        given = asked.to_dict()
        for name in ("inference_config", "request_metadata", "extra_request_fields"):
            if merged := {**(getattr(request, name) or {}), **(getattr(asked, name) or {})}:
                given[name] = merged
        return replace(request, **given)


class _BedrockParallelDecoratedOperator(_FunctionSays, BedrockParallelOperator):
    custom_operator_name: str = "@task.bedrock_parallel"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in BedrockParallelOperator.template_fields if name != "source"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = dict(DecoratedOperator.template_fields_renderers)

    def __init__(self, **kwargs: Any) -> None:
        _refuse(kwargs, frozenset({"source", "requests"}), self.custom_operator_name)
        super().__init__(**kwargs)

    def execute(self, context: Context) -> Any:
        returned = self._returned(context)
        if isinstance(returned, (str, bytes, Mapping)) or not isinstance(returned, Iterable):
            raise AirflowFailException(
                f"The function {self.python_callable.__name__!r} returned {type(returned).__name__}. "
                "Return a list: of prompts, of requests, or, where the decorator has a `prompt`, of records."
            )
        self.requests = [_row(one) for one in returned]
        return super().execute(context)


def _row(one: Any) -> Any:
    return {"messages": [text_message(one)]} if isinstance(one, str) else one


def _refuse(kwargs: Mapping[str, Any], names: frozenset[str], decorator: str) -> None:
    for name in sorted(names & kwargs.keys()):
        raise TypeError(f"{decorator} takes no {name}: the function returns it. Leave {name} out.")


def bedrock_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """`@task.bedrock`: ask Bedrock what a function returns.

    Args:
        python_callable: returns a prompt, Converse messages (or one), or a `BedrockConverseRequest`.
        **kwargs: as for `BedrockConverseOperator`, apart from `prompt` and `messages`.

    Returns:
        The task, whose result is the answer's text, or the validated value where there is an `output_schema`.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=_BedrockDecoratedOperator,
        # Airflow would take the function's return type for the task's, and split the answer of a `-> dict`.
        **{"multiple_outputs": False, **kwargs},
    )


def bedrock_parallel_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """`@task.bedrock_parallel`: ask Bedrock each of what a function returns, as a job that loses no paid answer.

    Args:
        python_callable: returns records for the `prompt` template of the decorator, or, without a template, prompts,
            `BedrockConverseRequest`s or dicts of their fields. It runs once per try; what it returned is kept in the
            job's folder, and the task goes on from there when it was deferred.
        **kwargs: as for `BedrockParallelOperator`, apart from `source` and `requests`.

    Returns:
        The task, whose result holds the output's URI, counts, tokens and cost.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=_BedrockParallelDecoratedOperator,
        # Airflow would take the function's return type for the task's, and split the answer of a `-> dict`.
        **{"multiple_outputs": False, **kwargs},
    )
