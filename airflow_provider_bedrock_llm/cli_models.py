"""`airflow bedrock-llm models`: look at the model catalog, or refresh it.

Looking asks nobody: it takes the Variable if there is one, else the snapshot of the package. Airflow imports this
module at every start of its command line, so the functions import what they need when they run.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand, Arg, lazy_load_command

from airflow_provider_bedrock_llm.core.catalog_metadata import DEFAULT_VARIABLE_KEY, CacheMode
from airflow_provider_bedrock_llm.core.errors import LLMManagerError
from airflow_provider_bedrock_llm.core.model_listing import SORT_KEYS, ModelFilter, model_rows

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_bedrock_llm.core.catalog_metadata import CatalogMetadata
    from airflow_provider_bedrock_llm.core.model_listing import ModelRow

__all__ = ["MODELS_COMMAND", "models"]

MODELS_COMMAND = ActionCommand(
    name="models",
    help="List the Bedrock models, or `models refresh` the catalog of an account",
    description="Without an action: list the models, from the catalog's Variable or the package's snapshot.",
    func=lazy_load_command(f"{__name__}.models"),
    args=(
        Arg(("action",), nargs="?", choices=("list", "refresh"), default="list", help="list (default) or refresh"),
        Arg(("--region",), help="models that can be called there, and under which id"),
        Arg(("--provider",), help="such as Anthropic"),
        Arg(("--capability",), action="append", default=[], help="such as tool_use; may be given several times"),
        Arg(("--mode",), help="such as chat or embedding"),
        Arg(("--max-price",), type=float, help="US dollars for a million tokens in and a million out, together"),
        Arg(("--sort",), choices=SORT_KEYS, default="name", help=f"one of {', '.join(SORT_KEYS)}"),
        Arg(("--ended",), action="store_true", help="show models that have passed their end of life, too"),
        Arg(("--bundled",), action="store_true", help="look at the package's snapshot, whatever the Variable says"),
        Arg(("--variable-key",), default=DEFAULT_VARIABLE_KEY, help="the catalog's Variable"),
        Arg(("--conn-id",), default="bedrock_llm_default", help="refresh: the connection of the account"),
        Arg(("--max-bytes",), type=int, help="refresh: the room for the Variable, such as 4096 for a small backend"),
        Arg(("--to-file",), help="refresh: write the text there instead of into the Variable, for a secrets backend"),
        ARG_OUTPUT,
    ),
)


def models(args: Namespace) -> None:
    """Run the command. Ends the process with code 1 and one sentence where it cannot do what was asked."""
    _log_to_stderr()
    try:
        if args.action == "refresh":
            _refresh(args)
        else:
            _list(args)
    except LLMManagerError as error:
        sys.exit(str(error))


def _list(args: Namespace) -> None:
    from airflow_provider_bedrock_llm.aws.model_catalog import BedrockModelCatalog  # noqa: PLC0415 - see above
    from airflow_provider_bedrock_llm.hooks.catalog_variable import AirflowVariableStore  # noqa: PLC0415

    store = None if args.bundled else AirflowVariableStore()
    catalog = BedrockModelCatalog(None, store, variable_key=args.variable_key, max_age_hours=float("inf"))
    wanted = ModelFilter(
        region=args.region,
        provider=args.provider,
        capabilities=tuple(args.capability),
        mode=args.mode,
        max_price_usd=args.max_price,
        today=None if args.ended else datetime.now(UTC).date(),
    )
    rows = model_rows(catalog.ensure_catalog_available(), wanted, sort=args.sort)
    _show([row.as_dict() for row in rows] if args.output == "json" else [_columns(row) for row in rows], args.output)
    _say(f"{len(rows)} models, {_in_words(catalog.get_catalog_metadata())}.")


def _refresh(args: Namespace) -> None:
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook  # noqa: PLC0415
    from airflow_provider_bedrock_llm.hooks.catalog_variable import model_catalog  # noqa: PLC0415

    settings: dict[str, Any] = {"variable_key": args.variable_key, "max_variable_bytes": args.max_bytes}
    if args.region:
        settings["regions"] = [args.region]
    if args.to_file:
        settings["cache_mode"] = CacheMode.NONE
    catalog = model_catalog(BedrockLLMHook(bedrock_conn_id=args.conn_id), **settings)
    metadata = catalog.refresh_catalog()
    if args.to_file:
        text = catalog.learned_text()
        if text is None:
            sys.exit(
                f"What was learned does not fit --max-bytes={args.max_bytes}. Ask fewer regions, or give more room."
            )
        try:
            Path(args.to_file).write_text(text, encoding="utf-8")
        except OSError as error:
            sys.exit(f"{args.to_file} cannot be written: {error}. Give a file in a folder that is there.")
    for region, cause in sorted(metadata.regions_failed.items()):
        _say(f"{region} gave no models: {cause}")
    _say(f"{len(catalog.list_models())} models, {_in_words(metadata)}.")


def _columns(row: ModelRow) -> dict[str, Any]:
    told = row.as_dict()
    shown = {
        "name": told["name"],
        "send": told["send"] + (" (assumed)" if row.assumed else ""),
        "in $/M": told["input_usd_per_million"],
        "out $/M": told["output_usd_per_million"],
        "context": told["context_window_tokens"],
        "max out": told["max_output_tokens"],
        "capabilities": ", ".join(told["capabilities"]) or None,
        "ends": told["end_of_life"],
    }
    return {column: "?" if value is None else value for column, value in shown.items()} | {
        "ends": told["end_of_life"] or ""
    }


def _show(rows: list[dict[str, Any]], output: str) -> None:
    if output == "json":
        print(json.dumps(rows, indent=2))  # noqa: T201 - what the command is for
        return
    from airflow.cli.simple_table import AirflowConsole  # noqa: PLC0415 - imports rich

    AirflowConsole().print_as(data=rows, output=output)


def _in_words(metadata: CatalogMetadata) -> str:
    if not metadata.api_regions_queried:
        return f"from the package's snapshot of {metadata.bundled_data_version}"
    return f"{len(metadata.api_regions_queried)} regions answered, the oldest on {metadata.retrieval_timestamp}"


def _log_to_stderr() -> None:
    """Airflow's command line logs to stdout, where the table or the JSON goes."""
    ours = logging.getLogger(__name__.partition(".")[0])
    ours.addHandler(logging.StreamHandler(sys.stderr))
    ours.propagate = False


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - stdout is for the table
