/** `nautilus detect`: which TEEs this host offers, and why not the others. */
import { parseArgs } from "@std/cli/parse-args";
import { hardwareFactories } from "../backends/hardware.ts";
import { createProbeHost } from "../backends/probe.ts";
import { createRegistry, type Detection } from "../backends/registry.ts";
import { type Command, EXIT, parseFlags } from "./command.ts";

export const detect: Command = {
  name: "detect",
  summary: "Say which TEEs this host offers, and why not the others.",
  usage: [
    "Usage: nautilus detect [--json]",
    "",
    "Looks for guest signals only and opens no device. Exit code 0: a TEE was found, 1: none.",
  ].join("\n"),
  async run(io) {
    const { switches } = parseFlags(parseArgs, io.args, { switches: ["json"] });
    const registry = createRegistry(hardwareFactories({
      host: io.hardware?.host ?? createProbeHost(),
      spawnWorker: io.spawnWorker,
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      clock: Date.now,
    }));
    const detections = await registry.detect();
    const first = detections.find(({ probe }) => probe.available);
    io.stdout(
      switches.has("json")
        ? JSON.stringify(jsonReport(detections), null, 2) + "\n"
        : textReport(detections),
    );
    return first === undefined ? EXIT.no : EXIT.done;
  },
};

function jsonReport(detections: readonly Detection[]): unknown {
  return {
    tees: detections.map(({ kind, probe }) => ({
      tee_type: kind,
      available: probe.available,
      reason: probe.reason,
      ...(probe.available || probe.hint === undefined ? {} : { hint: probe.hint }),
      signals: probe.signals,
    })),
    auto: detections.find(({ probe }) => probe.available)?.kind ?? null,
  };
}

function textReport(detections: readonly Detection[]): string {
  const lines = detections.flatMap(({ kind, probe }) => [
    `${probe.available ? "✓" : "✗"} ${kind.padEnd(10)} ${probe.reason}`,
    ...probe.signals.map(({ name, present, detail }) =>
      `    ${present ? "found " : "absent"} ${name}` + (detail === undefined ? "" : ` (${detail})`)
    ),
    ...(probe.available || probe.hint === undefined ? [] : [`    hint: ${probe.hint}`]),
  ]);
  const first = detections.find(({ probe }) => probe.available);
  lines.push(
    "",
    first === undefined
      ? "No TEE here. TEE_MODE=simulation runs the master without one; it protects nothing."
      : `TEE_MODE=auto takes ${first.kind}.`,
    "",
  );
  return lines.join("\n");
}
