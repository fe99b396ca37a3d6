"""One job, interrupted at random: killed and frozen workers and triggerers. The short soak is in every test run.

`make soak` runs the long one: 20,000 records, twenty interruptions, some ten minutes. SOAK_SEED repeats a run.
"""

import os
import secrets

import pytest
from harness.airflow_processes import AirflowStack
from harness.interruptions import QUICK_TIMEOUTS, InterruptedRun, Workload
from harness.soak import Soak, draw_interruptions

from airflow_provider_bedrock_llm.local import LocalEndpoint

LATENCY_SECONDS = 0.4


@pytest.mark.parametrize(
    ("rows", "in_flight", "count"),
    [
        pytest.param(1_500, 16, 3, marks=[pytest.mark.processes, pytest.mark.timeout(900)], id="short"),
        pytest.param(20_000, 40, 20, marks=[pytest.mark.soak, pytest.mark.timeout(3_000)], id="long"),
    ],
)
def test_a_job_that_is_interrupted_again_and_again_is_exact_and_pays_within_the_bound(tmp_path, rows, in_flight, count):
    seed = int(os.environ.get("SOAK_SEED") or secrets.randbelow(1_000_000))
    print(f"\nSOAK_SEED={seed}: {count} interruptions over {rows:,} rows, {in_flight} in flight")
    workload = Workload(tmp_path, rows=rows, in_flight=in_flight, retries=2 * count)
    env = {**QUICK_TIMEOUTS, "AIRFLOW__BEDROCK_LLM__WORK_DIR": (tmp_path / "jobs").as_uri()}
    with (
        LocalEndpoint.spawn(port=0, latency=LATENCY_SECONDS) as endpoint,
        AirflowStack(tmp_path / "airflow", workload.write(), database="postgresql", triggerers=2, env=env) as airflow,
    ):
        airflow.add_bedrock_connection(endpoint.url)
        run = InterruptedRun(airflow, endpoint, workload, "where_told")
        soak = Soak(airflow, run, LATENCY_SECONDS)
        for number, interruption in enumerate(draw_interruptions(count, seed), 1):
            run.wait_until_kept(number / (count + 1.5))
            soak.interrupt(interruption)
        state = airflow.wait_for_run(run.dag_id, run.run_id, timeout_seconds=600)
        print(f"{run.paid:,} calls for {rows:,} rows: {run.paid - rows:,} extra, at most {soak.bound:,} allowed")
        assert state == "success"
        run.assert_exact(lost=soak.bound)
