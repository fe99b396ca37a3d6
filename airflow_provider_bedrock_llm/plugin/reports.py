"""A manifest as the page shows it: a row of the list, a whole job, and money by DAG, task and day. Pure."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_bedrock_llm.plugin.instances import JobInstance
    from airflow_provider_bedrock_llm.plugin.manifests import Found

__all__ = ["failed_records", "job_details", "job_row", "spend"]

_IN_A_ROW = (
    "state",
    "phase",
    "counts",
    "rows_per_second",
    "eta_seconds",
    "known_cost_usd",
    "unpriced",
    "throttled",
    "in_flight",
    "failures",
    "updated_at",
)
_IN_DETAILS = (
    *_IN_A_ROW,
    "usage",
    "routes",
    "features_disabled",
    "timeline",
    "started_at",
    "epoch",
    "runner",
    "job_uri",
    "output_uri",
)
_SAMPLE = ("id", "cause", "message")
_MOST_SAMPLES = 100


def job_row(instance: JobInstance, found: Found) -> dict[str, Any]:
    """A row of the list of jobs."""
    return {
        "dag_id": instance.key.dag_id,
        "run_id": instance.run_id,
        "task_id": instance.key.task_id,
        "map_index": instance.key.map_index,
        "task_state": instance.task_state,
        "changed_at": instance.changed_at.isoformat(),
        "job": None if found.manifest is None else _some(found.manifest, _IN_A_ROW),
    }


def job_details(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A whole job, but for what only those may see who may read the task's log."""
    return _some(manifest, _IN_DETAILS)


def failed_records(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Why the job failed, and samples of the records that failed. These texts may quote prompts and answers."""
    samples = [
        _some(sample, _SAMPLE)
        for sample in manifest.get("failed_samples") or ()
        if hasattr(sample, "get")  # a manifest is a file, and files get edited
    ]
    return {"error": manifest.get("error"), "samples": samples[:_MOST_SAMPLES]}


def spend(rows: Iterable[tuple[JobInstance, Found]]) -> list[dict[str, Any]]:
    """What jobs cost, by DAG, task and day; a job counts on the day on which it last wrote its manifest, in UTC."""
    sums: dict[tuple[str, str, str], dict[str, Any]] = {}
    for instance, found in rows:
        manifest = found.manifest
        if manifest is None:
            continue
        day = _day(manifest.get("updated_at")) or instance.changed_at.date().isoformat()
        key = (day, instance.key.dag_id, instance.key.task_id)
        total = sums.setdefault(
            key,
            {
                "day": day,
                "dag_id": key[1],
                "task_id": key[2],
                "jobs": 0,
                "records": 0,
                "input_tokens": 0,
                "output_tokens": 0,
                "cost_usd": 0.0,
                "unpriced": 0,
            },
        )
        usage = manifest.get("usage") or {}
        total["jobs"] += 1
        total["records"] += _number(manifest["counts"], "done")
        total["input_tokens"] += _number(usage, "inputTokens")
        total["output_tokens"] += _number(usage, "outputTokens")
        total["cost_usd"] = round(total["cost_usd"] + _number(manifest, "known_cost_usd"), 9)
        total["unpriced"] += _number(manifest, "unpriced")
    return [sums[key] for key in sorted(sums, key=lambda key: (-date.fromisoformat(key[0]).toordinal(), *key[1:]))]


def _day(text: Any) -> str | None:
    """The day of a time in ISO 8601; None where the text is none."""
    try:
        return datetime.fromisoformat(str(text)).date().isoformat()
    except ValueError:
        return None


def _number(whole: Mapping[str, Any], name: str) -> Any:
    """A number of a manifest, and 0 for what is none: one broken file must not take the sum of the others away."""
    value = whole.get(name)
    return value if isinstance(value, (int, float)) else 0


def _some(whole: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: whole.get(name) for name in names}
