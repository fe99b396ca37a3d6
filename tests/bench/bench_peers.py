"""Our figures beside those of the peers: rows that are paid twice after kills, after one more row, with equal prompts,
and the throughput of a job with template, schema and journal.

Every job runs in a process of its own, as the trigger runs it; calls are counted by the endpoint, in another one. The
peers' figures were measured before, by themselves, on another day: they are printed for comparison, not measured here.

    python -m tests.bench.bench_peers [--share 0.1]     a tenth of the rows
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[2])]

# ruff: noqa: E402
from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.local import LocalEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_bedrock_llm.local.endpoint import SpawnedEndpoint

CONN_ID = "bench_peers"
SCHEMA = {
    "type": "object",
    "properties": {"sentiment": {"enum": ["positive", "negative", "neutral"]}, "score": {"type": "number"}},
    "required": ["sentiment", "score"],
    "additionalProperties": False,
}
THROUGHPUT_OF_PEERS = (
    "boto3 threads 486 at 1.1, langchain-aws 451 at 1.5, curator 157 at 4.3, pydantic-ai 58 at 7.2, "
    "Airflow's mapped tasks 0.53"
)


@dataclass(frozen=True)
class Bench:
    """One endpoint and one folder for all measurements.

    Args:
        endpoint: counts.
        folder: of sources and jobs.
        share: of the rows.
    """

    endpoint: SpawnedEndpoint
    folder: Path
    share: float

    def rows(self, count: int) -> int:
        """How many instead of so many."""
        return max(10, round(count * self.share))

    def write(self, name: str, texts: list[str]) -> Path:
        source = self.folder / f"{name}.jsonl"
        source.write_text("".join(json.dumps({"id": f"r{n}", "text": text}) + "\n" for n, text in enumerate(texts)))
        return source

    def job(self, name: str, texts: list[str], *, in_flight: int = 64, **settings: Any) -> str:
        """Describe a job; returns its URI."""
        spec = JobSpec(
            job_uri=str(self.folder / name),
            models=("amazon.nova-lite-v1:0",),
            prompt_template="How does this customer feel? Answer in JSON.\n\nReview: {{ text }}",
            source_uri=str(self.write(name, texts)),
            id_columns=("id",),
            output_schema=SCHEMA,
            inference_config={"maxTokens": 100},
            parallel=ParallelProcessingConfig(max_concurrent_requests=in_flight),
            bedrock_conn_id=CONN_ID,
            **settings,
        )
        spec.save()
        return spec.job_uri

    def start(self, job_uri: str) -> subprocess.Popen[str]:
        extra = {"endpoint_url": self.endpoint.url, "region_name": "us-east-1"}
        connection = {"conn_type": "bedrockllm", "login": "AKIDLOCALEXAMPLE", "password": "local", "extra": extra}
        environment = {
            **os.environ,
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(connection),
            "AIRFLOW__BEDROCK_LLM__CATALOG_MODE": "bundled",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        }
        command = [sys.executable, str(Path(__file__)), "--run", job_uri]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def finish(self, job_uri: str) -> dict[str, Any]:
        """Run a job to its end."""
        process = self.start(job_uri)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        assert result["state"] == "succeeded", result
        return result

    def calls(self) -> int:
        """That reached the endpoint, answered or not."""
        stats = self.endpoint.control.stats()
        return stats.calls + stats.in_flight

    def prepare(self, latency_seconds: float) -> None:
        """Begin a count."""
        self.endpoint.control.reset()
        self.endpoint.control.latency(latency_seconds)


def run_here(job_uri: str) -> None:
    """The job's process: as in a triggerer, SIGTERM drains."""
    from airflow_provider_bedrock_llm.hooks.enrichment import load_job, open_hook, run_enrichment

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        spec = load_job(job_uri)
        hook = open_hook(spec)
        await hook.prefetch()
        wall, cpu = time.perf_counter(), time.process_time()
        manifest = await run_enrichment(
            spec, hook, stop=stop, token=str(os.getpid()), on_progress=lambda _: None, drain_seconds=30
        )
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"state": manifest.state, "seconds": seconds, "cpu_seconds": cpu_seconds}))

    asyncio.run(run())


