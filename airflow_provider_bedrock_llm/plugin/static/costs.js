// What jobs cost, by DAG, task and day.
import { ask, fill, h, table } from "./dom.js";
import { number, usd } from "./format.js";
import { barPlot } from "./plot.js";

const DAY_MS = 86_400_000;

function sums(rows, keyOf) {
  const found = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    found.set(key, (found.get(key) ?? 0) + row.cost_usd);
  }
  return found;
}

function days(rows, count) {
  const byDay = sums(rows, (row) => row.day);
  const today = Date.now();
  return Array.from({ length: count }, (_, back) => {
    const day = new Date(today - (count - 1 - back) * DAY_MS).toISOString().slice(0, 10);
    return [day, byDay.get(day) ?? 0];
  });
}

export async function show(main) {
  const query = new URLSearchParams(window.location.search);
  const wanted = [7, 30, 90, 366].includes(Number(query.get("days"))) ? Number(query.get("days")) : 30;
  const choice = h(
    "select",
    { name: "days", "aria-label": "Days", onchange: (event) => { window.location.search = new URLSearchParams({ days: event.target.value }); } },
    [7, 30, 90, 366].map((count) => h("option", { value: count, selected: count === wanted }, `${count} days`)),
  );
  fill(main, h("h1", {}, "Cost"), h("p", { class: "filters" }, choice));
  const page = await ask(`api/costs?days=${wanted}`);
  const rows = page.rows;
  const total = rows.reduce((sum, row) => sum + row.cost_usd, 0);
  const unpriced = rows.reduce((sum, row) => sum + row.unpriced, 0);
  const byTask = [...sums(rows, (row) => JSON.stringify([row.dag_id, row.task_id]))].sort(([, one], [, other]) => other - one);
  const columns = [["Day"], ["DAG"], ["Task"], ...["Jobs", "Records", "Tokens in", "Tokens out", "Cost"].map((name) => [name, "number"])];
  main.append(
    ...page.problems.map((problem) => h("p", { class: "error" }, problem)),
    h(
      "p",
      { class: "where" },
      `${usd(total)} for ${number(page.jobs)} jobs`,
      unpriced ? `, and ${number(unpriced)} answers whose price is not known` : "",
      page.left_out ? `; ${number(page.left_out)} older jobs are not in it` : "",
      ". A job counts on the day on which it last ran, in UTC. The prices are those of the catalog; AWS's bill decides.",
    ),
  );
  if (!rows.length) {
    main.append(h("p", { class: "empty" }, "No jobs in this time."));
    return;
  }
  main.append(
    barPlot("Cost per day", days(rows, wanted), usd),
    table([["DAG"], ["Task"], ["Cost", "number"]], byTask.map(([key, cost]) => [...JSON.parse(key), usd(cost)]), "By DAG and task"),
    table(
      columns,
      rows.map((row) => [
        row.day, row.dag_id, row.task_id, number(row.jobs), number(row.records),
        number(row.input_tokens), number(row.output_tokens), `${usd(row.cost_usd)}${row.unpriced ? " +?" : ""}`,
      ]),
      "By day",
    ),
  );
}
