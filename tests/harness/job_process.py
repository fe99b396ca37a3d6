"""A runner in a process of its own, to be killed. Every paid call is a line in a file, written before it is answered.

Run as `python job_process.py job_uri paid_file latency_seconds`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.keeper import Pace
from airflow_provider_bedrock_llm.jobs.runner import run_job

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness.job_engine import CountingEngine, prompt_of


class PayingEngine(CountingEngine):
    def __init__(self, paid_file: str, latency_seconds: float) -> None:
        super().__init__(latency_seconds=latency_seconds)
        self._paid = os.open(paid_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def ask(self, request):
        os.write(self._paid, f"{prompt_of(request)}\n".encode())
        return await super().ask(request)


if __name__ == "__main__":
    _, job_uri, paid_file, latency_seconds = sys.argv
    engine = PayingEngine(paid_file, float(latency_seconds))
    asyncio.run(run_job(JobSpec.load(job_uri), engine, pace=Pace(flush_seconds=0.05)))
