"""Does a connection work? Asked of Bedrock's control plane, which costs nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.aws.failures import EXPECTED, failure_from
from airflow_provider_bedrock_llm.core.config import Boto3Config
from airflow_provider_bedrock_llm.core.faults import Fault, classify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_bedrock_llm.core.transport import Failure

__all__ = ["probe_bedrock", "probe_region", "problem_in_words", "quick_clients"]

# The button runs inside Airflow's API server, in front of a person.
_QUICK = Boto3Config(read_timeout=8, connect_timeout=4, retries_max_attempts=0)


def probe_bedrock(settings: ClientSettings, regions: Sequence[str]) -> tuple[bool, str]:
    """List the models of each region.

    Args:
        settings: credentials and endpoint.
        regions: the regions to try.

    Returns:
        Whether all of them work, and a sentence for each that does not.
    """
    clients = quick_clients(settings)
    found = {region: probe_region(clients, region) for region in regions}
    problems = [f"{region}: {problem}" for region, (_, problem) in found.items() if problem]
    if problems:
        return False, " ".join(problems)
    models = found[regions[-1]][0]
    return True, f"Bedrock answers in {', '.join(regions)} ({models} models listed in the last). No model was asked."


def quick_clients(settings: ClientSettings) -> Clients:
    """Clients that give up soon, for questions in front of a person."""
    return Clients(replace(settings, boto3_config=_QUICK))


def probe_region(clients: Clients, region: str) -> tuple[int, str | None]:
    """List the models of a region.

    Returns:
        How many there are, and in words what is wrong, if anything is.
    """
    try:
        return len(clients.client("bedrock", region).list_foundation_models()["modelSummaries"]), None
    except EXPECTED as error:
        return 0, problem_in_words(failure_from(error, 0.0), clients.settings.endpoint_url)


def problem_in_words(failure: Failure, endpoint_url: str | None) -> str:
    """What a failed question to the control plane means, and the remedy."""
    fault = classify(failure)
    if fault is Fault.DENIED:
        return (
            f"the credentials work, but may not list models ({failure.message}). Allow "
            "`bedrock:ListFoundationModels`, or ignore this if asking models is all they should do."
        )
    return _words(fault, failure, endpoint_url)


def _words(fault: Fault, failure: Failure, endpoint_url: str | None) -> str:
    match fault:
        case Fault.EXPIRED_CREDENTIALS:
            return "the credentials have expired. Renew the session token, or use a role that AWS renews by itself."
        case Fault.BAD_CREDENTIALS if failure.status is None:
            return (
                f"there are no usable credentials ({failure.message}). Set login and password, a profile, a role, or a "
                "connection to borrow from."
            )
        case Fault.BAD_CREDENTIALS:
            return f"AWS does not accept the credentials ({failure.code}). Check login and password for typing errors."
        case Fault.CONNECTION_FAILED if endpoint_url:
            return f"the endpoint {endpoint_url} cannot be reached. Check the address, and that it is running."
        case Fault.CONNECTION_FAILED:
            return (
                "no Bedrock endpoint can be reached there. Check that the region has Bedrock, its spelling, and the "
                "network between Airflow and AWS."
            )
        case Fault.READ_TIMEOUT:
            return "the endpoint did not answer within 8 seconds. Check proxies and the network."
        case _:
            return f"{failure}. Check the region and the endpoint."
