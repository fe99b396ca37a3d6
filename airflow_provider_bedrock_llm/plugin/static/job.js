// One job: how it stands, what it costs over time, who answered, what failed.
import { ask, fill, h, showError, table } from "./dom.js";
import { duration, number, rate, time, usd } from "./format.js";
import { badge, cost, progress } from "./jobs.js";
import { linePlot } from "./plot.js";

const REFRESH_MS = 1500;

const fact = (name, value) => h("div", { class: "fact" }, h("dt", {}, name), h("dd", {}, value));

function facts(job) {
  const usage = job.usage ?? {};
  const running = job.state === "running";
  return h(
    "dl",
    { class: "facts" },
    fact("Records", progress(job.counts)),
    running ? fact("Speed", rate(job.rows_per_second)) : null,
    running ? fact("ETA", duration(job.eta_seconds)) : null,
    running ? fact("In flight", number(job.in_flight)) : null,
    fact("Succeeded", number(job.counts.succeeded)),
    fact("of them reused", number(job.counts.reused)),
    fact("Failed", number(job.counts.failed)),
    fact("Skipped", number(job.counts.skipped)),
    fact("Throttled calls", number(job.throttled)),
    fact("Cost", cost(job)),
    fact("Tokens in", number(usage.inputTokens)),
    fact("Tokens out", number(usage.outputTokens)),
    fact("from the cache", number(usage.cacheReadInputTokens)),
    fact("Updated", time(job.updated_at)),
  );
}

function routes(job) {
  const rows = Object.entries(job.routes ?? {}).sort(([, one], [, other]) => other.calls - one.calls);
  if (!rows.length) {
    return null;
  }
  const columns = [["Model and region"], ...["Calls", "Succeeded", "Throttled", "Tokens", "Cost"].map((name) => [name, "number"])];
  return table(
    columns,
    rows.map(([name, one]) => [
      name, number(one.calls), number(one.succeeded), number(one.throttled), number(one.tokens), usd(one.cost_usd),
    ]),
    "Calls per model and region",
  );
}

function causes(job) {
  const rows = Object.entries(job.failures ?? {}).sort(([, one], [, other]) => other - one);
  return rows.length ? table([["Cause"], ["Records", "number"]], rows.map(([cause, count]) => [cause, number(count)]), "Failures by cause") : null;
}

function dropped(job) {
  const rows = Object.entries(job.features_disabled ?? {});
  return rows.length
    ? table([["Feature"], ["Answers", "number"]], rows.map(([name, count]) => [name, number(count)]), "Answers without a feature that the model refused")
    : null;
}

function plots(job) {
  const points = (job.timeline ?? []).filter((point) => Number.isFinite(point?.seconds));
  if (points.length < 2) {
    return null;
  }
  const over = (name) => points.map((point) => [point.seconds, Number(point[name]) || 0]);
  return h(
    "div",
    { class: "plots" },
    linePlot("Cost over time", over("cost_usd"), duration, usd),
    linePlot("Records done over time", over("done"), duration, number),
    job.throttled ? linePlot("Throttled calls over time", over("throttled"), duration, number) : null,
  );
}

function places(job) {
  const rows = [
    ["Folder", job.job_uri],
    ["Output", job.output_uri],
    ["Runner", `${job.runner?.host ?? "–"}, process ${job.runner?.pid ?? "–"}, since ${time(job.started_at)}`],
    ["Runners so far", number(job.epoch)],
  ];
  return h("dl", { class: "places" }, rows.map(([name, value]) => fact(name, value ?? "not written yet")));
}

function failed(records) {
  const rows = records.samples.map((sample) => [sample.id, sample.cause, h("pre", {}, sample.message ?? "")]);
  return [
    records.error ? h("p", { class: "error" }, records.error) : null,
    rows.length
      ? table([["Record"], ["Cause"], ["Message", "wide"]], rows)
      : h("p", { class: "empty" }, "The manifest has no samples. The output names every record that failed, with the cause."),
  ];
}

// As the operator calls the folder of a run (`run_folder`).
function folderOf(run) {
  const name = run.replaceAll(/[/\\%?#\0]/g, "_");
  return ["", ".", "..", "~"].includes(name) ? "_" : name;
}

export async function show(main) {
  const query = new URLSearchParams(window.location.search);
  const [dag, run, task] = ["dag_id", "run_id", "task_id"].map((name) => query.get(name) ?? "");
  const index = /^\d+$/.test(query.get("map_index") ?? "") ? query.get("map_index") : "-1";
  const folder = [dag, folderOf(run), task, index].map(encodeURIComponent).join("/");
  const path = `api/jobs/${folder}`;

  const heading = h("h1", {}, index === "-1" ? task : `${task} [${index}]`);
  const where = h("p", { class: "where" }, `${dag}, run ${run}`);
  const body = h("div", { "aria-live": "polite" });
  const records = h("div");
  const details = h("details", { class: "failed" }, h("summary", {}, "Failed records"), records);
  details.addEventListener("toggle", () => details.open && showFailed());
  fill(main, heading, where, body, details);

  async function showFailed() {
    try {
      fill(records, failed(await ask(`${path}/failed`)));
    } catch (error) {
      fill(records, h("p", { class: "empty" }, error.status === 403 ? "Failed records are shown to those who may read the task's log." : error.message));
    }
  }

  async function refresh() {
    const job = await ask(path);
    fill(heading, heading.firstChild, " ", badge(job));
    fill(body, facts(job), plots(job), causes(job), routes(job), dropped(job), places(job));
    details.hidden = !(job.counts.failed || job.counts.skipped || job.state === "failed" || job.state === "stopped");
    return job;
  }

  async function again() {
    try {
      const job = document.hidden ? { state: "running" } : await refresh();
      if (job.state !== "running") {
        return;
      }
    } catch (error) {
      showError(main, error);
    }
    window.setTimeout(again, REFRESH_MS);
  }

  try {
    const job = await refresh();
    if (job.state === "running") {
      window.setTimeout(again, REFRESH_MS);
    }
  } catch (error) {
    details.hidden = true;
    if (error.status !== 404) {
      throw error;
    }
    fill(body, h("p", { class: "empty" }, error.message));
  }
}