def paid_again(bench: Bench, signum: signal.Signals) -> tuple[int, int]:
    """A job that gets a signal twice: rows that are paid again, and what was in flight and unflushed at the signals."""
    rows, latency_seconds, in_flight = bench.rows(2_000), 0.2, 64
    bench.prepare(latency_seconds)
    job_uri = bench.job(f"crash-{signum.name}", [f"text {n}" for n in range(rows)], in_flight=in_flight)
    at_risk = 0
    for _ in range(2):
        goal = bench.calls() + rows / 4
        process = bench.start(job_uri)
        wait_until(lambda goal=goal: bench.calls() >= goal)  # type: ignore[misc]
        process.send_signal(signum)
        process.communicate()
        wait_until(lambda: bench.endpoint.control.stats().in_flight == 0)
        at_risk += bench.calls() - kept_lines(job_uri) - at_risk
    bench.finish(job_uri)
    return bench.calls() - rows, at_risk


def kept_lines(job_uri: str) -> int:
    return sum(part.read_bytes().count(b"\n") for part in Path(job_uri, "results").glob("*.jsonl"))


def one_more_row(bench: Bench) -> int:
    """Calls after a row was added to a finished job."""
    texts = [f"text {n}" for n in range(bench.rows(500))]
    bench.prepare(0.02)
    job_uri = bench.job("grows", texts)
    bench.finish(job_uri)
    before = bench.calls()
    bench.write("grows", [*texts, "one more"])
    bench.finish(job_uri)
    return bench.calls() - before


def equal_prompts(bench: Bench) -> tuple[int, int]:
    """Calls for rows of which ten each ask the same, and how many different prompts there are."""
    rows = bench.rows(1_000)
    bench.prepare(0.02)
    bench.finish(bench.job("equal", [f"text {n % (rows // 10)}" for n in range(rows)], dedupe=True))
    return bench.calls(), rows // 10


def throughput(bench: Bench) -> tuple[float, float]:
    """Rows per second and CPU milliseconds per row, everything from the lease to the output included."""
    rows = bench.rows(15_000)
    bench.prepare(0.5)
    result = bench.finish(bench.job("fast", [f"text {n}" for n in range(rows)], in_flight=256))
    assert bench.calls() == rows
    return rows / result["seconds"], result["cpu_seconds"] * 1000 / rows


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lines(bench: Bench) -> Iterator[tuple[str, str, str]]:
    """What is measured, our figure, the peers' figures."""
    killed, at_risk = paid_again(bench, signal.SIGKILL)
    yield (
        f"{bench.rows(2_000):,} rows, SIGKILL twice: rows paid again",
        f"{killed:,} (in flight and unflushed: {at_risk:,})",
        "langchain-aws 1,200, data-designer 209 to 1,203, curator 110 of 2,000",
    )
    drained, _ = paid_again(bench, signal.SIGTERM)
    yield f"{bench.rows(2_000):,} rows, SIGTERM twice: rows paid again", f"{drained:,}", "not measured"
    yield f"one row added to {bench.rows(500):,}: calls", f"{one_more_row(bench):,}", "curator 501 for 501 rows"
    calls, prompts = equal_prompts(bench)
    yield f"{bench.rows(1_000):,} rows, {prompts:,} prompts: calls", f"{calls:,}", "others 1,000 for 100 prompts"
    per_second, cpu_ms = throughput(bench)
    yield (
        f"{bench.rows(15_000):,} rows at 256 in flight, 500 ms (ideal 512/s)",
        f"{per_second:,.0f}/s at {cpu_ms:.2f} ms of CPU a row",
        THROUGHPUT_OF_PEERS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the rows; 1 is the peers' size")
    parser.add_argument("--run", metavar="JOB_URI", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_here(arguments.run)
        return
    with tempfile.TemporaryDirectory() as folder, LocalEndpoint.spawn(port=0) as endpoint:
        for what, ours, peers in lines(Bench(endpoint, Path(folder), arguments.share)):
            print(f"{what}\n    ours:  {ours}\n    peers: {peers}", flush=True)


if __name__ == "__main__":
    main()
