/** The test vector of docs/ADMISSION.md, recomputed from its inputs. */
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { wallets } from "../tests/fakes/sui/wallets.ts";
import { createAdmission, type MasterFacts } from "./admission.ts";
import {
  admissionMessage,
  nodeKeyHash,
  nodeSignatureInput,
  workerReportData,
} from "./admission_message.ts";
import { refuse } from "./token_reader.ts";
import { verifyWalletSignature } from "./wallet_signature.ts";

const CHAIN_ID = "3qzPkd1kUfkT1rDFb1VuPkJLA4xdKkYbT1mEmCV4qCGs";
const TOKEN_ID = "0x" + "33".repeat(32);
const NODE_ID = "worker-1";

function ed25519(byte: number) {
  const der = new Uint8Array([
    ...Uint8Array.fromHex("302e020100300506032b657004220420"),
    ...new Uint8Array(32).fill(byte),
  ]);
  const key = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  return {
    key,
    spki: Uint8Array.from(createPublicKey(key).export({ type: "spki", format: "der" })),
  };
}

const facts: MasterFacts = {
  chainId: CHAIN_ID,
  clusterId: Uint8Array.fromHex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"),
  measurement: new Uint8Array(48).fill(0x44),
  identityKey: ed25519(7).spki,
  tlsKey: ed25519(9).spki,
};

async function vector() {
  const node = ed25519(13);
  const admission = createAdmission({
    facts,
    validator: { check: () => Promise.resolve(refuse("not_found", "no chain here")) },
    bootKey: new Uint8Array(32).fill(15),
    clock: () => 1_790_000_000_000,
    random: (length) => Uint8Array.from({ length }, (_, i) => i),
  });
  const [wallet, ...others] = wallets(11);
  assert(wallet !== undefined);
  const challenge = admission.challenge(NODE_ID, wallet.address);
  assert(challenge !== undefined);
  const fields = (owner: string) => ({
    chainId: facts.chainId,
    clusterId: facts.clusterId,
    nodeId: NODE_ID,
    tokenId: TOKEN_ID,
    owner,
    nodeKey: node.spki,
    masterIdentityKey: facts.identityKey,
    masterTlsKey: facts.tlsKey,
    measurement: facts.measurement,
    challenge: challenge.challenge,
    issuedAtMs: challenge.issuedAtMs,
    expiresAtMs: challenge.expiresAtMs,
  });
  const message = admissionMessage(fields(wallet.address));
  const signatures = [];
  for (const signer of [wallet, ...others]) {
    const signature = await signer.sign(message);
    const verdict = await verifyWalletSignature(message, signature, signer.address);
    assert(verdict.valid);
    signatures.push({ scheme: signer.scheme, address: signer.address, signature });
  }
  return {
    challenge: challenge.challenge.toHex(),
    message_base64: message.toBase64(),
    node_key: node.spki.toBase64(),
    node_key_hash: nodeKeyHash(node.spki),
    node_signature: Uint8Array.from(sign(null, nodeSignatureInput(message), node.key)).toHex(),
    worker_report_data: workerReportData(message).toHex(),
    wallet_signatures: signatures,
  };
}

Deno.test("docs/ADMISSION.md has the vector that this code computes", async () => {
  const document = await Deno.readTextFile(new URL("../docs/ADMISSION.md", import.meta.url));
  const json = /```json vector\n([\s\S]*?)\n```/.exec(document)?.[1];
  assert(json !== undefined, "docs/ADMISSION.md has no vector");
  const written: unknown = JSON.parse(json);
  assertEquals(written, await vector());
});
