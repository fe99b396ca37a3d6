"""Airflow's own metrics, switched on as an installation does it, heard by a listener of the test's own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_provider_bedrock_llm.hooks.metrics import metric_tags

NOVA = "amazon.nova-lite-v1:0"
COUNTERS = ("calls", "failures", "throttles", "tokens.input", "tokens.output", "cost_micro_usd")

RUN = """
import asyncio, json, sys
from airflow.providers.common.compat.sdk import conf
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils

if hasattr(stats, "initialize"):
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
else:  # Airflow 3.2
    stats.Stats.initialize(factory=stats_utils.get_stats_factory(stats.Stats))

from airflow_provider_bedrock_llm import BedrockLLMHook, text_message
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator
from harness.task import TaskInstance

retry = RetryConfig(max_retries=3, retry_delay=0.0)
source, work_dir = sys.argv[1:]
BedrockLLMHook(models=["amazon.nova-micro-v1:0"], retry_config=retry).converse([text_message("Hello.")])
summary = BedrockParallelOperator(
    task_id="the_task", source=source, id_column="id", prompt="Judge {{ text }}", models=["amazon.nova-lite-v1:0"],
    work_dir=work_dir, deferrable=False, retry_config=retry,
).execute({"ti": TaskInstance()})
print(json.dumps(summary))
"""


@pytest.fixture
def run(connected, source, tmp_path):
    """One request of the hook, and a job of forty rows, in a process that has `[metrics]` as given."""
    connected.control.fail("too_many_requests", first=1, model=NOVA)

    def execute(**metrics):
        environment = {f"AIRFLOW__METRICS__{name.upper()}": value for name, value in metrics.items()}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", RUN, str(source), str(tmp_path / "jobs")],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return execute


@pytest.fixture
def statsd():
    """A UDP socket, and the lines that came, each as name, value and kind."""
    lines = []
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)

    def received():
        listener.setblocking(False)
        while True:
            try:
                line = listener.recv(65_536).decode()
            except BlockingIOError:
                return [tuple(one.rpartition(":")[::2]) for one in lines if "bedrock_llm" in one]
            lines.extend(line.splitlines())

    with listener:
        yield listener.getsockname()[1], received


def summed(heard, tags):
    """The throttled request may have been answered by an inference profile, which is a model of its own."""
    return {
        name: sum(
            int(value.removesuffix("|c"))
            for stat, value in heard
            if stat.startswith(f"airflow.bedrock_llm.{name},") and tags in stat
        )
        for name in COUNTERS
    }


def expected_of(summary, calls):
    usage = summary["usage"]
    return {
        "calls": calls,
        "failures": 1,
        "throttles": 1,
        "tokens.input": usage["inputTokens"],
        "tokens.output": usage["outputTokens"],
        # each model's share is rounded by itself
        "cost_micro_usd": pytest.approx(summary["cost_usd"] * 1e6, abs=1),
    }


def test_statsd_hears_of_calls_tokens_cost_throttles_latency_and_what_is_in_flight(run, statsd):
    pytest.importorskip("statsd")
    port, received = statsd
    summary = run(statsd_on="True", statsd_port=str(port), statsd_influxdb_enabled="True")
    heard = received()
    assert summed(heard, ",dag_id=the_dag,task_id=the_task,model=") == expected_of(summary, 41)
    assert summed(heard, "task_id=the_task,model=amazon.nova-lite-v1_0,region=us-east-1")["calls"] >= 40
    alone = summed(heard, ",model=amazon.nova-micro-v1_0,region=us-east-1")
    assert (alone["calls"], alone["throttles"]) == (1, 0)
    latency = [float(value.removesuffix("|ms")) for stat, value in heard if stat.startswith("airflow.bedrock_llm.lat")]
    assert len(latency) >= 2
    assert min(latency) > 0
    in_flight = [value for stat, value in heard if stat.startswith("airflow.bedrock_llm.in_flight,dag_id=the_dag")]
    assert in_flight[-1] == "0|g"


@pytest.fixture
def collector():
    """An OpenTelemetry collector that keeps the last total of each metric: (name, tags) -> value."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    heard = {}

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in body.resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        tags = {tag.key: tag.value.string_value for tag in point.attributes}
                        value = getattr(point, "as_int", 0) or getattr(point, "as_double", 0) or 0
                        heard[metric.name, tags.get("model"), tags.get("dag_id")] = value
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, heard
    server.shutdown()
    server.server_close()
    thread.join()


def test_opentelemetry_hears_the_same_with_tags(run, collector):
    port, heard = collector
    summary = run(otel_on="True", otel_host="127.0.0.1", otel_port=str(port), otel_interval_milliseconds="60000")
    totals = dict.fromkeys(COUNTERS, 0)
    for (name, _, dag_id), value in heard.items():
        if dag_id == "the_dag" and (short := name.removeprefix("airflow.bedrock_llm.")) in totals:
            totals[short] += value
    assert totals == expected_of(summary, 41)
    assert heard["airflow.bedrock_llm.calls", "amazon.nova-micro-v1_0", None] == 1
    assert ("airflow.bedrock_llm.latency", "amazon.nova-lite-v1_0", "the_dag") in heard
    assert heard["airflow.bedrock_llm.in_flight", None, "the_dag"] == 0


def test_tags_hold_what_every_backend_takes():
    assert metric_tags({"model": "arn:aws:bedrock:eu-west-1:1:x/y", "dag_id": "täglich=a,b"}) == {
        "model": "arn_aws_bedrock_eu-west-1_1_x_y",
        "dag_id": "t_glich_a_b",
    }
