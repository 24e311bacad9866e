import { generateKeyPairSync, sign } from "node:crypto";
import { type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { spawnFakeNode } from "../tests/fakes/sui/spawn.ts";
import { ed25519Wallet, wallets } from "../tests/fakes/sui/wallets.ts";
import { type AdmissionProof, createAdmission, type MasterFacts } from "./admission.ts";
import { admissionMessage, nodeKeyHash, nodeSignatureInput } from "./admission_message.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";
import { createSealTokenValidator } from "./seal_token.ts";
import { verifyWalletSignature } from "./wallet_signature.ts";

const CLAIM = "100 checks/s at 100 ms in 4 KB";
const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

/** Signature checks of one scheme over a message of admission's size. */
function signature(scheme: string): BenchSpec["setup"] {
  return async () => {
    const wallet = wallets(11).find((one) => one.scheme === scheme);
    if (wallet === undefined) return { skip: `no wallet of scheme ${scheme}` };
    const message = random(800);
    const serialized = await wallet.sign(message);
    return {
      run: async () => {
        const verdict = await verifyWalletSignature(message, serialized, wallet.address);
        if (!verdict.valid) throw new Error(verdict.reason);
      },
    };
  };
}

/** The master's part of an admission; proofs are made beforehand, the chain answers from another process. */
function admissions(count: number): BenchSpec["setup"] {
  return async () => {
    const node = await spawnFakeNode();
    const ledger = await openGrpcLedger({ endpoint: node.url });
    const validator = createSealTokenValidator({
      ledger,
      packageId: node.packageId,
      registryId: node.registryId,
      minimumStakeMist: 1n,
      clock: Date.now,
      allowLegacyBearer: false,
    });
    const spki = () =>
      Uint8Array.from(
        generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" }),
      );
    const facts: MasterFacts = {
      chainId: node.chainId,
      clusterId: Uint8Array.fromHex(node.clusterId),
      measurement: random(48),
      identityKey: spki(),
      tlsKey: spki(),
    };
    const admission = createAdmission({
      facts,
      validator,
      bootKey: random(32),
      clock: () => 1_790_000_000_000, // proofs do not grow old while they wait for their turn
      random,
      maxBurned: 10_000_000,
    });
    const wallet = ed25519Wallet(11);
    const workers = await Promise.all(Array.from({ length: 64 }, async (_, i) => {
      const key = generateKeyPairSync("ed25519");
      const nodeKey = Uint8Array.from(key.publicKey.export({ type: "spki", format: "der" }));
      const nodeId = `node-${i}`;
      const made = await node.control("token", {
        owner: wallet.address,
        node_id: nodeId,
        node_key_hash: nodeKeyHash(nodeKey),
      });
      return { nodeId, nodeKey, privateKey: key.privateKey, tokenId: String(made["token_id"]) };
    }));
    const prove = async (index: number): Promise<AdmissionProof> => {
      const worker = workers[index % workers.length];
      if (worker === undefined) throw new Error("no worker");
      const challenge = admission.challenge(worker.nodeId, wallet.address);
      if (challenge === undefined) throw new Error("no challenge");
      const message = admissionMessage({
        chainId: facts.chainId,
        clusterId: facts.clusterId,
        nodeId: worker.nodeId,
        tokenId: worker.tokenId,
        owner: wallet.address,
        nodeKey: worker.nodeKey,
        masterIdentityKey: facts.identityKey,
        masterTlsKey: facts.tlsKey,
        measurement: facts.measurement,
        challenge: challenge.challenge,
        issuedAtMs: challenge.issuedAtMs,
        expiresAtMs: challenge.expiresAtMs,
      });
      return {
        nodeId: worker.nodeId,
        address: wallet.address,
        tokenId: worker.tokenId,
        nodeKey: worker.nodeKey,
        challenge: challenge.challenge,
        walletSignature: await wallet.sign(message),
        nodeSignature: Uint8Array.from(
          sign(null, nodeSignatureInput(message), worker.privateKey),
        ),
      };
    };
    const proofs: AdmissionProof[] = [];
    for (let i = 0; i < count; i++) proofs.push(await prove(i));
    let next = 0;
    return {
      run: async () => {
        const proof = proofs[next++];
        if (proof === undefined) throw new Error(`more than ${count} runs`);
        const decision = await admission.admit(proof);
        if (!decision.admitted) throw new Error(decision.reason);
      },
      close: async () => {
        await ledger[Symbol.asyncDispose]();
        await node[Symbol.asyncDispose]();
      },
    };
  };
}

export const benches: readonly BenchSpec[] = [
  ...["ed25519", "secp256k1", "secp256r1", "multisig", "passkey"].map((scheme): BenchSpec => ({
    name: scheme,
    group: "wallet signature",
    claim: CLAIM,
    setup: signature(scheme),
  })),
  {
    name: "Ed25519, chain in another process, 64 in flight",
    group: "admission",
    inFlight: 64,
    maxRuns: 3000,
    claim: CLAIM,
    target: ">= 1,500/s",
    setup: admissions(8000),
  },
];

registerWithDeno(benches, import.meta);
