"""`airflow bedrock-llm candidates` makes a candidate list; `airflow bedrock-llm route` says who would answer a prompt.

Airflow imports this at every start of its command line, so the functions import what they need when they run.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command

from airflow_provider_bedrock_llm.cli_screen import count
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, LLMManagerError

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["CANDIDATES_COMMAND", "ROUTE_COMMAND", "candidates", "route"]

CANDIDATES_COMMAND = ActionCommand(
    name="candidates",
    help="Make a candidate list for a router from the catalog, as JSON. Asks nobody",
    func=lazy_load_command(f"{__name__}.candidates"),
    args=(
        Arg(("--region",), help="models that can be called there, at the price there; it becomes their aws_region"),
        Arg(("--provider",), action="append", default=[], help="such as Anthropic; may be given several times"),
        Arg(("--capability",), action="append", default=[], help="such as tool_use; may be given several times"),
        Arg(("--max-price",), type=float, help="US dollars for a million tokens in and a million out, together"),
        Arg(("--json",), action="store_true", help="the list as JSON, which is the default"),
        Arg(("--to-file",), help="write the list there instead"),
    ),
)
ROUTE_COMMAND = ActionCommand(
    name="route",
    help="Say who would answer a prompt, why, over which routes and at what price. Asks no model for an answer",
    func=lazy_load_command(f"{__name__}.route"),
    args=(
        Arg(("prompt",), help="the user's message"),
        Arg(("--candidates",), help="a file, a URI of object storage, variable://name or JSON; else the connection's"),
        Arg(("--routing",), help="a strategy, the path of a function as package.module:name, or a rule as JSON"),
        Arg(("--conn-id",), default="bedrock_llm_default", help="the Airflow connection"),
        Arg(("--max-tokens",), type=count, help="what the answer may have"),
        Arg(("--json",), action="store_true", help="as JSON"),
    ),
)


def candidates(args: Namespace) -> None:
    """Print or write a list of models that are not past their end of life and whose price is known."""
    from airflow_provider_bedrock_llm.aws.catalog_bundle import load_bundled_catalog  # noqa: PLC0415
    from airflow_provider_bedrock_llm.core.candidate_facts import candidate_entries  # noqa: PLC0415
    from airflow_provider_bedrock_llm.core.model_listing import ModelFilter, model_rows  # noqa: PLC0415

    catalog, today = load_bundled_catalog(), datetime.now(UTC).date()
    rows = [
        row
        for provider in args.provider or [None]
        for row in model_rows(
            catalog,
            ModelFilter(args.region, provider, tuple(args.capability), "chat", args.max_price, today),
        )
        if row.price_usd is not None
    ]
    text = json.dumps(candidate_entries(rows, args.region), indent=2, ensure_ascii=False)
    if not rows:
        sys.exit("No model of the catalog fits. Leave out a filter, or look with `airflow bedrock-llm models`.")
    if args.to_file:
        try:
            Path(args.to_file).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            sys.exit(f"{args.to_file} cannot be written: {error}. Give a file in a folder that is there.")
        print(f"{len(rows)} candidates in {args.to_file}.", file=sys.stderr)  # noqa: T201 - what the command is for
    else:
        print(text)  # noqa: T201 - what the command is for


def route(args: Namespace) -> None:
    """Ends with code 1 and one sentence where the list is wrong or nobody can take the prompt."""
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook  # noqa: PLC0415

    logging.disable(logging.WARNING)
    try:
        hook = BedrockLLMHook(args.conn_id, candidates=args.candidates, routing=_rule(args.routing))
        settings = {"inference_config": {"maxTokens": args.max_tokens}} if args.max_tokens else {}
        choice = hook.route(args.prompt, **settings)
        names = choice.models if hook.has_candidates else [one.model for one in choice.ranking]
        routes = hook.plan_for(list(names)).routes(_regions(hook, choice.ranking))
    except LLMManagerError as error:
        sys.exit(str(error))
    costs = {one.model: cost for one, cost in zip(choice.ranking, choice.estimated_costs_usd, strict=True)}
    told = [
        {
            "candidate": one.choice.candidate or one.model,
            "model_id": one.model_id,
            "region": one.region,
            "access": one.access,
            "estimated_cost_usd": costs.get(one.model),
        }
        for one in routes
    ]
    _show(choice.to_dict() | {"routes": told}, as_json=args.json)


def _rule(text: str | None) -> Any:
    try:
        return json.loads(text) if text and text.lstrip().startswith("{") else text
    except ValueError as error:
        raise ConfigurationError(f"--routing is not JSON: {error}. Correct it, or give a strategy's name.") from error


def _regions(hook: Any, ranking: Any) -> list[str]:
    is_regional = any(one.is_bedrock and one.aws_region is None for one in ranking)
    return hook.get_available_regions() if is_regional else []


def _show(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))  # noqa: T201 - what the command is for
        return
    lines = [f"{told['candidate']} would be asked: {told['reason']}."]
    lines += [
        f"  {number}. {one['candidate']}: {one['model_id']} in {one['region']} ({one['access']}), "
        + ("price not known" if one["estimated_cost_usd"] is None else f"about {one['estimated_cost_usd']:.6f} USD")
        for number, one in enumerate(told["routes"], 1)
    ]
    lines += [f"  not {name}: {why}" for name, why in told["misfits"].items()]
    print("\n".join(lines))  # noqa: T201 - what the command is for
