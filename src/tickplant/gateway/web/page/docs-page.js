// Starts Swagger UI on our own document. It reads OpenAPI 3.0, so null is put the way of 3.0; and it
// gets no validator, because that is another host's.

import { get } from "./api.js";
import { $, make } from "./dom.js";
import { headers } from "./key.js";
import { startKey } from "./session.js";
import { startTheme } from "./theme.js";

function asVersion30(node) {
  if (Array.isArray(node)) return node.map(asVersion30);
  if (node === null || typeof node !== "object") return node;
  const made = Object.fromEntries(Object.entries(node).map(([name, value]) => [name, asVersion30(value)]));
  if (Array.isArray(made.anyOf) && made.anyOf.some((one) => one.type === "null")) {
    const left = made.anyOf.filter((one) => one.type !== "null");
    delete made.anyOf;
    Object.assign(made, left.length === 1 ? left[0] : { anyOf: left }, { nullable: true });
  }
  if (Array.isArray(made.type)) {
    Object.assign(made, { type: made.type.find((one) => one !== "null"), nullable: true });
  }
  if (Array.isArray(made.examples)) made.example = made.examples[0];
  return isOptional(made) ? withoutExample(made) : made;
}

const isOptional = (node) => typeof node.in === "string" && node.schema && !node.required;

// Swagger UI would send every example of a parameter that nobody has asked for.
function withoutExample({ example, examples, ...parameter }) {
  const { example: own, examples: owns, ...schema } = parameter.schema;
  const shown = example ?? Object.values(examples ?? {})[0]?.value ?? own;
  if (shown === undefined) return { ...parameter, schema };
  return { ...parameter, schema, description: `${parameter.description ?? ""} Such as \`${shown}\`.`.trim() };
}

// What is tried out shows the key of this tab, unless another one was entered there.
function withKey(request) {
  if (!request.headers.Authorization) Object.assign(request.headers, headers());
  return request;
}

startTheme();
startKey(() => {});
try {
  const document = await get("openapi.json");
  SwaggerUIBundle({
    spec: { ...asVersion30(document), openapi: "3.0.3" },
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: true,
    requestInterceptor: withKey,
  });
} catch (fault) {
  $("swagger-ui").replaceChildren(make("p", `openapi.json cannot be read: ${fault.message}. Reload to try again.`, "bad"));
}
