// Which page this is stands in the last part of the path.
import { fill, h, showError } from "./dom.js";

const PAGES = { "": "jobs", job: "job", costs: "costs", models: "models", connections: "connections" };

const name = window.location.pathname.split("/").pop();
const main = document.querySelector("main");

for (const link of document.querySelectorAll("nav a:not(.airflow)")) {
  const target = new URL(link.href).pathname.split("/").pop();
  if (target === name || (name === "job" && target === "")) {
    link.setAttribute("aria-current", "page");
  }
}
document.querySelector("nav .airflow").hidden = window.top !== window;

try {
  const page = await import(`./${PAGES[name] ?? "jobs"}.js`);
  await page.show(main);
} catch (error) {
  fill(main, h("h1", {}, "Bedrock LLM"));
  showError(main, error);
}
