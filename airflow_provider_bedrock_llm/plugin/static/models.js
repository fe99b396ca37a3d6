// The model catalog, searched in the browser: a few hundred models.
import { ask, fill, h, table } from "./dom.js";
import { number, price, time } from "./format.js";

const SOON_DAYS = 90;
const DAY_MS = 86_400_000;
const SOURCES = {
  API: "What AWS told this account",
  CACHE: "What AWS told this account",
  BUNDLED: "The snapshot in the installed package",
};
const COLUMNS = [
  ["Model", "wide"], ["Provider"], ["In $/M", "number"], ["Out $/M", "number"], ["Cached $/M", "number"],
  ["Context", "number"], ["Most out", "number"], ["Capabilities"], ["Regions"], ["End of life"],
];

function ending(model) {
  if (!model.end_of_life) {
    return model.status && model.status !== "ACTIVE" ? model.status.toLowerCase() : "";
  }
  const left = (new Date(model.end_of_life).getTime() - Date.now()) / DAY_MS;
  const kind = left < 0 ? "over" : left < SOON_DAYS ? "soon" : "";
  return h("span", { class: kind }, model.end_of_life);
}

function regions(model) {
  return model.regions.length
    ? h("details", {}, h("summary", {}, number(model.regions.length)), model.regions.join(", "))
    : "–";
}

const cells = (model) => [
  h("span", {}, h("strong", {}, model.name), h("br"), h("code", {}, model.model_id)),
  model.provider,
  `${price(model.input_usd_per_million)}${model.price_disputed ? " ?" : ""}`,
  price(model.output_usd_per_million),
  price(model.cache_read_usd_per_million),
  number(model.context_window_tokens),
  number(model.max_output_tokens),
  model.capabilities.join(", "),
  regions(model),
  ending(model),
];

const textOf = (model) =>
  [model.name, model.model_id, model.provider, model.mode, ...model.capabilities, ...model.regions, ...model.profiles].join(" ").toLowerCase();

export async function show(main) {
  const search = h("input", { name: "search", type: "search", placeholder: "Name, provider, region, capability", "aria-label": "Search" });
  const old = h("input", { name: "old", type: "checkbox" });
  const found = h("div", { "aria-live": "polite" });
  const about = h("p", { class: "where" });
  fill(main, h("h1", {}, "Models"), about, h("p", { class: "filters" }, search, h("label", {}, old, " with those that have ended")), found);

  const catalog = await ask("api/models");
  const failed = Object.entries(catalog.regions_failed);
  fill(
    about,
    `${SOURCES[catalog.source] ?? catalog.source}, of ${time(catalog.retrieved_at)}`,
    catalog.regions_asked.length ? ` (${catalog.regions_asked.join(", ")})` : "",
    "; prices of ", time(catalog.snapshot_of), ". US dollars per million tokens; ? marks prices on which sources differ.",
  );
  if (failed.length) {
    about.append(h("span", { class: "error" }, ` Not told: ${failed.map(([region, cause]) => `${region} (${cause})`).join(", ")}.`));
  }
  const texts = new Map(catalog.models.map((model) => [model, textOf(model)]));

  function list() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const today = new Date().toISOString().slice(0, 10);
    const fits = catalog.models.filter(
      (model) => (old.checked || !(model.end_of_life && model.end_of_life < today)) && words.every((word) => texts.get(model).includes(word)),
    );
    fill(found, h("p", { class: "count" }, `${number(fits.length)} models`), table(COLUMNS, fits.map(cells)));
  }

  search.addEventListener("input", list);
  old.addEventListener("change", list);
  list();
}
