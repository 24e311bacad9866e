/** Workers by the thousand: tokens on the stand-in chain, admission by the whole protocol, heartbeats. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import * as v from "valibot";
import { beatSignatureInput } from "../../api/beat_signature.ts";
import type { MasterFacts } from "../../sui/admission.ts";
import { nodeKeyHash } from "../../sui/admission_message.ts";
import { proveAdmission } from "../../sui/admission_proof.ts";
import { ed25519Wallet } from "../fakes/sui/wallets.ts";
import { LoadClient, loopbackAddress } from "./client.ts";
import type { Master } from "./master.ts";

export interface LoadWorker {
  readonly nodeId: string;
  readonly key: KeyObject;
  readonly spki: Uint8Array<ArrayBuffer>;
  readonly tokenId: string;
  readonly client: LoadClient;
  /** Set by its admission. */
  session: string;
  sequence: number;
}

const Challenge = v.object({
  challenge: v.string(),
  issued_at_ms: v.number(),
  expires_at_ms: v.number(),
});
const Registered = v.object({ session_token: v.string() });
const Renewed = v.object({ session_token: v.optional(v.string()) });
const hex = v.pipe(v.string(), v.transform((text) => Uint8Array.fromHex(text)));
const Facts = v.object({
  chain_id: v.string(),
  cluster_id: hex,
  measurement: hex,
  identity_key: v.pipe(v.string(), v.transform((text) => Uint8Array.fromBase64(text))),
  tls_key: v.pipe(v.string(), v.transform((text) => Uint8Array.fromBase64(text))),
});

const WALLET = ed25519Wallet(41);

/** Keys, tokens and a connection each from its own address; nobody is admitted yet. */
export async function makeWorkers(
  master: Master,
  count: number,
  options: { readonly prefix?: string; readonly keepAlive?: boolean } = {},
): Promise<LoadWorker[]> {
  const workers: LoadWorker[] = [];
  const make = async (i: number): Promise<LoadWorker> => {
    const { publicKey, privateKey: key } = generateKeyPairSync("ed25519");
    const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
    const nodeId = `${options.prefix ?? "worker"}-${i}`;
    const { token_id } = await master.chain.control("token", {
      owner: WALLET.address,
      node_id: nodeId,
      node_key_hash: nodeKeyHash(spki),
      stake_amount: "5000000000",
      status: "active",
    });
    return {
      nodeId,
      key,
      spki,
      tokenId: String(token_id),
      // Some workers share an address, as behind one gateway.
      client: new LoadClient(master.port, loopbackAddress(i >> 4), options.keepAlive ?? true),
      session: "",
      sequence: 0,
    };
  };
  for (let i = 0; i < count; i += 64) {
    const some = Array.from({ length: Math.min(64, count - i) }, (_, j) => make(i + j));
    workers.push(...await Promise.all(some));
  }
  return workers;
}

/** Challenge and proof; the registration is left to send. @returns its body */
export async function prove(worker: LoadWorker): Promise<string> {
  const { client, nodeId } = worker;
  const answer = await client.request(
    "POST",
    "/api/v1/admission/challenge",
    {},
    JSON.stringify({ node_id: nodeId, address: WALLET.address }),
  );
  if (answer.status !== 200) throw new Error(`challenge: ${answer.status} ${answer.body}`);
  const document: unknown = JSON.parse(answer.body);
  const { challenge, issued_at_ms, expires_at_ms } = v.parse(Challenge, document);
  const said = v.parse(Facts, document);
  // The load trusts the master that it has started itself.
  const facts: MasterFacts = {
    chainId: said.chain_id,
    clusterId: said.cluster_id,
    measurement: said.measurement,
    identityKey: said.identity_key,
    tlsKey: said.tls_key,
  };
  const proof = await proveAdmission({
    challenge: {
      ...facts,
      nodeId,
      address: WALLET.address,
      challenge: Uint8Array.fromHex(challenge),
      issuedAtMs: issued_at_ms,
      expiresAtMs: expires_at_ms,
    },
    appraised: facts,
    nodeId,
    tokenId: worker.tokenId,
    wallet: {
      address: WALLET.address,
      signPersonalMessage: (message) => WALLET.sign(message),
    },
    nodeKey: {
      spki: worker.spki,
      sign: (input) => new Uint8Array(sign(null, input, worker.key)),
    },
    nowMs: Date.now(),
  });
  return JSON.stringify({
    node_id: nodeId,
    seal_token: `seal_${worker.tokenId}`,
    timestamp: 1,
    proof: {
      address: proof.address,
      node_key: proof.nodeKey.toBase64(),
      challenge: proof.challenge.toHex(),
      wallet_signature: proof.walletSignature,
      node_signature: proof.nodeSignature.toBase64(),
    },
  });
}

/** Sends the registration and keeps the session. */
export async function register(worker: LoadWorker, body: string): Promise<void> {
  const answer = await worker.client.request("POST", "/api/v1/register-worker", {}, body);
  if (answer.status !== 200) throw new Error(`registration: ${answer.status} ${answer.body}`);
  worker.session = v.parse(Registered, JSON.parse(answer.body)).session_token;
  worker.sequence = 0;
}

/** Runs `action` on every worker, so many at a time. @returns how long it took, in ms */
export async function forEach(
  workers: readonly LoadWorker[],
  atOnce: number,
  action: (worker: LoadWorker) => Promise<void>,
): Promise<number> {
  const begun = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (;;) {
      const worker = workers[next++];
      if (worker === undefined) return;
      await action(worker);
    }
  }));
  return performance.now() - begun;
}

export interface SignedRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The worker's next heartbeat. */
export function nextBeat(worker: LoadWorker): SignedRequest {
  const body = JSON.stringify({
    node_id: worker.nodeId,
    timestamp: Math.floor(Date.now() / 1000),
    stake_status: "unknown",
    stake_amount: 0,
    running_pods: 3,
    resource_usage: { cpu_percent: 12.5, memory_percent: 41.2, disk_percent: 17 },
  });
  const sequence = ++worker.sequence;
  const input = beatSignatureInput({
    purpose: "heartbeat",
    sessionToken: worker.session,
    sequence,
    body: new TextEncoder().encode(body),
  });
  return {
    headers: {
      "X-Seal-Token": worker.session,
      "X-Nautilus-Sequence": String(sequence),
      "X-Nautilus-Signature": sign(null, input, worker.key).toString("base64"),
    },
    body,
  };
}

/** One heartbeat, acknowledged. */
export async function beat(worker: LoadWorker): Promise<void> {
  const { headers, body } = nextBeat(worker);
  const answer = await worker.client.request("POST", "/api/v1/nodes/heartbeat", headers, body);
  if (answer.status !== 200) throw new Error(`heartbeat: ${answer.status} ${answer.body}`);
  const { session_token } = v.parse(Renewed, JSON.parse(answer.body));
  if (session_token === undefined) return;
  // The sequence goes on: it is the admission's.
  worker.session = session_token;
}
