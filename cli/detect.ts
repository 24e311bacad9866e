/** `nautilus detect`: which TEEs this host offers, and why not the others. */
import { createRegistry, type Detection } from "../backends/registry.ts";
import { type Command, EXIT } from "./command.ts";
import { loadSettings, settingsHelp } from "./settings.ts";
import { eligibleHardware } from "./node/tee.ts";

export const detect: Command = {
  name: "detect",
  summary: "Say which TEEs this host offers, and why not the others.",
  usage: [
    "Usage: nautilus detect [--json] [SETTINGS]",
    "",
    "Looks for guest signals only and opens no device. Exit code 0: a TEE was found, 1: none.",
    "A plugin (--tee-plugin) takes the place of the built-in backends: it is loaded and asked.",
    "",
    settingsHelp(),
  ].join("\n"),
  async run(io) {
    const { config, flags: { switches } } = await loadSettings(io, io.args, { switches: ["json"] });
    const { spawnWorker, hardware } = io;
    const registry = createRegistry(eligibleHardware({ config, spawnWorker, hardware }));
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
