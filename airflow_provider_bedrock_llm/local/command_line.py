"""The command line of the local endpoint."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path

from .answers import Answerer, load_answerer
from .catalog_models import models_of_catalog
from .endpoint import serving
from .latency import Latency
from .models import LocalModel, load_models
from .settings import EndpointSettings
from .state import EndpointState
from .upstream import UpstreamAnswerer

__all__ = ["add_arguments", "run"]

_BUNDLED = Path(__file__).parents[1] / "aws" / "catalog_bundled.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, for `python -m airflow_provider_bedrock_llm.local` and for the Airflow CLI alike."""
    add = parser.add_argument
    add(
        "--host", default="127.0.0.1", help="address to bind to (default: loopback; anyone who reaches it may steer it)"
    )
    add("--port", type=int, default=8799, help="port for http; 0 takes a free one (default: 8799)")
    add("--tls-port", type=int, default=None, help="port for https with a self-signed certificate; 0 takes a free one")
    add("--region", default="us-east-1", help="region of calls that name none (bearer tokens)")
    add("--models", default=None, metavar="FILE", help="JSON of models or a catalog; `bundled` is the package's own")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--answers", default=None, metavar="MODULE:FUNCTION", help="function that makes the answers")
    source.add_argument("--upstream", default=None, metavar="URL", help="OpenAI-compatible server to pass calls on to")
    add("--upstream-model", default=None, help="model name for --upstream (default: the id asked for)")
    add("--upstream-key", default=None, help="API key for --upstream (default: OPENAI_API_KEY of the environment)")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="seconds per answer; the median with --sigma")
    add("--sigma", type=float, default=None, help="draw latencies from a lognormal distribution of this shape")
    add("--seconds-per-token", type=float, default=0.0, help="seconds per output token on top")
    add("--seed", type=int, default=0, help="seed of drawn latencies")
    add(
        "--keep-bodies", type=int, default=0, metavar="N", help="keep the last N request bodies for the control address"
    )
    add("--s3-endpoint", default=None, metavar="URL", help="store of batch jobs (default: AWS's S3)")
    add("--json", action="store_true", help="print the addresses as one line of JSON")
    add("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; prints one line with the address when ready. 2 for bad settings or a taken port."""
    try:
        settings = _settings(args)
        return asyncio.run(_serve(settings, args))
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"local endpoint: {error}\n")
        return 2


def _settings(args: argparse.Namespace) -> EndpointSettings:
    kind = "fixed" if args.sigma is None else "lognormal"
    latency = Latency(
        kind=kind,
        seconds=args.latency,
        sigma=args.sigma or 0.5,
        seed=args.seed,
        per_output_token_seconds=args.seconds_per_token,
    )
    return EndpointSettings(
        host=args.host,
        port=args.port,
        tls_port=args.tls_port,
        default_region=args.region,
        models=_models(args.models),
        answerer=_answerer(args),
        latency=latency,
        keep_bodies=args.keep_bodies,
        s3_endpoint=args.s3_endpoint,
    )


def _models(name: str | None) -> list[LocalModel] | None:
    if name is None:
        return None
    path = _BUNDLED if name == "bundled" else Path(name)
    document = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(document, dict) and "schema_version" in document:
        return models_of_catalog(document)
    return load_models(document["models"] if isinstance(document, dict) else document)


def _answerer(args: argparse.Namespace) -> Answerer | None:
    if args.answers:
        return load_answerer(args.answers)
    if args.upstream:
        return UpstreamAnswerer(args.upstream, model=args.upstream_model, api_key=args.upstream_key)
    return None


async def _serve(settings: EndpointSettings, args: argparse.Namespace) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if args.until_stdin_closes:
        await _watch_stdin(loop, stopping)
    with tempfile.TemporaryDirectory(prefix="local-bedrock-") as folder:
        async with serving(EndpointState(settings), Path(folder)) as (url, tls_url, ca_path):
            if args.json:
                line = json.dumps({"url": url, "tls_url": tls_url, "ca_path": str(ca_path) if ca_path else None})
            else:
                tls = f", {tls_url} (CA file {ca_path})" if tls_url else ""
                line = f"Local Bedrock endpoint ready at {url}{tls}"
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            await stopping.wait()
    return 0


async def _watch_stdin(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    class Watch(asyncio.Protocol):
        def connection_lost(self, _error: Exception | None) -> None:
            stopping.set()

    await loop.connect_read_pipe(Watch, sys.stdin)
