"""What a job costs beside its calls: records per second, CPU, memory, resume, journal, blocks of the event loop.

    python -m tests.bench.bench_jobs [--records 10000 1000000] [--in-process 10000 1000000]

Each run is a process of its own, and the local endpoint, which answers over HTTP, another one: a million records take
a quarter of an hour at each latency. On demand an engine inside the job's process answers as well, which spares the
HTTP and leaves what the job itself costs. A resume is what the process of a later runner does where all answers but
the last 100 are there.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import sys
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

# ruff: noqa: E402
from harness.job_engine import answered

from airflow_provider_bedrock_llm.aws.parallel import ask_all
from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.runner import run_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

SCHEMA = {
    "type": "object",
    "properties": {"sentiment": {"enum": ["positive", "negative", "neutral"]}, "score": {"type": "number"}},
    "required": ["sentiment", "score"],
    "additionalProperties": False,
}
ANSWER = json.dumps({"sentiment": "positive", "score": 0.25})
TEXT = "The picture was sharp and the remote felt cheap, but after a week it stopped talking to the television. "
CONN_ID = "bench_jobs"
IN_FLIGHT, MORE_IN_FLIGHT = 200, 2_000
LONGEST_WAIT_SECONDS = 120.0
LATENCY_SECONDS = 0.2
BARE_CALLS = 10_000
LEFT = 100
TICK_SECONDS = 0.005


@dataclass(frozen=True)
class Load:
    """One line of the table.

    Args:
        records: of the job.
        latency_seconds: of every answer.
        url: of the endpoint; None for answers from the job's own process.
    """

    records: int
    latency_seconds: float
    url: str | None = None

    @property
    def in_flight(self) -> int:
        """A million records at 200 ms would take a quarter of an hour with the usual 200."""
        wait_seconds = self.records * self.latency_seconds / IN_FLIGHT
        return MORE_IN_FLIGHT if self.url is None and wait_seconds > LONGEST_WAIT_SECONDS else IN_FLIGHT

    @property
    def name(self) -> str:
        """As the table shows it."""
        engine = "in process" if self.url is None else "over HTTP"
        return f"{self.records:>9,}  {engine}  {self.latency_seconds * 1000:>3.0f} ms  {self.in_flight:>5}"


class InProcessEngine:
    """Answers by itself after a while, and checks the schema as the real one does."""

    def __init__(self, latency_seconds: float) -> None:
        self._latency_seconds = latency_seconds
        self._schema = OutputSchema.of(SCHEMA)

    async def ask(self, request: Any) -> Any:
        await asyncio.sleep(self._latency_seconds)
        verdict = self._schema.check(answered(ANSWER))
        return answered(ANSWER, verdict.value)


class Timed:
    """Passes requests on, and notes when the first one came."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.calls = 0
        self.first: tuple[float, float] = (0.0, 0.0)

    async def ask(self, request: Any) -> Any:
        if not self.calls:
            self.first = time.perf_counter(), time.process_time()
        self.calls += 1
        return await self._engine.ask(request)


