/** The worker's own file, readable by nobody else: the node key, and the session while there is one. */
import { Buffer } from "node:buffer";
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";
import { ConfigError } from "../config.ts";
import type { NodeKey } from "../sui/admission_proof.ts";
import { replaceFile } from "./files/written.ts";

const State = v.strictObject({
  v: v.literal(1),
  /** Base64 PKCS #8, Ed25519. */
  node_key: v.string(),
  /** Whom it joined, so that another chain or cluster under the same name is noticed. */
  master: v.optional(v.strictObject({
    url: v.string(),
    chain_id: v.string(),
    cluster_id: v.string(),
    /** Base64 SPKI. */
    identity_key: v.string(),
  })),
});
export type WorkerState = v.InferOutput<typeof State>;

export interface WorkerFile {
  readonly nodeKey: NodeKey;
  readonly master: WorkerState["master"];
  remember(master: NonNullable<WorkerState["master"]>): Promise<void>;
}

/**
 * Opens the file, or makes it with a new node key.
 * @throws {ConfigError} for one that others can read, or that cannot be understood
 */
export async function openWorkerFile(path: string): Promise<WorkerFile> {
  let state = await read(path);
  if (state === undefined) {
    const { privateKey } = generateKeyPairSync("ed25519");
    const der = privateKey.export({ type: "pkcs8", format: "der" });
    state = { v: 1, node_key: der.toString("base64") };
    const at = path.lastIndexOf("/");
    if (at > 0) await Deno.mkdir(path.slice(0, at), { recursive: true, mode: 0o700 });
    await write(path, state);
  }
  let current = state;
  const key = privateKey(path, state.node_key);
  return {
    nodeKey: {
      spki: new Uint8Array(createPublicKey(key).export({ type: "spki", format: "der" })),
      sign: (input: Bytes) => new Uint8Array(sign(null, input, key)),
    },
    get master() {
      return current.master;
    },
    async remember(master) {
      if (JSON.stringify(current.master) === JSON.stringify(master)) return;
      current = { ...current, master };
      await write(path, current);
    },
  };
}

/** Nothing of what it holds instead is repeated. @throws {ConfigError} naming the file */
function privateKey(path: string, pkcs8: string): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey({ key: Buffer.from(pkcs8, "base64"), format: "der", type: "pkcs8" });
  } catch {
    key = undefined; // said below, together with keys of another kind
  }
  if (key?.asymmetricKeyType === "ed25519") return key;
  throw new ConfigError(`--state ${path}: field "node_key" holds no Ed25519 key (Base64, PKCS #8)`);
}

async function read(path: string): Promise<WorkerState | undefined> {
  let text: string;
  try {
    const { mode } = await Deno.stat(path);
    if (mode !== null && (mode & 0o077) !== 0) {
      throw new ConfigError(`--state ${path}: others can read it; it holds a key: chmod 600`);
    }
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new ConfigError(`--state ${path}: no JSON`); // its content is a key: never repeated
  }
  const parsed = v.safeParse(State, json);
  if (!parsed.success) {
    throw new ConfigError(`--state ${path}: field "${v.getDotPath(parsed.issues[0]) ?? ""}"`);
  }
  return parsed.output;
}

async function write(path: string, state: WorkerState): Promise<void> {
  await replaceFile(path, JSON.stringify(state) + "\n");
}
