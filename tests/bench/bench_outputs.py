"""What an output costs: seconds, bytes and peak memory per format, for a job's rows that are there already.

    python tests/bench/bench_outputs.py --rows 1000000

Each format runs in a process of its own, at a twentieth of the rows and at all of them: memory must not grow.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.output import write_from_rows
from airflow_provider_bedrock_llm.jobs.sink import Sink

SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string"}, "score": {"type": "integer"}, "why": {"type": "string"}},
}
COUNTRIES = 200
SINKS = {
    "jsonl.gz": Sink(format="jsonl.gz"),
    "csv": Sink(format="csv"),
    "parquet": Sink(format="parquet"),
    "parquet by country": Sink(format="parquet", partition_by=("country",)),
}


def write_rows_file(path: Path, count: int) -> None:
    usage = {"inputTokens": 300, "outputTokens": 40, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0}
    with path.open("w") as file:
        for number in range(count):
            row = {
                "id": f"r{number}",
                "country": f"c{number * 7919 % COUNTRIES}",
                "answer": {"mood": "glad", "score": number % 9, "why": f"It says so in line {number}. " * 4},
                "error": None,
                "stop_reason": "end_turn",
                "model": "amazon.nova-lite-v1:0",
                "region": "us-east-1",
                "usage": usage,
                "cost_usd": 0.00003,
            }
            file.write(json.dumps(row) + "\n")


def measure(name: str, folder: str) -> None:
    sink = SINKS[name]
    spec = JobSpec(
        job_uri=folder,
        models=("amazon.nova-lite-v1:0",),
        prompt_template="{{ text }}",
        source_uri=f"{folder}/source.jsonl",
        keep_columns=("country",),
        output_schema=SCHEMA,
        output_uri=f"{folder}/out",
        sink=sink,
    )
    began = time.perf_counter()
    write_from_rows(spec, lambda: None)
    seconds = time.perf_counter() - began
    out = Path(folder) / "out"
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{name:20} {seconds:8.1f} s {size:9.1f} MB in {len(files):4} files, peak {peak:6.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--one", nargs=2, metavar=("FORMAT", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(*args.one)
        return
    for count in (args.rows // 20, args.rows):
        print(f"{count:,} rows", flush=True)
        for name in SINKS:
            with tempfile.TemporaryDirectory() as folder:
                write_rows_file(Path(folder) / "rows.jsonl", count)
                subprocess.run([sys.executable, __file__, "--one", name, folder], check=True)


if __name__ == "__main__":
    main()
