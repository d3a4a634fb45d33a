// Shows the AsyncAPI document: each socket, what a client sends, and what the plant does.
const said = await (await fetch("../asyncapi.json")).json();
const shown = document.getElementById("sockets");
document.getElementById("about").textContent = said.info.description;

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
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
  const table = element("table", "", parent);
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const row = element("tr", "", table);
    element("td", "", row).append(Object.assign(document.createElement("code"), { textContent: name }));
    element("td", kind(field), row);
    element("td", schema.required?.includes(name) ? "always" : "", row).className = "dim";
  }
}

function message(ref, parent) {
  const told = found(found(ref).$ref);
  element("h3", told.name, parent);
  element("div", told.summary, parent);
  element("pre", JSON.stringify(told.examples[0].payload), parent);
  const more = element("details", "", parent);
  element("summary", "Fields", more);
  fields(found(told.payload.$ref), more);
}

for (const [name, channel] of Object.entries(said.channels)) {
  const section = element("section", "", shown);
  section.id = name;
  element("h2", channel.address, section);
  element("p", channel.description, section);
  for (const [action, title] of [["receive", "A client sends"], ["send", "The plant sends"]]) {
    element("h3", title, section).className = "dim";
    for (const { $ref } of said.operations[`${action}_${name}`].messages) message($ref, section);
  }
}
