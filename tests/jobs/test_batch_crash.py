"""A process that dies at any moment of a batch job leaves one AWS job, and whoever comes next a whole output."""

from __future__ import annotations

import gc

import pytest

pytest.importorskip("moto.server")

from harness.batch_job import batch_job_of, batch_options, desk_of, echo_answer
from harness.fuse import DeadError, Fuse, Fused, FusedSpec
from harness.job_engine import CountingEngine
from harness.job_folder import QUICK, assert_exact, rows_of
from harness.store import store

from airflow_provider_bedrock_llm.jobs.batch_run import BatchDesk
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.runner import run_job
from airflow_provider_bedrock_llm.local import LocalEndpoint

__all__ = ["store"]

_MOST_MOMENTS = 400


def through_fuse(desk, fuse):
    return BatchDesk(desk.options, desk.dialogue, Fused(desk.calls, fuse), Fused(desk.store, fuse), desk.model_id)


async def live(spec, desk, fuse):
    """One process's life. Returns whether it came to its end by itself."""
    engine = CountingEngine()
    try:
        await run_job(FusedSpec.of(spec, fuse), engine, desk=through_fuse(desk, fuse), pace=QUICK)
    except DeadError:
        return False
    finally:
        assert engine.calls == 0, "no record is asked on demand that a batch job answers"
        gc.collect()
    return True


@pytest.fixture(scope="module")
def endpoint(store):
    with LocalEndpoint(s3_endpoint=store.url, answerer=echo_answer) as endpoint:
        yield endpoint


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_crash_at_every_moment_leaves_one_job_and_a_whole_output(tmp_path, endpoint, store):
    rows, options = rows_of(4), batch_options()
    whole = batch_job_of(tmp_path, 4, batch=options)
    seen: list[str] = []
    costs: set[float | None] = set()
    async with desk_of(whole, endpoint, store) as desk:
        for moment in range(1, _MOST_MOMENTS):
            endpoint.control.reset()
            endpoint.control.batch(min_records=2)
            spec = batch_job_of(tmp_path, 4, batch=options, job_uri=str(tmp_path / f"at-{moment}" / "job"))
            fuse = Fuse(moment)
            ended = await live(spec, desk, fuse)
            at = fuse.moments[-1]
            assert await live(spec, desk, Fuse()), at
            assert_exact(spec, rows)
            assert len(endpoint.control.batch_jobs()) == 1, at
            manifest = Manifest.load(spec.folder)
            costs.add(manifest.cost_usd)
            assert manifest.counts.succeeded == len(rows), at
            if ended:
                break
            seen.append(at)
    assert len(costs) == 1
    for act in ("before create", "after create", "after put", "before names", "after write in batch"):
        assert act in seen, f"the walk went through {act}"
    assert "after write in results" in seen
