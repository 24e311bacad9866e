/** What validation rules cost: compiling them, running them, and the worst that one may do. */
import { type BenchSpec, registerWithDeno } from "../../../../tests/bench/harness.ts";
import type { FieldError } from "../../field_errors.ts";
import { decodeJsonSchema } from "../json_schema.ts";
import { compileRules, type SchemaRules } from "./rules.ts";
import { ruleErrors } from "./validate.ts";

const GROUP = "validation rules";

const SCHEMA = (hostile: boolean) => ({
  type: "object",
  properties: {
    listeners: {
      type: "array",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
      items: {
        type: "object",
        required: ["name"],
        properties: {
          name: {
            type: "string",
            "x-kubernetes-validations": [{
              rule: "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            }],
          },
          port: { type: "integer" },
          host: { type: "string" },
        },
        "x-kubernetes-validations": [
          { rule: "!has(self.host) || isIP(self.host) || self.host.contains('.')" },
          { rule: "self.port > 0 && self.port < 65536" },
        ],
      },
      "x-kubernetes-validations": [
        { rule: "self.all(a, self.exists_one(b, a.port == b.port))" },
        ...hostile
          ? [{
            rule: "self.all(a, self.all(b, self.all(c, self.all(d, a != b || c == d || true))))",
          }]
          : [],
      ],
    },
  },
});

const OBJECT = {
  listeners: Array.from({ length: 32 }, (_, i) => ({
    name: `listener-${i}`,
    port: 8000 + i,
    host: "door.example.com",
  })),
};

function compile(hostile: boolean): SchemaRules {
  const errors: FieldError[] = [];
  const rules = compileRules(decodeJsonSchema(SCHEMA(hostile), "", errors), "", errors);
  if (rules === undefined || errors.length > 0) throw new Error(JSON.stringify(errors));
  return rules;
}

function checked(hostile: boolean, wanted: number): () => void {
  const { root, types } = compile(hostile);
  return () => {
    const errors = ruleErrors(root, types, OBJECT, undefined, "");
    if (errors.length !== wanted) throw new Error(JSON.stringify(errors));
  };
}

export const benches: readonly BenchSpec[] = [
  {
    name: "compile a schema with 4 rules, and the libraries",
    group: GROUP,
    setup: () => Promise.resolve({ run: () => void compile(false) }),
  },
  {
    name: "an object of 32 listeners, 97 rules",
    group: GROUP,
    setup: () => Promise.resolve({ run: checked(false, 0) }),
  },
  {
    name: "a hostile rule, to the end of its budget",
    group: GROUP,
    setup: () => Promise.resolve({ run: checked(true, 1) }),
  },
];

registerWithDeno(benches, import.meta);
