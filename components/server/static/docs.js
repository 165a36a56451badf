"use strict";

const element = (name, text, children = []) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
};

const resolved = (schema, all, depth = 0) => {
  if (!schema || depth > 6) return schema;
  if (schema.$ref) return resolved(all[schema.$ref.split("/").pop()], all, depth + 1);
  if (schema.properties) {
    const entries = Object.entries(schema.properties);
    return Object.fromEntries(entries.map(([name, one]) => {
      const must = (schema.required || []).includes(name) ? "" : "?";
      return [name + must, resolved(one, all, depth + 1)];
    }));
  }
  if (schema.items) return [resolved(schema.items, all, depth + 1)];
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.anyOf) return schema.anyOf.map((one) => resolved(one, all, depth + 1)).map((one) =>
    typeof one === "string" ? one : JSON.stringify(one)).join(" | ");
  return schema.type || "any";
};

const body = (content, all) => {
  const schema = content && content["application/json"] && content["application/json"].schema;
  return schema ? [element("pre", JSON.stringify(resolved(schema, all), null, 2))] : [];
};

const operation = (method, path, told, all) => {
  const [first, ...more] = (told.description || told.summary || "").split(/(?<=\.)\s+/);
  const head = element("summary", "", [element("code", method.toUpperCase()), element("code", path), element("span", first)]);
  head.firstChild.className = `method ${method}`;
  head.lastChild.className = "muted";
  const rows = (told.parameters || []).map((one) => element("tr", "", [
    element("td", "", [element("code", one.name)]), element("td", one.in + (one.required ? ", required" : "")),
    element("td", one.description || String(resolved(one.schema, all)))]));
  const parts = [element("p", more.join(" "))];
  if (rows.length) parts.push(element("h3", "Parameters"), element("table", "", rows));
  if (told.requestBody) parts.push(element("h3", "Body"), ...body(told.requestBody.content, all));
  parts.push(element("h3", "Answers"));
  for (const [status, answer] of Object.entries(told.responses || {})) {
    parts.push(element("p", `${status}: ${answer.description}`));
    if (status < "300") parts.push(...body(answer.content, all));
  }
  const inside = element("div", "", parts);
  inside.className = "inside";
  return element("details", "", [head, inside]);
};

fetch("/openapi.json").then((answer) => answer.json()).then((api) => {
  const all = (api.components || {}).schemas || {};
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, told] of Object.entries(methods)) {
      const tag = (told.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation(method, path, told, all));
    }
  }
  const main = document.getElementById("operations");
  main.replaceChildren(...[...groups].map(([tag, made]) => element("section", "", [element("h2", tag), element("div", "", made)])));
  main.removeAttribute("aria-busy");
});
