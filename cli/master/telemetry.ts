/**
 * OpenTelemetry by Deno's own means. The host sets the environment, and what is exported holds the URLs
 * that are asked for: so it is on only where the sealed configuration names the same collector.
 */
import { trace, type Tracer } from "@opentelemetry/api";
import { ConfigError } from "../../config.ts";
import { VERSION } from "../../version.ts";

/** Variables that would send something else, or somewhere else. */
const REFUSED = /^OTEL_(EXPORTER_OTLP_(TRACES|METRICS|LOGS)_|DENO_CONSOLE$)/;

/**
 * The tracer of this process; undefined where there is no telemetry.
 *
 * @param endpoint of the collector, as it is sealed
 * @throws {ConfigError} where the environment turns on what the configuration does not name
 */
export function openTracer(
  env: Readonly<Record<string, string>>,
  endpoint: string | null,
): Tracer | undefined {
  const isOn = env["OTEL_DENO"] === "true" || env["OTEL_DENO"] === "1";
  if (!isOn) {
    if (endpoint === null) return undefined;
    throw new ConfigError(
      "--telemetry-endpoint is set, but the runtime's telemetry is off: set OTEL_DENO=true",
    );
  }
  const given = (env["OTEL_EXPORTER_OTLP_ENDPOINT"] ?? "").replace(/\/$/, "");
  if (endpoint === null || given !== endpoint) {
    throw new ConfigError(
      `OTEL_DENO=true exports to ${
        given === "" ? "the default collector" : given
      }, but --telemetry-endpoint (NAUTILUS_TELEMETRY_ENDPOINT, sealed) is ${
        endpoint ?? "not set"
      }`,
    );
  }
  const other = Object.keys(env).find((name) => REFUSED.test(name));
  if (other !== undefined) {
    throw new ConfigError(
      `${other} is not supported: OTEL_EXPORTER_OTLP_ENDPOINT is for all of it`,
    );
  }
  return trace.getTracer("nautilus", VERSION);
}
