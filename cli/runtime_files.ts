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
