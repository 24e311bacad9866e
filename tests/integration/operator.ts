/** The operator of a drill: a machine of their own with the recovery key, and what is done there. */
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { asRecord, type Finished, type Place, runBinary } from "./harness.ts";

/** @throws where it ends with another code */
export async function done(running: Promise<Finished>, code = 0): Promise<Finished> {
  const finished = await running;
  assertEquals(finished.code, code, finished.stdout + finished.stderr);
  return finished;
}

export async function makeOperator(place: Place): Promise<Operator> {
  const keys = `${place.cwd}/keys`;
  await done(runBinary(place, ["key", "recovery-init", "--out", keys]));
  return { keys, place };
}

/** What the operator accepts: this development root. */
async function writePolicy(path: string, request: string): Promise<void> {
  const { evidence } = asRecord(JSON.parse(await Deno.readTextFile(request)));
  const { endorsements } = asRecord(evidence);
  assert(Array.isArray(endorsements));
  const root = Uint8Array.fromBase64(String(asRecord(endorsements[0])["data"]));
  const simulation = {
    allowSimulation: true,
    trustedRoots: [createHash("sha256").update(root).digest("hex")],
    measurements: "any",
    reportData: "require",
    maxAgeSeconds: 300,
  };
  await Deno.writeTextFile(path, JSON.stringify({ version: 1, id: "drill", simulation }));
}

export interface Operator {
  /** Folder with the recovery key. */
  readonly keys: string;
  readonly place: Place;
}

/** Runs a restore on a host, and the operator's part of it on the operator's machine. */
export async function restore(
  host: Place,
  { keys, place }: Operator,
  from: string,
  code: number,
  ...more: string[]
): Promise<Finished> {
  const request = `${host.cwd}/request.json`;
  const answer = `${host.cwd}/answer.json`;
  const policy = `${place.cwd}/policy.json`;
  const flags = ["--from", from, "--request", request, "--answer", answer, ...more];
  const running = runBinary(host, ["store", "restore", ...flags]);
  const ended = running.then(() => true);
  while (!await Deno.stat(request).then(() => true, () => false)) {
    if (await Promise.race([ended, pause()])) return await done(running, code);
  }
  await writePolicy(policy, request);
  const paths = { request, key: `${keys}/recovery.key`, policy, out: answer };
  await done(runBinary(place, [
    "key",
    "rewrap",
    ...Object.entries(paths).flatMap(([name, value]) => [`--${name}`, value]),
  ]));
  return await done(running, code);
}

function pause(): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), 50));
}
