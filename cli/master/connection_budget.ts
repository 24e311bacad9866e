/**
 * How many connections the listeners may hold. A process that runs out of file descriptors stops
 * accepting for good on this runtime, so the limits keep clear of what the system allows.
 */

/** For the store, libraries, the chain, and connections that are accepted only to be closed. */
const RESERVED_DESCRIPTORS = 160;
const LEAST_CONNECTIONS = 4;
const MOST_CONNECTIONS = 20_000;
const MOST_ETCD_CONNECTIONS = 4_096;

export interface ConnectionBudget {
  /** Of each HTTP listener. */
  readonly http: number;
  readonly etcd: number;
}

/**
 * @param limits the text of /proc/self/limits; undefined: taken as 1024 descriptors
 * @param isProxy whether a request may need a connection of its own to a kube-apiserver behind
 */
export function connectionBudget(limits: string | undefined, isProxy: boolean): ConnectionBudget {
  const [, soft, hard] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(limits ?? "") ?? [];
  // The runtime raises the soft limit to the hard one when it starts.
  const descriptors = Math.max(Number(soft ?? 1024), Number(hard ?? 1024));
  const free = Math.max(0, descriptors - Math.min(RESERVED_DESCRIPTORS, descriptors / 2));
  const clamp = (most: number, share: number) =>
    Math.max(LEAST_CONNECTIONS, Math.min(most, Math.floor(free * share)));
  return {
    http: clamp(MOST_CONNECTIONS, isProxy ? 0.2 : 0.4),
    etcd: clamp(MOST_ETCD_CONNECTIONS, 0.2),
  };
}

/** Undefined where /proc cannot be read. */
export async function readLimits(): Promise<string | undefined> {
  try {
    return await Deno.readTextFile("/proc/self/limits");
  } catch {
    return undefined; // the least that systems give is assumed then
  }
}
