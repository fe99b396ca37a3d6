"""`airflow bedrock-llm converse` and `chat`: ask a model from the command line, through an Airflow connection.

The answer goes to the standard output, everything else to the standard error, so that a pipe gets the answer alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command

from airflow_provider_bedrock_llm.cli_screen import count, painted, without_logs
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, LLMManagerError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

__all__ = ["CHAT_COMMAND", "CONVERSE_COMMAND", "chat", "converse"]

_ARGUMENTS = (
    Arg(("--conn-id",), default="bedrock_llm_default", help="the Airflow connection"),
    Arg(("--model",), action="append", help="a model to ask, best first; default: those of the connection"),
    Arg(("--region",), action="append", help="a region to call, best first; default: those of the connection"),
    Arg(("--system",), help="the system prompt"),
    Arg(("--max-tokens",), type=count, help="the longest answer"),
    Arg(("--temperature",), type=float, help="0 for the likeliest answer"),
)

CONVERSE_COMMAND = ActionCommand(
    name="converse",
    help="Send one prompt, and print the answer as it comes. Billed",
    func=lazy_load_command(f"{__name__}.converse"),
    args=(
        Arg(("prompt",), help="the prompt; - reads it from the standard input"),
        *_ARGUMENTS,
        Arg(("--schema",), help="a file with a JSON Schema that the answer must fit"),
        Arg(("--json",), action="store_true", help="print the whole response as JSON: tokens, cost, every attempt"),
    ),
)

CHAT_COMMAND = ActionCommand(
    name="chat",
    help="Talk with a model; an empty line or Ctrl-D ends it. Billed",
    func=lazy_load_command(f"{__name__}.chat"),
    args=_ARGUMENTS,
)


def converse(args: Namespace) -> None:
    """Send one prompt. Ends with code 1 and a sentence where there is no answer."""
    try:
        prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
        schema = json.loads(Path(args.schema).read_text(encoding="utf-8")) if args.schema else None
        with without_logs() as screen:
            hook = _hook(args, output_schema=schema)
            request = _request(args, [text_message(prompt)])
            if args.json or schema is not None:
                response = hook.converse_with_request(request)
                value = response.to_dict() if args.json else response.structured_output
                screen.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
            else:
                response = _stream(hook, request, screen)
    except (LLMManagerError, OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    _account(response)


def chat(args: Namespace) -> None:
    """Talk until an empty line or the end of the input. What fails is said, and may be asked again."""
    messages: list[dict[str, Any]] = []
    spent_usd = 0.0
    try:
        with without_logs() as screen:
            hook = _hook(args)
            while text := _read_line(screen):
                messages.append(text_message(text))
                try:
                    response = _stream(hook, _request(args, messages), screen)
                except ConfigurationError:
                    raise  # which asking again would not mend
                except LLMManagerError as error:
                    messages.pop()
                    sys.stderr.write(f"{type(error).__name__}: {error}\n")
                    continue
                messages.append(text_message(response.get_content() or "", "assistant"))
                spent_usd += response.cost_usd or 0.0
                _account(response, spent_usd)
    except LLMManagerError as error:
        sys.exit(f"{type(error).__name__}: {error}")


def _hook(args: Namespace, **settings: Any) -> BedrockLLMHook:
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook  # noqa: PLC0415 - heavy

    return BedrockLLMHook(args.conn_id, models=args.model, regions=args.region, **settings)


def _request(args: Namespace, messages: list[dict[str, Any]]) -> BedrockConverseRequest:
    limits = {"maxTokens": args.max_tokens, "temperature": args.temperature}
    return BedrockConverseRequest(
        messages,
        system=[{"text": args.system}] if args.system else None,
        inference_config={name: value for name, value in limits.items() if value is not None} or None,
    )


def _stream(hook: BedrockLLMHook, request: BedrockConverseRequest, screen: TextIO) -> BedrockResponse:
    stream = hook.converse_stream_with_request(request)
    for piece in stream:
        screen.write(str(piece))  # the default recovery never restarts, so every piece is text
        screen.flush()
    screen.write("\n")
    return stream.response


def _read_line(screen: TextIO) -> str:
    if sys.stdin.isatty():
        screen.write("> ")
        screen.flush()
    try:
        return sys.stdin.readline().strip()
    except KeyboardInterrupt:
        return ""


def _account(response: BedrockResponse, spent_usd: float | None = None) -> None:
    usage = response.usage
    cost = "unknown cost" if response.cost_usd is None else f"{response.cost_usd:.6f} USD"
    total = "" if spent_usd is None else f", {spent_usd:.6f} USD in all"
    sys.stderr.write(
        painted(
            f"[{response.model_used} in {response.region_used}: {usage.input_tokens} tokens in, "
            f"{usage.output_tokens} out, {cost}{total}]",
            "dim",
            sys.stderr,
        )
        + "\n"
    )