class Blocks:
    """The longest time for which the loop did not come back to a task that wants it every five milliseconds.

    Python's garbage collection is told apart: when it goes through all that Airflow has loaded, it stops every thread.
    """

    def __init__(self) -> None:
        self.longest_seconds = self.longest_cpu_seconds = self.longest_collection_seconds = 0.0
        self._collected_seconds = 0.0
        self._collecting_since = 0.0

    async def watch(self) -> None:
        gc.callbacks.append(self._collect)
        try:
            while True:
                collected, wall, cpu = self._collected_seconds, time.perf_counter(), time.thread_time()
                await asyncio.sleep(TICK_SECONDS)
                collected = self._collected_seconds - collected
                seconds = time.perf_counter() - wall - TICK_SECONDS
                self.longest_collection_seconds = max(self.longest_collection_seconds, collected)
                self.longest_seconds = max(self.longest_seconds, seconds - collected)
                self.longest_cpu_seconds = max(self.longest_cpu_seconds, time.thread_time() - cpu - collected)
        finally:
            gc.callbacks.remove(self._collect)

    def _collect(self, phase: str, _info: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._collecting_since = now
        else:
            self._collected_seconds += now - self._collecting_since


def make_spec(folder: Path, load: Load) -> JobSpec:
    source = folder / "rows.csv"
    with source.open("w") as stream:
        stream.write("review_id,text,stars\n")
        for number in range(load.records):
            stream.write(f'r{number},"{TEXT}{number}",{number % 5}\n')
    return JobSpec(
        job_uri=str(folder / "job"),
        models=("amazon.nova-lite-v1:0",),
        prompt_template="How does this customer feel? Answer in JSON.\n\nReview: {{ text }}",
        system_template="You rate reviews.",
        source_uri=str(source),
        id_columns=("review_id",),
        keep_columns=("stars",),
        output_schema=SCHEMA,
        inference_config={"maxTokens": 100, "temperature": 0.0},
        parallel=ParallelProcessingConfig(max_concurrent_requests=load.in_flight),
        tags={"dag": "bench", "run": "r", "task": "t"},
        bedrock_conn_id=CONN_ID,
    )


@asynccontextmanager
async def engine_of(load: Load, spec: JobSpec) -> AsyncIterator[Any]:
    """The engine of a load; over HTTP the one that a task's or trigger's process uses."""
    if load.url is None:
        yield InProcessEngine(load.latency_seconds)
        return
    from airflow_provider_bedrock_llm.hooks.enrichment import open_hook

    hook = open_hook(spec)
    await hook.prefetch()
    engine, transport = hook.async_engine(spec.parallel)
    try:
        yield engine
    finally:
        await transport.close()


async def run_whole(load: Load, spec: JobSpec) -> dict[str, float]:
    """A job from the lease to the output."""
    async with engine_of(load, spec) as engine:
        timed, blocks = Timed(engine), Blocks()
        watching = asyncio.create_task(blocks.watch())
        wall, cpu = time.perf_counter(), time.process_time()
        manifest = await run_job(spec, timed)
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        watching.cancel()
    assert manifest.state == "succeeded", manifest.error
    assert manifest.counts.succeeded == load.records, manifest.counts
    return {
        "calls": timed.calls,
        "seconds": seconds,
        "cpu_ms": cpu_seconds * 1000 / load.records,
        "peak_mb": peak_rss_mb(),
        "scan_seconds": timed.first[0] - wall,
        "scan_cpu_seconds": timed.first[1] - cpu,
        "block_ms": blocks.longest_seconds * 1000,
        "block_cpu_ms": blocks.longest_cpu_seconds * 1000,
        "collection_ms": blocks.longest_collection_seconds * 1000,
    }


async def run_bare(load: Load, spec: JobSpec) -> dict[str, float]:
    """The same calls on the parallel path without a job: no source, template, journal, output."""
    left = calls = min(load.records, BARE_CALLS)

    async def next_batch() -> Sequence[BedrockConverseRequest]:
        nonlocal left
        size = min(left, load.in_flight)
        left -= size
        messages = [text_message(f"How does this customer feel? Answer in JSON.\n\nReview: {TEXT}")]
        return [
            BedrockConverseRequest(
                messages, system=[{"text": "You rate reviews."}], inference_config={"maxTokens": 100}
            )
            for _ in range(size)
        ]

    async with engine_of(load, spec) as engine:
        cpu = time.process_time()
        end = await ask_all(engine, next_batch, lambda _request, _response: None, spec.parallel)
        cpu_seconds = time.process_time() - cpu
    assert end.succeeded == calls
    return {"cpu_ms": cpu_seconds * 1000 / calls}


def peak_rss_mb() -> float:
    """Of this process alone: ru_maxrss would begin with what its parent had when it started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def run_here(kind: str, load: Load, job_json: bytes) -> dict[str, float]:
    run = run_bare if kind == "bare" else run_whole
    return asyncio.run(run(load, JobSpec.from_json(job_json)))


def in_process(*arguments: Any) -> dict[str, float]:
    """Run it in a process of its own, so that memory is this run's alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run_here, arguments)


def measure(load: Load) -> tuple[dict[str, float], dict[str, float]]:
    """Run a job of a load and print it; then its last hundred answers are lost, and another process goes on."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = make_spec(folder, load)
        job_json = spec.to_json()
        bare = in_process("bare", load, job_json)
        whole = in_process("whole", load, job_json)
        over = whole["cpu_ms"] - bare["cpu_ms"]
        results = folder / "job" / "results"
        sizes = [part.stat().st_size for part in results.iterdir()]
        print(
            f"{load.name}  {load.records / whole['seconds']:>9,.0f}  {whole['cpu_ms']:>6.3f}  {over:>6.3f}"
            f"  {whole['peak_mb']:>7.1f}  {sum(sizes) / 1e6:>7.1f} MB {len(sizes):>5} parts"
            f"  {whole['block_ms']:>6.0f} {whole['block_cpu_ms']:>6.0f} {whole['collection_ms']:>6.0f}",
            flush=True,
        )
        whole["over_bare_ms"] = over
        (folder / "job" / "output.jsonl").unlink()
        cut_last_lines(results, LEFT)
        again = in_process("whole", load, job_json)
        assert again["calls"] == LEFT, again
        print(
            f"{'':9}  to resume with all but {LEFT} done: first call after {again['scan_seconds']:.1f} s"
            f" ({again['scan_cpu_seconds']:.1f} s of CPU), output after {again['seconds']:.1f} s,"
            f" peak RSS {again['peak_mb']:.1f} MB, longest block {again['block_ms']:.0f} ms"
            f" ({again['block_cpu_ms']:.0f} of CPU)",
            flush=True,
        )
        return whole, again


def cut_last_lines(results: Path, count: int) -> None:
    """Lose the last answers, as a crash would that came before they were kept."""
    for part in sorted(results.iterdir(), reverse=True):
        lines = part.read_bytes().splitlines(keepends=True)
        kept = lines[: max(0, len(lines) - count)]
        part.write_bytes(b"".join(kept))
        count -= len(lines) - len(kept)
        if not count:
            return


@contextmanager
def endpoint_at(latency_seconds: float) -> Iterator[str]:
    """The local endpoint in a process of its own, and a connection to it in the environment; yields its URL."""
    from airflow_provider_bedrock_llm.local import LocalEndpoint

    with LocalEndpoint.spawn() as endpoint, tempfile.TemporaryDirectory() as home:
        extra = {"endpoint_url": endpoint.url, "region_name": "us-east-1"}
        connection = {"conn_type": "bedrockllm", "login": "AKIDLOCALEXAMPLE", "password": "local", "extra": extra}
        os.environ.update(
            {
                "AIRFLOW_HOME": home,
                f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(connection),
                "AIRFLOW__BEDROCK_LLM__CATALOG_MODE": "bundled",
                "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            }
        )
        endpoint.control.latency(latency_seconds)
        yield endpoint.url


def measure_all(sizes: Sequence[int], *, over_http: bool) -> dict[Load, tuple[dict[str, float], dict[str, float]]]:
    found = {}
    for records in sizes:
        for latency_seconds in (0.0, LATENCY_SECONDS):
            with endpoint_at(latency_seconds) if over_http else nullcontext() as url:
                load = Load(records, latency_seconds, url)
                found[load] = measure(load)
    return found


def print_aims(found: Mapping[Load, tuple[dict[str, float], dict[str, float]]]) -> None:
    """What was measured beside what was aimed for, the worst of each."""
    most = max(load.records for load in found)
    wholes = {load: whole for load, (whole, _) in found.items()}
    peaks = {load: whole["peak_mb"] for load, whole in wholes.items()}
    growth = max(
        peaks[large] / peaks[small]
        for large in peaks
        for small in peaks
        if large.records >= small.records and large.latency_seconds == small.latency_seconds
    )
    resumes = [again for load, (_, again) in found.items() if load.records == most]
    block_ms, collection_ms, over_ms = (
        max(whole[name] for whole in wholes.values()) for name in ("block_ms", "collection_ms", "over_bare_ms")
    )
    print(
        f"Peak RSS grows to {growth:.2f} times that of the smallest job (aim: 1.2), to {max(peaks.values()):.0f} MB "
        f"(aim: under 400); {max(again['peak_mb'] for again in resumes):.0f} MB where all but {LEFT} are read back.\n"
        f"Resume scan of {most:,}: {max(again['scan_seconds'] for again in resumes):.1f} s (aim: under 15).\n"
        f"CPU over the bare parallel path: at most {over_ms:.3f} ms a record (aim: under 0.4).\n"
        f"Longest block of the loop: {block_ms:.0f} ms (aim: under 100), and a garbage collection of "
        f"{collection_ms:.0f} ms."
    )


def main() -> None:
    """Print the table, and what it says of the aims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 1_000_000], help="over HTTP")
    parser.add_argument("--in-process", type=int, nargs="*", default=[], help="without HTTP")
    options = parser.parse_args()
    print(f"Jobs: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    print(
        f"{'records':>9}  {'engine':<10}  latency  in flight  records/s  CPU ms  over bare  peak RSS MB"
        "  journal  longest block ms: wall, CPU, collection",
        flush=True,
    )
    for sizes, over_http in ((options.records, True), (options.in_process, False)):
        if sizes:
            print_aims(measure_all(sizes, over_http=over_http))


if __name__ == "__main__":
    main()
