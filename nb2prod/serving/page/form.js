// A form for one row. Fields come from the service's own contract; whatever it says is put in as text, never as HTML.
"use strict";

const find = (id) => document.getElementById(id);
let examples = [];
let shown = -1;
let columns = [];

function made(kind, text, properties = {}) {
  const element = document.createElement(kind);
  if (text !== undefined) element.textContent = text;
  return Object.assign(element, properties);
}

function headers() {
  const token = find("bearer").value;
  return token ? { authorization: `Bearer ${token}` } : {};
}

// The type of a column, and whether it may be null, from its JSON schema.
function typed(schema) {
  const choices = schema.anyOf || [schema];
  const types = choices.flatMap((choice) => choice.type || []);
  const known = choices.find((choice) => choice.type !== "null") || {};
  return { ...known, ...schema, type: types.find((type) => type !== "null"), nullable: types.includes("null") };
}

function control(column) {
  const { schema } = column;
  if (schema.enum || schema.type === "boolean") {
    const select = made("select");
    const values = schema.enum || [true, false];
    if (column.optional) select.append(made("option", "(missing)", { value: "" }));
    values.filter((value) => value !== null).forEach((value) => select.append(made("option", String(value), { value: JSON.stringify(value) })));
    return select;
  }
  const input = made("input", undefined, { type: "text" });
  if (schema.type === "number" || schema.type === "integer") input.inputMode = "decimal";
  if (column.optional) input.placeholder = "(missing)";
  const seen = schema["x-seen-values"];
  if (seen) {
    const list = made("datalist", undefined, { id: `seen-${column.number}` });
    seen.forEach((value) => list.append(made("option", undefined, { value: String(value) })));
    find("fields").append(list);
    input.setAttribute("list", list.id);
  }
  return input;
}

function hint({ schema, optional }) {
  const kinds = { number: "number", integer: "whole number", string: "text", boolean: "true or false" };
  const parts = [kinds[schema.type] || "JSON"];
  const range = schema["x-seen-range"];
  if (schema.minimum > -(2 ** 31) && schema.maximum < 2 ** 31 - 1) parts.push(`${schema.minimum} to ${schema.maximum}`);
  if (range) parts.push(`seen from ${range[0]} to ${range[1]}`);
  const seen = schema["x-seen-values"] || [];
  if (seen.length && seen.length <= 6) parts.push(`seen: ${seen.join(", ")}`);
  if (optional) parts.push("may be missing");
  if (schema.description) parts.push(schema.description);
  return parts.join(", ");
}

function field(column) {
  const label = made("label", column.name, { htmlFor: `field-${column.number}` });
  column.control = control(column);
  column.control.id = `field-${column.number}`;
  column.control.name = column.name;
  const box = made("div", undefined, { className: "field" });
  box.append(label, column.control, made("small", hint(column)));
  return box;
}

// What a person typed, as the type of the column has it. What does not read stays text: the service says what is wrong.
function value(column) {
  const text = column.control.value;
  if (column.control.tagName === "SELECT") return text === "" ? null : JSON.parse(text);
  if (text === "" && (column.optional || column.schema.type !== "string")) return null;
  if (column.schema.type === "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// Numbers go out as they were typed: through JavaScript's own, a whole number above 2^53 would become another one.
function spelled(column) {
  const text = column.control.value.trim();
  const isNumber = ["number", "integer"].includes(column.schema.type) && !column.schema.enum;
  return isNumber && /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? text : JSON.stringify(value(column));
}

function body() {
  const given = columns.filter((column) => !(column.optional && column.control.value === ""));
  return `{"rows": [{${given.map((column) => `${JSON.stringify(column.name)}: ${spelled(column)}`).join(", ")}}]}`;
}

function fill() {
  shown = (shown + 1) % examples.length;
  for (const column of columns) {
    const given = examples[shown][column.name];
    const isMissing = given === undefined || given === null;
    const isChoice = column.control.tagName === "SELECT";
    column.control.value = isMissing ? "" : isChoice || typeof given !== "string" ? JSON.stringify(given) : given;
  }
}

function show(text, isGood) {
  find("prediction").textContent = text;
  find("prediction").className = isGood ? "good" : "bad";
}

function blame(fields) {
  find("problems").replaceChildren(...fields.map(({ field: name, reason }) => made("li", `${name}: ${reason}`)));
  const wrong = new Set(fields.map(({ field: name }) => name));
  columns.forEach((column) => column.control.setAttribute("aria-invalid", String(wrong.has(column.name))));
}

async function predict(event) {
  event.preventDefault();
  const asked = body();
  find("request").textContent = `POST ${new URL("predict", location.href).pathname}\n${asked}`;
  find("predict").disabled = true;
  try {
    const answer = await fetch("predict", { method: "POST", headers: { ...headers(), "content-type": "application/json" }, body: asked });
    const text = await answer.text();
    // the raw text is shown, because JavaScript's numbers would be other ones
    const found = /^\{"predictions":\[(.*)\],"model":\{/s.exec(text);
    if (answer.ok && found) show(found[1], true);
    else show(JSON.parse(text).error.reason, false);
    blame(answer.ok ? [] : JSON.parse(text).error.fields);
  } catch (error) {
    show(`the service does not answer (${error.message})`, false);
  } finally {
    find("predict").disabled = false;
  }
}

async function load() {
  const contract = await (await fetch("openapi.json", { headers: headers() })).json();
  const { schemas, securitySchemes } = contract.components;
  document.title = contract.info.title;
  find("name").textContent = contract.info.title;
  find("version").textContent = `version ${contract.info.version}`;
  find("digest").textContent = contract.info["x-model-digest"].slice(0, 12);
  find("token").hidden = !securitySchemes;
  const row = schemas.Row;
  find("fields").replaceChildren();
  if (!row || !row.properties) {
    find("fields").append(made("p", row ? "This model takes lists, not named columns: ask it through /predict." : "This model has no signature: ask it through /invocations."));
    return;
  }
  const required = new Set(row.required || []);
  columns = Object.entries(row.properties).map(([name, schema], number) => ({ name, number, schema: typed(schema), optional: !required.has(name) }));
  columns.forEach((column) => find("fields").append(field(column)));
  examples = ((schemas.PredictRequest.examples || [])[0] || {}).rows || [];
  find("fill").hidden = examples.length < 2;
  shown = -1;
  if (examples.length) fill();
  find("predict").disabled = false;
}

find("row").addEventListener("submit", predict);
find("fill").addEventListener("click", fill);
find("bearer").addEventListener("change", load);
load().catch((error) => show(`the contract cannot be read (${error.message})`, false));
