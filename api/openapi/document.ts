/** The OpenAPI 3.1 document of our own endpoints, from the schemas that decode their bodies. */
import { toJsonSchema } from "@valibot/to-json-schema";
import { titleOf } from "../problem.ts";
import { type Auth, type Endpoint, ENDPOINTS } from "./endpoints.ts";

const SECURITY: Readonly<Record<Auth, readonly Record<string, readonly string[]>[]>> = {
  none: [],
  seal: [{ sealToken: [] }],
  admin: [{ bearer: [] }],
};

/** What `/openapi.json` answers. Kubernetes' own paths are described at `/openapi/v3`. */
export function ownOpenApi(version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const endpoint of ENDPOINTS) {
    paths[endpoint.path] = { ...paths[endpoint.path], [endpoint.method]: operation(endpoint) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Nautilus TEE", version },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        sealToken: { type: "apiKey", in: "header", name: "X-Seal-Token" },
      },
      schemas: {
        Problem: {
          description: "RFC 9457",
          type: "object",
          properties: {
            type: { type: "string" },
            title: { type: "string" },
            status: { type: "integer" },
            detail: { type: "string" },
            code: { type: "string" },
            field: { type: "string" },
            hint: { type: "string" },
            request_id: { type: "string" },
          },
          required: ["type", "title", "status", "detail", "code"],
        },
      },
    },
  };
}

function operation(endpoint: Endpoint): Record<string, unknown> {
  const inPath = [...endpoint.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const inQuery = (endpoint.query ?? []).map((parameter) => ({ ...parameter, in: "query" }));
  const schema = endpoint.body !== undefined
    ? bodySchema(endpoint.body)
    : endpoint.looseBody === true
    ? { type: "object" }
    : undefined;
  return {
    summary: endpoint.summary,
    security: SECURITY[endpoint.auth],
    parameters: [...inPath, ...inQuery],
    ...(schema === undefined
      ? {}
      : { requestBody: { required: true, content: { "application/json": { schema } } } }),
    responses: Object.fromEntries([
      ...endpoint.refusals.map((status) => [String(status), problemResponse(status)]),
      ...endpoint.success.map((status) => [String(status), {
        description: titleOf(status),
        content: { [endpoint.produces ?? "application/json"]: {} },
      }]),
    ]),
  };
}

/** What a check or a transformation asks beyond JSON Schema is left out: the answer says it. */
function bodySchema(schema: NonNullable<Endpoint["body"]>): Record<string, unknown> {
  const { $schema: _dialect, ...rest } = toJsonSchema(schema, {
    typeMode: "input",
    errorMode: "ignore",
  });
  return rest;
}

function problemResponse(status: number): Record<string, unknown> {
  return {
    description: titleOf(status),
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  };
}
