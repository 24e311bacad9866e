/** The write-back vector of docs/ADMISSION.md, recomputed from its inputs: by the code, and by hand. */
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { toBase58 } from "@mysten/sui/utils";
import { blake2b } from "@noble/hashes/blake2.js";
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";
import { gatewayType } from "../sui/address.ts";
import { MasterCap } from "../sui/bcs.ts";
import type { ChainDelivery } from "../sui/events.ts";
import type { Ledger, LedgerObject } from "../sui/ledger.ts";
import { createResultSigner, type SignedTransaction } from "../sui/result_signer.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import { keep, oldest, putOutbox } from "./result_outbox.ts";

const Vector = v.strictObject({
  inputs: v.strictObject({
    signer_seed: v.string(),
    package: v.string(),
    registry: v.strictObject({ id: v.string(), initial_shared_version: v.number() }),
    master_cap: v.strictObject({ id: v.string(), version: v.number(), digest: v.string() }),
    gas_coin: v.strictObject({ id: v.string(), version: v.number(), digest: v.string() }),
    gas_price: v.number(),
    gas_budget: v.number(),
    event: v.strictObject({
      checkpoint: v.number(),
      transaction: v.string(),
      index: v.number(),
      request_id: v.string(),
    }),
    result: v.strictObject({
      success: v.boolean(),
      code: v.number(),
      digest: v.string(),
      execution_time_ms: v.number(),
      applied_at_ms: v.number(),
    }),
  }),
  outbox_key: v.string(),
  outbox_value: v.string(),
  signer_address: v.string(),
  transaction: v.string(),
  transaction_digest: v.string(),
  signature: v.string(),
  outbox_value_signed: v.string(),
});
type Vector = v.InferOutput<typeof Vector>;

async function written(): Promise<Vector> {
  const document = await Deno.readTextFile(new URL("../docs/ADMISSION.md", import.meta.url));
  const json = /```json write-back-vector\n([\s\S]*?)\n```/.exec(document)?.[1];
  assert(json !== undefined, "docs/ADMISSION.md has no write-back vector");
  return v.parse(Vector, JSON.parse(json));
}

