/**
 * Looking for a TEE without touching it: reads of files and folders below a root that tests replace
 * by a folder laid out as a guest. Nothing here opens a device.
 */
import type { ProbeResult, ProbeSignal } from "./mod.ts";

/** The host as a probe sees it. */
export interface ProbeHost {
  readonly arch: "x86_64" | "aarch64";
  /** Whether `path` is there, with what is worth telling: its mode, or why it cannot be seen. */
  look(path: string): Promise<{ readonly present: boolean; readonly detail?: string }>;
  /** At most 64 KiB of a small text file, or undefined where it is absent or unreadable. */
  readText(path: string): Promise<string | undefined>;
  /** Names in a folder, sorted; empty where it is absent or unreadable. */
  list(path: string): Promise<readonly string[]>;
}

const MAX_TEXT_LENGTH = 64 * 1024;

/** Where dynamic libraries lie on the distributions that TEE stacks are packaged for. */
const LIBRARY_FOLDERS = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/usr/local/lib",
  "/lib/x86_64-linux-gnu",
  "/lib/aarch64-linux-gnu",
  "/lib64",
  "/lib",
];

/** @param root a folder taken for `/`; the empty string is the real one. */
export function createProbeHost(
  root = "",
  arch: ProbeHost["arch"] = Deno.build.arch,
): ProbeHost {
  return {
    arch,
    async look(path) {
      try {
        const info = await Deno.stat(root + path);
        if (info.isDirectory || info.mode === null) return { present: true };
        const mode = (info.mode & 0o777).toString(8).padStart(4, "0");
        return { present: true, detail: `mode ${mode}, owner ${info.uid}:${info.gid}` };
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return { present: false };
        return { present: false, detail: error instanceof Error ? error.message : String(error) };
      }
    },
    async readText(path) {
      try {
        using file = await Deno.open(root + path);
        const buffer = new Uint8Array(MAX_TEXT_LENGTH);
        const length = await file.read(buffer) ?? 0;
        return new TextDecoder().decode(buffer.subarray(0, length));
      } catch {
        return undefined; // absent or not ours to read: to a probe both are "no signal"
      }
    },
    async list(path) {
      try {
        const entries = await Array.fromAsync(Deno.readDir(root + path), ({ name }) => name);
        return entries.sort();
      } catch {
        return []; // as above
      }
    },
  };
}

/** One path as a signal. */
export async function pathSignal(host: ProbeHost, path: string): Promise<ProbeSignal> {
  return { name: path, ...await host.look(path) };
}

/** The first of `names` found in the usual library folders, as a signal. */
export async function librarySignal(
  host: ProbeHost,
  names: readonly string[],
): Promise<ProbeSignal> {
  for (const name of names) {
    for (const folder of LIBRARY_FOLDERS) {
      const path = `${folder}/${name}`;
      if ((await host.look(path)).present) return { name, present: true, detail: path };
    }
  }
  return { name: names[0] ?? "", present: false, detail: `looked for ${names.join(", ")}` };
}

/** Whether /proc/cpuinfo lists a flag. */
export async function cpuFlagSignal(host: ProbeHost, flag: string): Promise<ProbeSignal> {
  const text = await host.readText("/proc/cpuinfo") ?? "";
  const line = text.split("\n").find((candidate) => /^flags\s*:/.test(candidate)) ?? "";
  return { name: `cpu flag ${flag}`, present: line.split(/\s+/).includes(flag) };
}

/** Root of configfs-tsm, Linux >= 6.7. */
export const TSM_REPORT_PATH = "/sys/kernel/config/tsm/report";

/**
 * configfs-tsm as a signal. Its provider shows only inside an entry, and making one is a side
 * effect, so the detail names a provider only where somebody already made an entry.
 */
export async function tsmSignal(host: ProbeHost): Promise<ProbeSignal & { provider?: string }> {
  const signal = await pathSignal(host, TSM_REPORT_PATH);
  if (!signal.present) return signal;
  for (const entry of await host.list(TSM_REPORT_PATH)) {
    const provider = (await host.readText(`${TSM_REPORT_PATH}/${entry}/provider`))?.trim();
    if (provider) return { ...signal, provider, detail: `provider ${provider}` };
  }
  return signal;
}

/** The answer yes. */
export function found(signals: readonly ProbeSignal[], reason: string): ProbeResult {
  return { available: true, signals, reason };
}

/** The answer no, with its reason and, where there is one, the way to a yes. */
export function notFound(
  signals: readonly ProbeSignal[],
  reason: string,
  hint?: string,
): ProbeResult {
  return { available: false, signals, reason, ...(hint === undefined ? {} : { hint }) };
}
