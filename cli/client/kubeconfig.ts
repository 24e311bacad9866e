/** The kubeconfig that the simulation writes: where its master is, and a token for it. */
import { UsageError } from "../command.ts";

export interface KubeconfigMaster {
  readonly server: string;
  readonly token: string;
  /** PEM; undefined for the plain listener. */
  readonly authority: string | undefined;
}

/** Reads what the master itself writes: block YAML, the token unquoted. */
export async function readKubeconfig(path: string): Promise<KubeconfigMaster> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    throw new UsageError(
      `${path}: no kubeconfig can be read there; start the master, or name one with --kubeconfig`,
      { cause },
    );
  }
  const field = (name: string) => new RegExp(`^\\s*${name}: (\\S+)$`, "m").exec(text)?.[1];
  const server = field("server");
  const token = field("token");
  if (server === undefined || token === undefined) {
    throw new UsageError(`${path}: server or token is missing`);
  }
  const authority = field("certificate-authority-data");
  return {
    server,
    token,
    authority: authority === undefined ? undefined : atob(authority),
  };
}
