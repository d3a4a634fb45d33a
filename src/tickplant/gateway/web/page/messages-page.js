// Shows the AsyncAPI document: each socket, what a client sends, and what the plant does.

import { get } from "./api.js";
import { $, make, prose } from "./dom.js";
import { startTheme } from "./theme.js";

let said = null;

function add(parent, node) {
  parent.append(node);
  return node;
}

const found = (ref) => ref.split("/").slice(1).reduce((node, name) => node[name], said);

function kind(schema) {
  if (schema.$ref) return kind(found(schema.$ref));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(kind).join(" | ");
  if (schema.type === "array") return `list of ${kind(schema.items ?? {})}`;
  return schema.title ?? schema.type ?? "any";
}

function fields(schema, parent) {
  const table = add(add(parent, make("div", "", "scroll")), make("table"));
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const row = add(table, make("tr"));
    add(row, make("td")).append(make("code", name));
    add(row, make("td", kind(field)));
    add(row, make("td", schema.required?.includes(name) ? "always" : "", "dim"));
  }
}

function message(ref, parent) {
  const told = found(found(ref).$ref);
  add(parent, make("h4", told.name));
  add(parent, prose("p", told.summary));
  add(parent, make("pre", JSON.stringify(told.examples[0].payload))).tabIndex = 0;
  const more = add(parent, make("details"));
  add(more, make("summary", "Fields"));
  fields(found(told.payload.$ref), more);
}

function socket(name, channel) {
  const section = make("section");
  section.id = name;
  add(section, make("h2", channel.address));
  add(section, prose("p", channel.description));
  for (const [action, title] of [["receive", "A client sends"], ["send", "The plant sends"]]) {
    add(section, make("h3", title));
    for (const { $ref } of said.operations[`${action}_${name}`].messages) message($ref, section);
  }
  return section;
}

function toContents(name, channel) {
  const link = Object.assign(make("a", channel.address), { href: `#${name}` });
  const item = make("li");
  item.append(link);
  return item;
}

startTheme();
try {
  said = await get("asyncapi.json");
  const channels = Object.entries(said.channels);
  $("about").replaceWith(prose("p", said.info.description));
  $("contents").append(...channels.map((one) => toContents(...one)));
  $("sockets").replaceChildren(...channels.map((one) => socket(...one)));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
} catch (fault) {
  $("sockets").replaceChildren(make("p", `asyncapi.json cannot be read: ${fault.message}. Reload to try again.`, "bad"));
}
