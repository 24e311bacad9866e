/**
 * `nautilus` from the sources on fake hardware under a test root (tests/fakes/boot): started, asked,
 * stopped; its data kept from one start to the next.
 */
import { assertEquals } from "@std/assert";
import type { Bytes } from "../../backends/mod.ts";
import { adminLogin } from "../../cli/client/login.ts";
import { makeAdminKey, readAdminKey } from "../../cli/client/admin_key.ts";
import { fetchAttestation } from "../../cli/client/fetch_attestation.ts";
import { connectPinned, type PeerCheck } from "../../cli/client/pinned_request.ts";
import { type Running, start } from "../demo/process.ts";
import type { World } from "../fakes/boot/world.ts";
import { asRecord, type Finished } from "./harness.ts";

const MAIN = new URL("../fakes/boot/main.ts", import.meta.url).pathname;
const READY_TIMEOUT_MS = 180_000;

/** A data directory, an admin's key, and what of a machine the program is told. */
export interface FakeHost extends AsyncDisposable {
  readonly folder: string;
  readonly data: string;
  /** Where it listens, and its admin's key. */
  readonly settings: readonly string[];
  /** Runs one command to its end. */
  run(world: World, ...args: string[]): Promise<Finished>;
  /** Starts `serve` and resolves when a line of its output says so; by default: it listens. */
  serve(world: World, ...args: string[]): Promise<FakeMaster>;
  begin(world: World, ready: (line: string) => boolean, ...args: string[]): Promise<Running>;
  /** The same for a process from {@link begin} that listens by now. */
  master(running: Running): Promise<FakeMaster>;
}

export interface FakeMaster {
  readonly attested: Readonly<Record<string, unknown>>;
  put(name: string, value: string): Promise<void>;
  /** Undefined where there is none. */
  get(name: string): Promise<string | undefined>;
  stop(): Promise<void>;
}

export async function makeFakeHost(): Promise<FakeHost> {
  const folder = await Deno.makeTempDir({ prefix: "nautilus-fake-host-" });
  const data = `${folder}/data`;
  const { pem, publicKey } = await makeAdminKey();
  await Deno.writeTextFile(`${folder}/admin.pem`, pem, { mode: 0o600 });

  async function commandLine(world: World, args: readonly string[]): Promise<string[]> {
    const path = await Deno.makeTempFile({ dir: folder, suffix: ".json" });
    await Deno.writeTextFile(path, JSON.stringify(world));
    return ["run", "--quiet", "--no-check", "-A", MAIN, path, ...args];
  }
  const env = { ...Deno.env.toObject(), NAUTILUS_DATA_DIR: data, TEE_MODE: "production" };
  const settings = [
    ...["--runtime-dir", `${folder}/run`, "--tls-listen", "127.0.0.1:0"],
    ...["--admin-key", publicKey],
  ];

  const host: FakeHost = {
    folder,
    data,
    settings,
    async run(world, ...args) {
      const { code, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: await commandLine(world, args),
        env,
        stdin: "null",
      }).output();
      const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
      return { code, signal, stdout: text(stdout), stderr: text(stderr) };
    },
    async begin(world, ready, ...args) {
      const { running } = await start({
        command: Deno.execPath(),
        args: await commandLine(world, ["serve", ...settings, ...args]),
        cwd: folder,
        env,
        ready: (line) => ready(line) ? line : undefined,
        timeoutMs: READY_TIMEOUT_MS,
      });
      return running;
    },
    async serve(world, ...args) {
      return await host.master(
        await host.begin(world, (line) => /^ +Listening +http/.test(line), ...args),
      );
    },
    async master(running) {
      try {
        return await connect(folder, running);
      } catch (error) {
        await running[Symbol.asyncDispose]();
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
  return host;
}

async function connect(folder: string, running: Running): Promise<FakeMaster> {
  const endpoints = asRecord(JSON.parse(await Deno.readTextFile(`${folder}/run/endpoints.json`)));
  const url = new URL(`https://${endpoints["tls_listen"]}`);
  const { body, peerSpki } = await fetchAttestation(url, new Uint8Array(32), READY_TIMEOUT_MS);
  const { signed } = asRecord(JSON.parse(body));
  const attested = asRecord(
    JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(String(signed)))),
  );
  const check = await pinOf(peerSpki);
  const key = await readAdminKey(`${folder}/admin.pem`);
  const session = await adminLogin(url, check, key, undefined);
  const path = "/api/v1/namespaces/default/configmaps";
  const send = async (method: "GET" | "POST", at: string, sent?: unknown) =>
    await (await connectPinned(url, check, READY_TIMEOUT_MS)).send({
      url: new URL(at, url),
      method,
      ...(sent === undefined ? {} : { body: sent }),
      bearer: session.token,
      timeoutMs: READY_TIMEOUT_MS,
    });
  return {
    attested,
    async put(name, value) {
      const { status, body } = await send("POST", path, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name },
        data: { value },
      });
      assertEquals(status, 201, body);
    },
    async get(name) {
      const { status, body } = await send("GET", `${path}/${name}`);
      if (status === 404) return undefined;
      assertEquals(status, 200, body);
      return String(asRecord(asRecord(JSON.parse(body))["data"])["value"]);
    },
    async stop() {
      running.kill("SIGTERM");
      const { code } = await running.status;
      const said = running.output();
      await running[Symbol.asyncDispose]();
      assertEquals(code, 0, said);
    },
  };
}

async function pinOf(spki: Bytes | undefined): Promise<PeerCheck> {
  if (spki === undefined) throw new Error("the master answered over plain HTTP");
  return { kind: "pin", sha256: new Uint8Array(await crypto.subtle.digest("SHA-256", spki)) };
}
