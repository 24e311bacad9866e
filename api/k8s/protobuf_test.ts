import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { decodeProtobufObject } from "./protobuf.ts";
import { KindSchemas } from "./schema.ts";
import { KIND_MESSAGES } from "./schema_table.ts";
import { StatusError } from "./status.ts";

const schemas = new KindSchemas();
const text = new TextEncoder();

/** Fields of a message under test: number and bytes, or a number for a varint. */
function message(
  ...fields: readonly (readonly [number, Uint8Array | string | number])[]
): Uint8Array {
  const out: number[] = [];
  const varint = (value: number) => {
    for (let rest = value;; rest = Math.floor(rest / 128)) {
      if (rest < 128) {
        out.push(rest);
        return;
      }
      out.push((rest % 128) | 128);
    }
  };
  for (const [number, value] of fields) {
    if (typeof value === "number") {
      varint(number << 3);
      varint(value);
    } else {
      const bytes = typeof value === "string" ? text.encode(value) : value;
      varint((number << 3) | 2);
      varint(bytes.length);
      out.push(...bytes);
    }
  }
  return Uint8Array.from(out);
}

function envelope(apiVersion: string, kind: string, raw: Uint8Array): Uint8Array {
  const body = message([1, message([1, apiVersion], [2, kind])], [2, raw], [3, ""], [4, ""]);
  return Uint8Array.of(0x6b, 0x38, 0x73, 0, ...body);
}

Deno.test("every message of the table can be read, and refers to others that are there", () => {
  for (const name of Object.keys(KIND_MESSAGES)) {
    const spec = schemas.message(name);
    for (const field of spec?.byNumber.values() ?? []) {
      if (typeof field.type === "object") {
        assertEquals(
          schemas.message(field.type.message)?.name,
          field.type.message,
          `${name}.${field.name}`,
        );
      }
    }
  }
});

Deno.test("decodeProtobufObject() gives the JSON of the same object", () => {
  const meta = message([1, "s"], [3, ""], [8, new Uint8Array(0)], [
    11,
    message([1, "app"], [2, "x"]),
  ]);
  const secret = message(
    [1, meta],
    [2, message([1, "p"], [2, Uint8Array.of(1, 2)])],
    [3, "Opaque"],
    [5, 0],
  );
  assertEquals(decodeProtobufObject(envelope("v1", "Secret", secret), schemas), {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s", labels: { app: "x" } },
    data: { p: "AQI=" },
    type: "Opaque",
    immutable: false,
  });
});

Deno.test("decodeProtobufObject() reads inlined, optional and mixed types", () => {
  const port = message([1, "http"], [3, 80], [4, message([1, 1], [3, "web"])]);
  const service = message([1, message([1, "x"])], [
    2,
    message([1, port], [2, message([1, "a"], [2, "b"])]),
  ]);
  assertEquals(decodeProtobufObject(envelope("v1", "Service", service), schemas)["spec"], {
    ports: [{ name: "http", port: 80, targetPort: "web" }],
    selector: { a: "b" },
  });
  // Volume: its source stands in the volume itself; an empty emptyDir says something.
  const volume = message([1, "v"], [2, message([2, new Uint8Array(0)])]);
  const pod = message([2, message([1, volume], [4, 0])]);
  assertEquals(decodeProtobufObject(envelope("v1", "Pod", pod), schemas)["spec"], {
    volumes: [{ name: "v", emptyDir: {} }],
    terminationGracePeriodSeconds: 0,
  });
});

Deno.test("decodeProtobufObject() refuses what is not described, cut off or of another type", () => {
  const bad: Uint8Array[] = [
    new Uint8Array(0),
    text.encode("{}"),
    envelope("v1", "Gadget", new Uint8Array(0)),
    envelope("v1", "Secret", message([99, "x"])),
    envelope("v1", "Secret", message([3, 7])),
    envelope("v1", "Secret", Uint8Array.of(0x0a, 0x7f, 1)),
    envelope("v1", "ConfigMap", message([2, message([1, "__proto__"], [2, "x"])])),
    envelope("v1", "Secret", message([3, Uint8Array.of(0xff, 0xfe)])),
  ];
  for (const bytes of bad) assertThrows(() => decodeProtobufObject(bytes, schemas), StatusError);
});

Deno.test("decodeProtobufObject() answers any bytes with an object or a refusal (property)", () => {
  const kinds = fc.constantFrom("Pod", "Secret", "Deployment", "Event", "Lease", "Job");
  fc.assert(
    fc.property(kinds, fc.uint8Array({ maxLength: 200 }), (kind, raw) => {
      try {
        decodeProtobufObject(envelope("v1", kind, raw), schemas);
      } catch (error) {
        if (
          !(error instanceof StatusError) &&
          !(error instanceof Error && error.name === "ApiProblem")
        ) {
          throw error;
        }
      }
    }),
    { numRuns: 2000 },
  );
});
