"""What a job costs beside its calls: CPU per record, time to resume, time to merge, memory. Run by hand:

python tests/bench/bench_jobs.py [records ...]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

# ruff: noqa: E402
from harness.job_engine import answered

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.runner import run_job

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.jobs.manifest import Manifest

SCHEMA = {
    "type": "object",
    "properties": {"sentiment": {"enum": ["positive", "negative", "neutral"]}, "score": {"type": "number"}},
    "required": ["sentiment", "score"],
}
ANSWER = json.dumps({"sentiment": "positive", "score": 0.25})
TEXT = "The picture was sharp and the remote felt cheap, but after a week it stopped talking to the television. "


class InstantEngine:
    """Answers at once; checks the schema as the real one does."""

    def __init__(self) -> None:
        self.calls = 0
        self._schema = OutputSchema.of(SCHEMA)

    async def ask(self, request: Any) -> Any:
        self.calls += 1
        await asyncio.sleep(0)
        response = answered(ANSWER)
        verdict = self._schema.check(response)
        return answered(ANSWER, verdict.value)


class EmptyEngine(InstantEngine):
    """The same without the schema: what the loop itself costs."""

    async def ask(self, request: Any) -> Any:
        self.calls += 1
        await asyncio.sleep(0)
        return answered(ANSWER, {"sentiment": "positive", "score": 0.25})


def make_spec(folder: Path, records: int) -> JobSpec:
    source = folder / "rows.csv"
    with source.open("w") as stream:
        stream.write("review_id,text,stars\n")
        for number in range(records):
            stream.write(f'r{number},"{TEXT}{number}",{number % 5}\n')
    return JobSpec(
        job_uri=str(folder / "job"),
        models=("us.amazon.nova-lite-v1:0",),
        prompt_template="How does this customer feel? Answer in JSON.\n\nReview: {{ text }}",
        system_template="You rate reviews.",
        source_uri=str(source),
        id_columns=("review_id",),
        keep_columns=("stars",),
        output_schema=SCHEMA,
        inference_config={"maxTokens": 100, "temperature": 0.0},
        parallel=ParallelProcessingConfig(max_concurrent_requests=200),
        tags={"dag": "bench", "run": "r", "task": "t"},
    )


def run_once(job_json: bytes, engine_class: type[InstantEngine]) -> dict[str, float]:
    """In a process of its own, so that memory is this run's alone."""
    spec, engine = JobSpec.from_json(job_json), engine_class()
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    phases: dict[str, float] = {}
    last = [time.perf_counter(), "resuming"]

    def note(manifest: Manifest) -> None:
        now = time.perf_counter()
        phases[last[1]] = phases.get(last[1], 0.0) + now - last[0]
        last[:] = [now, manifest.phase]

    started, cpu = time.perf_counter(), time.process_time()
    manifest = asyncio.run(run_job(spec, engine, on_progress=note))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    assert manifest.state == "succeeded", manifest.error
    return {
        "calls": engine.calls,
        "seconds": round(seconds, 2),
        "cpu_us_per_record": round(cpu_seconds * 1e6 / (manifest.counts.total or 1), 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "rss_before_mb": round(before_mb, 1),
        **{f"~{phase}": round(spent, 1) for phase, spent in phases.items()},
    }


def in_process(*arguments: Any) -> dict[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run_once, arguments)


def bench(records: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = make_spec(folder, records)
        print(f"{records:,} records")
        print("  whole run, schema checked:", in_process(spec.to_json(), InstantEngine))
        results = folder / "job" / "results"
        size = sum(part.stat().st_size for part in results.iterdir())
        print(f"  journal: {size / records:.0f} bytes a record in {len(list(results.iterdir()))} parts")
        (folder / "job" / "output.jsonl").unlink()
        cut_last_lines(results, 100)
        print("  resume with all but 100 done:", in_process(spec.to_json(), EmptyEngine))
    with tempfile.TemporaryDirectory() as name:
        print("  whole run, no schema:", in_process(make_spec(Path(name), records).to_json(), EmptyEngine))


def cut_last_lines(results: Path, count: int) -> None:
    last = max(results.iterdir())
    lines = last.read_bytes().splitlines(keepends=True)
    last.write_bytes(b"".join(lines[:-count]))


if __name__ == "__main__":
    for argument in sys.argv[1:] or ["3708", "10000", "100000"]:
        bench(int(argument))
