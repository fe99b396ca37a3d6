"""Prompt templates: Jinja in its sandbox, compiled once, rendered per record.

What the records hold is data: it is put into the text as it is, and `{{ }}` inside it means nothing.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, nodes
from jinja2 import TemplateError as JinjaError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

from airflow_provider_bedrock_llm.core.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WHOLE_RECORD", "PromptTemplate"]

WHOLE_RECORD = "record"
"""The name under which a template finds the whole row, for columns whose names are no identifiers."""

_TOLERANT_FILTERS = frozenset({"default", "d"})
_TOLERANT_TESTS = frozenset({"defined", "undefined"})


def _without_none(value: Any) -> Any:
    return "" if value is None else value


def _to_json(value: Any, indent: int | None = None) -> str:
    """Jinja's own `tojson` writes for HTML: it escapes quotes, `<`, `>`, `&` and every letter that is not ASCII."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


_ENVIRONMENT = SandboxedEnvironment(
    undefined=StrictUndefined,
    finalize=_without_none,
    keep_trailing_newline=True,
    autoescape=False,
)
_ENVIRONMENT.filters["tojson"] = _to_json


class PromptTemplate:
    """A compiled template.

    Args:
        text: Jinja source. Columns are variables (`{{ text }}`); `record` is the whole row (`{{ record["a b"] }}`).
            An empty value of JSON (`null`) renders as nothing. Jinja's filters, tests, conditions and loops are there;
            `tojson` writes JSON as it is, not for HTML.
        setting: the setting that it comes from, for errors.

    Raises:
        TemplateError: it is not valid Jinja.
    """

    def __init__(self, text: str, setting: str) -> None:
        self.text = text
        self.setting = setting
        try:
            tree = _ENVIRONMENT.parse(text)
            self._template = _ENVIRONMENT.from_string(text)
            self._template.globals = dict(self._template.globals)  # not a ChainMap, which each record would go through
        except JinjaError as error:
            line = getattr(error, "lineno", None)
            where = f" (line {line} of it)" if line else ""
            raise TemplateError(
                f"{setting} is not a valid Jinja template: {error}{where}. "
                "Correct it; a column is written {{ column }}."
            ) from error
        self.columns = _required_columns(tree)
        self.prefix = _leading_text(tree)
        """The text that every prompt begins with."""
        self._constant = _constant_text(tree)
        self.is_constant = self._constant is not None
        """Whether every record gives the same text."""
        self._takes_record = WHOLE_RECORD in find_undeclared_variables(tree)

    def render(self, fields: Mapping[str, Any]) -> str:
        """Fill in a record.

        Raises:
            TemplateError: the template cannot be rendered with these columns. The text holds no data of the record.
        """
        if self._constant is not None:
            return self._constant
        try:
            if self._takes_record:
                return self._template.render(fields, **{WHOLE_RECORD: fields})
            return self._template.render(fields)
        except Exception as error:
            raise TemplateError(
                f"{self.setting} cannot be rendered: {_without_data(error)}. Correct the template or the record."
            ) from error


def _without_data(error: Exception) -> str:
    """Jinja's own errors name variables; others may quote values, so only their type is told."""
    return str(error) if isinstance(error, JinjaError) else type(error).__name__


def _constant_text(tree: nodes.Template) -> str | None:
    """The text of a template that is the same for every record, such as most system prompts."""
    parts = [part for output in tree.body for part in (output.nodes if isinstance(output, nodes.Output) else [None])]
    texts = [part.data for part in parts if isinstance(part, nodes.TemplateData)]
    return "".join(texts) if len(texts) == len(parts) else None


def _leading_text(tree: nodes.Template) -> str:
    parts = itertools.chain.from_iterable(
        output.nodes if isinstance(output, nodes.Output) else [output] for output in tree.body
    )
    texts = itertools.takewhile(lambda part: isinstance(part, nodes.TemplateData), parts)
    return "".join(part.data for part in texts if isinstance(part, nodes.TemplateData))


def _required_columns(tree: nodes.Template) -> frozenset[str]:
    """The columns that a record must have: those without a default and without a test whether they are there."""
    tolerated = {_name_of(node.node) for node in tree.find_all(nodes.Filter) if node.name in _TOLERANT_FILTERS}
    tolerated |= {_name_of(node.node) for node in tree.find_all(nodes.Test) if node.name in _TOLERANT_TESTS}
    named = find_undeclared_variables(tree) - {WHOLE_RECORD}
    looked_up = {name for node in tree.find_all((nodes.Getitem, nodes.Getattr)) if (name := _name_of(node)) is not None}
    return frozenset((named | looked_up) - tolerated)


def _name_of(node: nodes.Expr | None) -> str | None:
    """The column that an expression names: `text`, `record.text` or `record["text"]`."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, (nodes.Getitem, nodes.Getattr)):
        owner = node.node
        if not (isinstance(owner, nodes.Name) and owner.name == WHOLE_RECORD):
            return None
        if isinstance(node, nodes.Getattr):
            return node.attr
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return node.arg.value
    return None
