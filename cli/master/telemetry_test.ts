import { assert, assertEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../../config.ts";
import { openTracer } from "./telemetry.ts";

const COLLECTOR = "http://127.0.0.1:4318";
const ON = { OTEL_DENO: "true", OTEL_EXPORTER_OTLP_ENDPOINT: `${COLLECTOR}/` };

Deno.test("openTracer() is off by default, and on where environment and configuration agree", () => {
  assertEquals(openTracer({}, null), undefined);
  assertEquals(openTracer({ OTEL_DENO: "false" }, null), undefined);
  assert(openTracer(ON, COLLECTOR) !== undefined);
});

Deno.test("openTracer() refuses telemetry that the configuration does not name", () => {
  const cases: readonly [Record<string, string>, string | null][] = [
    [{ OTEL_DENO: "true" }, null],
    [{ OTEL_DENO: "1" }, COLLECTOR],
    [ON, null],
    [ON, "http://127.0.0.1:4319"],
    [{}, COLLECTOR],
    [{ ...ON, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://host" }, COLLECTOR],
    [{ ...ON, OTEL_DENO_CONSOLE: "capture" }, COLLECTOR],
  ];
  for (const [env, endpoint] of cases) {
    assertThrows(() => openTracer(env, endpoint), ConfigError);
  }
});
