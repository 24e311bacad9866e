/** Stock kubectl against our TLS listener, with a kubeconfig and nothing else. */
import { assertEquals } from "@std/assert";
import { listenTls } from "./tls_listener.ts";
import { ADMIN_TOKEN, type TestApi } from "./api.ts";

export interface Kubectl extends AsyncDisposable {
  readonly url: string;
  /** Runs kubectl with words separated by spaces; fails the test where it fails. */
  run(line: string, input?: string): Promise<string>;
  /** As run, for arguments that hold spaces. */
  call(args: readonly string[], input?: string): Promise<string>;
  /** Runs a line that must fail; its standard error. */
  refused(line: string, input?: string): Promise<string>;
  command(args: readonly string[], stdin?: "piped" | "null"): Deno.Command;
}

/** Before it, kubectl asks for OpenAPI v2 (`GET /openapi/v2`), which is not served, and goes no further. */
const LEAST_MINOR = 29;

/** Whether there is a kubectl that is new enough; says so on standard error where there is none. */
export async function hasKubectl(): Promise<boolean> {
  const skip = (why: string) => {
    Deno.stderr.writeSync(new TextEncoder().encode(`skipped: ${why}\n`));
    return false;
  };
  let text: string;
  try {
    const { code, stdout } = await new Deno.Command("kubectl", { args: ["version", "--client"] })
      .output();
    if (code !== 0) return skip("kubectl does not say its version");
    text = new TextDecoder().decode(stdout);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return skip("no kubectl on PATH (Debian 13: apt-get install kubernetes-client)");
  }
  const why = tooOld(text);
  return why === undefined || skip(why);
}

/** Why a kubectl of this `kubectl version --client` cannot be used; undefined where it can. */
export function tooOld(version: string): string | undefined {
  const minor = /\bv1\.(\d+)\./.exec(version)?.[1];
  if (minor === undefined) return "kubectl does not say a version 1.x";
  return Number(minor) >= LEAST_MINOR
    ? undefined
    : `kubectl 1.${minor} is older than 1.${LEAST_MINOR}, and asks for OpenAPI v2 (Debian 13 has 1.32)`;
}

/** A listener for `api`, and kubectl as its admin. @param env further variables of kubectl. */
export async function openKubectl(
  api: TestApi,
  env: Readonly<Record<string, string>> = {},
): Promise<Kubectl> {
  api.time.now = Date.now();
  const { server, caPem } = await listenTls(api);
  const home = await Deno.makeTempDir();
  await Deno.writeTextFile(
    `${home}/config`,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{
        name: "nautilus",
        cluster: { server: server.url, "certificate-authority-data": btoa(caPem) },
      }],
      users: [{ name: "admin", user: { token: ADMIN_TOKEN } }],
      contexts: [{ name: "nautilus", context: { cluster: "nautilus", user: "admin" } }],
      "current-context": "nautilus",
    }),
  );
  const command = (args: readonly string[], stdin: "piped" | "null" = "null") =>
    new Deno.Command("kubectl", {
      args: [...args],
      env: { ...env, KUBECONFIG: `${home}/config`, HOME: home },
      stdin,
      stdout: "piped",
      stderr: "piped",
    });
  const finish = async (args: readonly string[], input?: string) => {
    const child = command(args, input === undefined ? "null" : "piped").spawn();
    if (input !== undefined) {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode(input));
      await writer.close();
    }
    const { code, stdout, stderr } = await child.output();
    const text = new TextDecoder();
    return { code, out: text.decode(stdout).trim(), error: text.decode(stderr).trim() };
  };
  const call = async (args: readonly string[], input?: string) => {
    const { code, out, error } = await finish(args, input);
    assertEquals(code, 0, `kubectl ${args.join(" ")}: ${error}`);
    return out;
  };
  return {
    url: server.url,
    command,
    call,
    run: (line, input) => call(line.split(" "), input),
    async refused(line, input) {
      const { code, error } = await finish(line.split(" "), input);
      assertEquals(code === 0, false, `kubectl ${line} was not refused`);
      return error;
    },
    async [Symbol.asyncDispose]() {
      await server.close(200);
      await Deno.remove(home, { recursive: true });
    },
  };
}
