// Running and past jobs, newest first.
import { ask, fill, h, showError, table } from "./dom.js";
import { duration, number, rate, secondsSince, time, usd } from "./format.js";

const PAGE = 25;
const REFRESH_MS = 3000;
const SILENT_SECONDS = 60;

const COLUMNS = [
  ["State"],
  ["DAG"],
  ["Task"],
  ["Run", "long"],
  ["Progress", "wide"],
  ["Speed", "number"],
  ["ETA", "number"],
  ["Failed", "number"],
  ["Throttled", "number"],
  ["Cost", "number"],
  ["Updated"],
];

/** The state of a job, and what Airflow says where the two differ in what they mean. */
export function badge(job, taskState) {
  if (!job) {
    return h("span", { class: "badge" }, taskState ?? "cleared");
  }
  const silent = job.state === "running" && secondsSince(job.updated_at) > SILENT_SECONDS;
  const title = silent ? `Nothing was heard of it for ${duration(secondsSince(job.updated_at))}.` : null;
  return h("span", { class: `badge ${silent ? "silent" : job.state}`, title }, silent ? "silent" : job.state);
}

/** A bar with words. */
export function progress(counts) {
  const { done, total } = counts ?? {};
  const words = `${number(done)} of ${total === null ? "?" : number(total)}`;
  return h("span", { class: "progress" }, h("progress", { value: done ?? 0, max: total || 1, "aria-label": words }), words);
}

/** The cost, and whether some of it is not known. */
export const cost = (job) => `${usd(job.known_cost_usd)}${job.unpriced ? " +?" : ""}`;

export function jobLink(row, words) {
  const query = new URLSearchParams({
    dag_id: row.dag_id, run_id: row.run_id, task_id: row.task_id, map_index: row.map_index,
  });
  return h("a", { href: `job?${query}` }, words);
}

function cells(row) {
  const job = row.job;
  const task = row.map_index < 0 ? row.task_id : `${row.task_id} [${row.map_index}]`;
  const named = [badge(job, row.task_state), row.dag_id, jobLink(row, task), row.run_id];
  if (!job) {
    return [...named, "no manifest in the work_dirs", "", "", "", "", "", time(row.changed_at)];
  }
  const running = job.state === "running";
  return [
    ...named,
    progress(job.counts),
    running ? rate(job.rows_per_second) : "",
    running ? duration(job.eta_seconds) : "",
    number((job.counts?.failed ?? 0) + (job.counts?.skipped ?? 0)),
    number(job.throttled),
    cost(job),
    time(job.updated_at),
  ];
}

export async function show(main) {
  const query = new URLSearchParams(window.location.search);
  const offset = Math.max(0, Number(query.get("offset")) || 0);
  const found = h("div", { "aria-live": "polite" });
  const dag = h("input", { name: "dag_id", type: "search", placeholder: "DAG", "aria-label": "DAG", value: query.get("dag_id") ?? "" });
  const running = h("input", { name: "running", type: "checkbox", checked: query.get("running") === "true" });
  const go = (changes) => {
    const wanted = { dag_id: dag.value.trim(), running: running.checked ? "true" : "", offset: 0, ...changes };
    const kept = Object.entries(wanted).filter(([, value]) => value);
    window.location.search = new URLSearchParams(kept);
  };
  dag.addEventListener("change", () => go({}));
  running.addEventListener("change", () => go({}));
  fill(main, h("h1", {}, "Enrichment jobs"), h("p", { class: "filters" }, dag, h("label", {}, running, " only running")), found);

  async function refresh() {
    const wanted = new URLSearchParams({ limit: PAGE, offset });
    for (const name of ["dag_id", "running"]) {
      if (query.get(name)) {
        wanted.set(name, query.get(name));
      }
    }
    const page = await ask(`api/jobs?${wanted}`);
    const turn = (words, to, allowed) => h("button", { type: "button", disabled: !allowed, onclick: () => go({ offset: to }) }, words);
    fill(
      found,
      page.problems.map((problem) => h("p", { class: "error" }, problem)),
      page.jobs.length
        ? table(COLUMNS, page.jobs.map(cells))
        : h("p", { class: "empty" }, "No jobs yet. Every BedrockParallelOperator that runs shows here."),
      page.total > PAGE
        ? h(
            "p",
            { class: "turn" },
            turn("Newer", Math.max(0, offset - PAGE), offset > 0),
            ` ${offset + 1} to ${Math.min(offset + PAGE, page.total)} of ${number(page.total)} `,
            turn("Older", offset + PAGE, offset + PAGE < page.total),
          )
        : null,
    );
  }

  async function again() {
    if (!document.hidden) {
      await refresh().catch((error) => showError(main, error));
    }
    window.setTimeout(again, REFRESH_MS);
  }

  await refresh();
  window.setTimeout(again, REFRESH_MS);
}
