// Elements and requests. Text goes into text nodes alone, so that markup in names, answers and errors stays text.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Properties that start with "on" are listeners; children are elements, texts or nothing. */
export function h(tag, properties = {}, ...children) {
  return build(document.createElement(tag), properties, children);
}

/** An SVG element, likewise. */
export function svg(tag, properties = {}, ...children) {
  return build(document.createElementNS(SVG, tag), properties, children);
}

function build(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

/** A table. A column is a title and a class; a row is a list of cells, each a text or an element. */
export function table(columns, rows, caption) {
  const head = columns.map(([title, kind]) => h("th", { scope: "col", class: kind }, title));
  const body = rows.map((cells) =>
    h("tr", {}, cells.map((cell, at) => h("td", { class: columns[at][1] }, cell ?? "–"))),
  );
  return h(
    "div",
    { class: "scroll" },
    h("table", {}, caption ? h("caption", {}, caption) : null, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)),
  );
}

/** Ask our own server; a failure is an Error with the server's sentence and the status. */
export async function ask(path, options = {}) {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, ...options });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const said = typeof body.detail === "string" ? body.detail : answer.statusText;
    throw Object.assign(new Error(said), { status: answer.status });
  }
  return body;
}

const WORDS = {
  401: "You are not logged in, or no longer. Log in to Airflow and open this page again.",
  403: "You may not see this. Whoever manages Airflow's roles can allow it.",
};

/** Say what went wrong, at the end of an element. */
export function showError(element, error) {
  element.querySelector(":scope > .error")?.remove();
  const own = error.status === 403 && error.message !== "Forbidden" ? error.message : null;
  element.append(h("p", { class: "error", role: "alert" }, own ?? WORDS[error.status] ?? error.message));
}