/** A chain that holds the inputs and nothing else. */
function ledgerOf({ inputs }: Vector, owner: string): Ledger {
  const away = () => Promise.reject(new Error("not asked for a vector"));
  const object = (
    id: string,
    given: Pick<LedgerObject, "version" | "digest" | "type" | "owner" | "contents">,
  ): LedgerObject => ({ id, ...given, observed: { chainId: "", checkpoint: 0n, timestampMs: 0 } });
  const { registry, master_cap: cap } = inputs;
  return {
    status: away,
    getDynamicField: away,
    events: away,
    getObject: (id) =>
      Promise.resolve(
        id === cap.id
          ? object(id, {
            version: BigInt(cap.version),
            digest: cap.digest,
            type: gatewayType(inputs.package, "MasterCap"),
            owner: { kind: "address", address: owner },
            contents: MasterCap.serialize({ id, registry: registry.id }).toBytes(),
          })
          : object(id, {
            version: 99n,
            digest: cap.digest,
            type: gatewayType(inputs.package, "WorkerRegistry"),
            owner: { kind: "shared", initialVersion: BigInt(registry.initial_shared_version) },
            contents: new Uint8Array(0),
          }),
      ),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function signerOf(vector: Vector) {
  const { inputs } = vector;
  const open = (owner: string) =>
    createResultSigner({
      ledger: ledgerOf(vector, owner),
      writer: {
        referenceGasPrice: () => Promise.resolve(BigInt(inputs.gas_price)),
        gasCoins: () =>
          Promise.resolve([{
            objectId: inputs.gas_coin.id,
            version: String(inputs.gas_coin.version),
            digest: inputs.gas_coin.digest,
            balanceMist: 1_000_000_000n,
          }]),
        execute: () => Promise.reject(new Error("nothing is handed in for a vector")),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      },
      packageId: inputs.package,
      registryId: inputs.registry.id,
      masterCapId: inputs.master_cap.id,
      gasBudgetMist: BigInt(inputs.gas_budget),
      seed: Uint8Array.fromHex(inputs.signer_seed),
    });
  return await open((await open(inputs.registry.id)).address);
}

Deno.test("docs/ADMISSION.md has the outbox record and the transaction that this code makes", async () => {
  const vector = await written();
  const { event, result } = vector.inputs;
  const delivery: ChainDelivery = {
    event: { kind: "unknown", type: "the outbox does not look at it" },
    cursor: "c",
    previousCursor: undefined,
    dedupeKey: `${event.transaction}/${event.index}`,
    checkpoint: BigInt(event.checkpoint),
    sender: vector.inputs.registry.id,
  };
  const operations = putOutbox(
    delivery,
    { kind: "k8s_request", requestId: event.request_id, ...result },
    result.execution_time_ms,
    result.applied_at_ms,
  );
  const text = (value: Bytes) => new TextDecoder("utf-8", { fatal: true }).decode(value);
  const [put] = operations;
  assert(put?.type === "put" && operations.length === 1);
  assertEquals([text(put.key), text(put.value)], [vector.outbox_key, vector.outbox_value]);

  await using store = await openTestStore();
  await store.txn({ compare: [], success: operations, failure: [] });
  const { entry } = await oldest(store);
  assert(entry !== undefined);
  assertEquals(entry.checkpoint, BigInt(event.checkpoint));
  const signer = await signerOf(vector);
  assertEquals(signer.address, vector.signer_address);
  const signed: SignedTransaction = await signer.sign(entry.result, new AbortController().signal);
  const bytes = Uint8Array.fromBase64(signed.transaction);
  assertEquals([bytes.toHex(), signed.signature], [vector.transaction, vector.signature]);

  await keep(store, entry, signed, 0);
  const [kept] = (await store.range("system", { key: put.key })).kvs;
  assert(kept !== undefined);
  assertEquals(text(kept.value), vector.outbox_value_signed);
});

const utf8 = (text: string) => [...new TextEncoder().encode(text)];
const le = (value: number, length: number) =>
  Array.from({ length }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);
const hex = (text: string) => [...Uint8Array.fromHex(text.replace(/^0x/, ""))];
/** Lengths below 128: one byte of ULEB128. */
const counted = (bytes: readonly number[]) => [bytes.length, ...bytes];

/** BCS of TransactionData as the table of the document says it, with nobody's library. */
function byHand({ inputs, signer_address: sender }: Vector): Bytes {
  const { registry, master_cap: cap, gas_coin: coin, event, result } = inputs;
  const ref = (object: { id: string; version: number; digest: string }) => [
    ...hex(object.id),
    ...le(object.version, 8),
    ...counted(base58(object.digest)),
  ];
  const shared = (id: string, version: number, mutable: boolean) => [
    1,
    1,
    ...hex(id),
    ...le(version, 8),
    mutable ? 1 : 0,
  ];
  const pure = (bytes: readonly number[]) => [0, ...counted(bytes)];
  return Uint8Array.from([
    0,
    0,
    8,
    ...[1, 0, ...ref(cap)],
    ...shared(registry.id, registry.initial_shared_version, true),
    ...pure(counted(utf8(event.request_id))),
    ...pure([result.success ? 1 : 0]),
    ...pure(counted(utf8(`sha256:${result.digest}`))),
    ...pure(counted([])),
    ...pure(le(result.execution_time_ms, 8)),
    ...shared("0x" + "6".padStart(64, "0"), 1, false),
    1,
    0,
    ...hex(inputs.package),
    ...counted(utf8("k8s_gateway")),
    ...counted(utf8("record_k8s_result")),
    0,
    8,
    ...Array.from({ length: 8 }, (_, i) => [1, ...le(i, 2)]).flat(),
    ...hex(sender),
    1,
    ...ref(coin),
    ...hex(sender),
    ...le(inputs.gas_price, 8),
    ...le(inputs.gas_budget, 8),
    0,
  ]);
}

function base58(text: string): number[] {
  const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  let value = 0n;
  for (const letter of text) value = value * 58n + BigInt(alphabet.indexOf(letter));
  return [...Uint8Array.fromHex(value.toString(16).padStart(64, "0"))];
}

Deno.test("the transaction of the vector is made, named and signed as the document's table says", async () => {
  const vector = await written();
  const transaction = byHand(vector);
  assertEquals(transaction.toHex(), vector.transaction);
  const named = Uint8Array.from([...utf8("TransactionData::"), ...transaction]);
  assertEquals(toBase58(blake2b(named, { dkLen: 32 })), vector.transaction_digest);
  const seed = Uint8Array.from([
    ...hex("302e020100300506032b657004220420"),
    ...hex(vector.inputs.signer_seed),
  ]);
  const key = createPrivateKey({ key: Buffer.from(seed), format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  const publicKey = [...spki.subarray(-32)];
  const address = blake2b(Uint8Array.from([0, ...publicKey]), { dkLen: 32 });
  assertEquals(`0x${Uint8Array.from(address).toHex()}`, vector.signer_address);
  const message = blake2b(Uint8Array.from([0, 0, 0, ...transaction]), { dkLen: 32 });
  const signature = sign(null, message, key);
  assert(verify(null, message, createPublicKey(key), signature));
  const serialized = Uint8Array.from([0, ...signature, ...publicKey]).toBase64();
  assertEquals(serialized, vector.signature);
});
