"""docker-compose.yaml, as far as it can be judged without a Docker engine."""

import shutil
import subprocess

import pytest
import yaml
from harness.airflow_processes import REPOSITORY

COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_docker_compose_accepts_the_file():
    if shutil.which("docker") is None or _compose("version").returncode != 0:
        pytest.skip("the docker client with its compose plugin is not installed")
    checked = _compose("config", "--quiet")
    assert checked.returncode == 0, checked.stderr


def test_every_part_of_a_production_airflow_is_there():
    commands = {name: str(service.get("command", "")).split(" ")[0] for name, service in SERVICES.items()}
    started = sorted(commands.values())
    assert [started.count(one) for one in ("api-server", "scheduler", "dag-processor", "triggerer")] == [1, 1, 1, 2]
    assert {"postgres", "object-store", "bedrock", "airflow-init"} <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_published_ports_are_bound_to_loopback(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_services_and_mounts_volumes_that_exist(name):
    service = SERVICES[name]
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    sources = {volume.split(":")[0] for volume in service.get("volumes", [])}
    assert {source for source in sources if not source.startswith(".")} <= set(COMPOSE["volumes"])


def test_a_service_that_waits_for_health_waits_for_one_that_tells_it():
    waits = [
        target
        for service in SERVICES.values()
        for target, condition in service.get("depends_on", {}).items()
        if condition["condition"] == "service_healthy"
    ]
    assert waits
    assert all("healthcheck" in SERVICES[target] for target in waits)


def _compose(*arguments):
    return subprocess.run(
        ["docker", "compose", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
