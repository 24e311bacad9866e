/** What a running master leaves in its runtime and data directory for its clients. */
import type { Config } from "../config.ts";
import type { ListenAddress } from "../config_values.ts";

/** `endpoints.json`: where this master really listens. */
export interface Endpoints {
  readonly pid: number;
  /** Where to ask first: the plain listener, or the TLS one where there is no other. */
  readonly url: string;
  /** `host:port`; null where the listener is off. */
  readonly listen: string | null;
  readonly tls_listen: string | null;
  readonly etcd_listen: string | null;
}

/**
 * The runtime directory: as set; in the simulation below the data directory; else on tmpfs, root's
 * or the user's.
 */
export function runtimeDirectory(
  config: Pick<Config, "runtimeDir" | "dataDir" | "teeMode">,
  host: { readonly isRoot: boolean; readonly env: Readonly<Record<string, string>> },
): string {
  if (config.runtimeDir !== undefined) return config.runtimeDir;
  if (config.teeMode === "simulation") return `${config.dataDir}/run`;
  const userRuntime = host.env["XDG_RUNTIME_DIR"];
  return host.isRoot || !userRuntime ? "/run/nautilus" : `${userRuntime}/nautilus`;
}

/** `127.0.0.1:8080`, `[::1]:8080`. */
export function formatListen({ host, port }: ListenAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Makes the directory (0700) where it is missing and tightens it where it is ours. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  const { mode } = await Deno.stat(path);
  if (mode !== null && (mode & 0o077) !== 0) await Deno.chmod(path, 0o700);
}

/** Writes beside the target, then renames: a reader sees the old file or the new one. Mode 0600. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    {
      using file = await Deno.open(temporary, { createNew: true, write: true, mode: 0o600 });
      let bytes = new TextEncoder().encode(text);
      while (bytes.length > 0) bytes = bytes.subarray(await file.write(bytes));
      await file.syncData();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

/** Removes a file that may already be gone. */
export async function removeFile(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Block YAML for kubectl; the token unquoted, as docs/API.md promises. */
export function adminKubeconfig(options: {
  readonly server: string;
  readonly token: string;
  /** PEM; undefined for the plain listener. */
  readonly certificateAuthority: string | undefined;
}): string {
  const authority = options.certificateAuthority === undefined
    ? []
    : [`    certificate-authority-data: ${btoa(options.certificateAuthority)}`];
  return [
    "apiVersion: v1",
    "kind: Config",
    "current-context: nautilus",
    "clusters:",
    "- name: nautilus",
    "  cluster:",
    `    server: ${options.server}`,
    ...authority,
    "contexts:",
    "- name: nautilus",
    "  context:",
    "    cluster: nautilus",
    "    user: admin",
    "users:",
    "- name: admin",
    "  user:",
    `    token: ${options.token}`,
    "",
  ].join("\n");
}
