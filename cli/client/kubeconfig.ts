/** Kubeconfigs: the ones that this program writes, and reading the simulation's. */
import { UsageError } from "../command.ts";
import { readBoundedText } from "../files/bounded_read.ts";
import { fileReason } from "../files/reason.ts";

const MAX_KUBECONFIG_BYTES = 1 << 20;

/** What kubectl says where the program is no longer at its place. */
const INSTALL_HINT = "The token comes from the nautilus program, which is not where it was when " +
  "this kubeconfig was written. Put it back there, correct `command`, or write the kubeconfig " +
  "anew: nautilus admin kubeconfig";

export interface KubeconfigMaster {
  readonly server: string;
  readonly token: string;
  /** PEM; undefined for the plain listener. */
  readonly authority: string | undefined;
}

/** Reads what the master itself writes: block YAML, the token unquoted. @throws {UsageError} */
export async function readKubeconfig(path: string): Promise<KubeconfigMaster> {
  let text: string;
  try {
    text = await readBoundedText(path, MAX_KUBECONFIG_BYTES);
  } catch (cause) {
    throw new UsageError(
      `${path}: no kubeconfig can be read there (${fileReason(cause)}); start the simulation's ` +
        "master, name its file with --kubeconfig, or log in: --master URL --key FILE TRUST",
      { cause },
    );
  }
  const field = (name: string) => new RegExp(`^\\s*${name}: (\\S+)$`, "m").exec(text)?.[1];
  const server = field("server");
  const token = field("token");
  if (server === undefined || token === undefined) {
    throw new UsageError(
      `${path}: server or token is missing; a kubeconfig that logs in by itself is for kubectl: ` +
        "give --master URL --key FILE TRUST instead",
    );
  }
  const authority = field("certificate-authority-data");
  return {
    server,
    token,
    authority: authority === undefined ? undefined : atob(authority),
  };
}

interface KubeconfigOptions {
  readonly server: string;
  /** PEM; undefined for the plain listener. */
  readonly certificateAuthority: string | undefined;
}

/** Block YAML for kubectl; the token unquoted, as docs/API.md promises. */
export function adminKubeconfig(options: KubeconfigOptions & { readonly token: string }): string {
  return kubeconfig(options, [`    token: ${options.token}`]);
}

/**
 * The same, holding no secret: kubectl runs this program with these arguments for a token.
 * @param options `command`: the program by its absolute path, as it need not be on PATH
 */
export function execKubeconfig(
  options: KubeconfigOptions & { readonly command: string; readonly args: readonly string[] },
): string {
  return kubeconfig(options, [
    "    exec:",
    "      apiVersion: client.authentication.k8s.io/v1",
    `      command: ${JSON.stringify(options.command)}`,
    "      interactiveMode: Never",
    `      installHint: ${JSON.stringify(INSTALL_HINT)}`,
    "      args:",
    ...options.args.map((argument) => `      - ${JSON.stringify(argument)}`),
  ]);
}

function kubeconfig(
  { server, certificateAuthority }: KubeconfigOptions,
  user: readonly string[],
): string {
  return [
    "apiVersion: v1",
    "kind: Config",
    "current-context: nautilus",
    "clusters:",
    "- name: nautilus",
    "  cluster:",
    `    server: ${server}`,
    ...(certificateAuthority === undefined
      ? []
      : [`    certificate-authority-data: ${btoa(certificateAuthority)}`]),
    "contexts:",
    "- name: nautilus",
    "  context:",
    "    cluster: nautilus",
    "    user: admin",
    "users:",
    "- name: admin",
    "  user:",
    ...user,
    "",
  ].join("\n");
}
