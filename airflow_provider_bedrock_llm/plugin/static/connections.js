// Connections of our type, each with a button that tests it as it is stored.
import { ask, fill, h, table } from "./dom.js";

const listed = (value) => (Array.isArray(value) ? value.join(", ") : value);

function row(connection, canCheck) {
  const said = h("span", { role: "status", class: "said" });
  const command = `airflow bedrock-llm check --conn-id ${connection.conn_id}`;
  async function check(event) {
    const button = event.currentTarget;
    button.disabled = true;
    fill(said, "Asking Bedrock …");
    said.className = "said";
    try {
      const path = `api/connections/${encodeURIComponent(connection.conn_id)}/check`;
      const { works, text } = await ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
      said.className = works ? "said works" : "said fails";
      fill(said, `${works ? "✓" : "✗"} ${text}`);
    } catch (error) {
      said.className = "said fails";
      fill(said, error.message === "Forbidden" ? "Only those who may edit the connection can test it." : error.message);
    }
    button.disabled = false;
  }
  const test = canCheck ? h("button", { type: "button", onclick: check }, "Check") : h("code", {}, command);
  return [
    h("strong", {}, connection.conn_id),
    listed(connection.regions) || connection.region_name,
    listed(connection.models),
    connection.description,
    h("span", {}, test, " ", said),
  ];
}

export async function show(main) {
  fill(main, h("h1", {}, "Connections"));
  const { connections, can_check: canCheck } = await ask("api/connections");
  main.append(
    h(
      "p",
      { class: "where" },
      "The check asks Bedrock for its models and costs nothing. ",
      canCheck
        ? "It runs in the API server, with its network and its AWS configuration."
        : "[core] test_connection does not let the API server test connections: run the command where tasks run.",
    ),
    connections.length
      ? table([["Connection"], ["Regions"], ["Models"], ["Description"], ["Check", "wide"]], connections.map((one) => row(one, canCheck)))
      : h("p", { class: "empty" }, "No connection of type Amazon Bedrock LLM. Add one under Admin, Connections."),
  );
}
