// The contract, to be read by people: each route with what it takes and what it answers.
"use strict";

function made(kind, text, className) {
  const element = document.createElement(kind);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

// A schema with its references replaced, as deep as one wants to read.
function resolved(schema, schemas, depth = 8) {
  if (depth === 0 || schema === null || typeof schema !== "object") return schema;
  if (Array.isArray(schema)) return schema.map((part) => resolved(part, schemas, depth));
  if (schema.$ref) return resolved(schemas[schema.$ref.split("/").pop()], schemas, depth - 1);
  return Object.fromEntries(Object.entries(schema).map(([key, part]) => [key, resolved(part, schemas, depth - 1)]));
}

function folded(title, content) {
  const box = made("details");
  box.append(made("summary", title), made("pre", typeof content === "string" ? content : JSON.stringify(content, null, 2)));
  return box;
}

function command(path, media, example) {
  const body = JSON.stringify(example).replaceAll("'", "'\\''");
  return `curl ${new URL(path.slice(1), location.href)} -H 'content-type: ${media}' \\\n  -d '${body}'`;
}

function operation(path, method, described, schemas) {
  const box = made("section");
  const title = made("h2");
  title.append(made("span", method.toUpperCase(), "method"), ` ${path}`);
  box.append(title, made("p", described.summary));
  for (const [media, { schema }] of Object.entries(described.requestBody?.content || {})) {
    const whole = resolved(schema, schemas);
    if (whole.examples) box.append(made("pre", command(path, media, whole.examples[0])));
    box.append(folded(`takes ${media}`, whole));
  }
  const table = made("table");
  for (const [status, { description }] of Object.entries(described.responses)) {
    const line = table.insertRow();
    line.append(made("td", status, "method"), made("td", description));
  }
  const good = described.responses["200"]?.content?.["application/json"]?.schema;
  if (good) box.append(folded("answers", resolved(good, schemas)));
  box.append(table);
  return box;
}

async function load() {
  const contract = await (await fetch("openapi.json")).json();
  document.title = `${contract.info.title}: API`;
  document.getElementById("name").textContent = contract.info.title;
  document.getElementById("version").textContent = `version ${contract.info.version}`;
  document.getElementById("digest").textContent = contract.info["x-model-digest"].slice(0, 12);
  const schemas = contract.components.schemas;
  const found = Object.entries(contract.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => operation(path, method, described, schemas)));
  document.getElementById("operations").replaceChildren(...found);
}

load().catch((error) => document.getElementById("operations").replaceChildren(made("p", `the contract cannot be read (${error.message})`, "bad")));
