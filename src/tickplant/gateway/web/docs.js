// Starts Swagger UI on our own document. It reads OpenAPI 3.0, so null is put the way of 3.0; and it
// gets no validator, because that is another host's.
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
  return made;
}

fetch("openapi.json").then((answer) => answer.json()).then((document) => {
  SwaggerUIBundle({
    spec: { ...asVersion30(document), openapi: "3.0.3" },
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: true,
  });
});
