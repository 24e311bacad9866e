import {
  assert,
  assertEquals,
  assertNotEquals,
  assertObjectMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { createPublicKey, verify } from "node:crypto";
import { Buffer } from "node:buffer";
import { attestationSignatureInput, enclaveId, reportData } from "../backends/attestation.ts";
import type { Bytes } from "../backends/mod.ts";
import { createNodeAttestor, nodeIdentity } from "./node_attestor.ts";

const filled = (length: number, byte: number): Bytes => new Uint8Array(length).fill(byte);

function subject(options: { failFirst?: boolean } = {}) {
  const attested: Bytes[] = [];
  const time = { now: 1_790_000_000_500 };
  const identity = nodeIdentity(filled(32, 7));
  const binding = {
    bootId: filled(16, 1),
    configDigest: filled(32, 2),
    storeId: filled(16, 3),
    incarnation: filled(16, 4),
  };
  const config = { digest: binding.configDigest };
  let failuresLeft = options.failFirst ? 1 : 0;
  const attestor = createNodeAttestor({
    ...binding,
    configDigest: () => config.digest,
    identity,
    tls: undefined,
    tee: {
      kind: "SIMULATION",
      securityLevel: 1,
      covers: "none",
      measurement: filled(48, 5),
      sealPolicies: [],
      attests: true,
    },
    attester: {
      attest: (data) => {
        attested.push(data);
        if (failuresLeft-- > 0) return Promise.reject(new Error("device busy"));
        return Promise.resolve({ mediaType: "test/evidence", data, endorsements: [] });
      },
    },
    storeHead: () => ({ sequence: 42n, digest: filled(64, 6) }),
    clock: () => time.now,
    reattestAfterMs: 3_600_000,
  });
  return { attestor, attested, time, identity, binding, config };
}

Deno.test("attestation() binds the nonce and signs the exact bytes it returns", async () => {
  const { attestor, attested, identity, binding } = subject();
  const nonce = filled(16, 9);
  const bundle = await attestor.attestation(nonce);
  const expected = reportData({
    ...binding,
    nonce,
    identitySpki: identity.spki,
    tlsSpki: new Uint8Array(0),
  });
  assertEquals(attested.map((data) => data.toHex()), [expected.toHex()]);
  assertEquals(bundle.evidence.data, expected.toBase64());
  const signed = Uint8Array.fromBase64(bundle.signed);
  const key = createPublicKey({ key: Buffer.from(identity.spki), format: "der", type: "spki" });
  assert(
    verify(null, attestationSignatureInput(signed), key, Buffer.from(bundle.signature, "base64")),
  );
  const statement: unknown = JSON.parse(new TextDecoder().decode(signed));
  assertEquals(statement, {
    v: 1,
    nonce: nonce.toHex(),
    boot_id: "01".repeat(16),
    identity_key: identity.spki.toBase64(),
    tls_key: "",
    config_digest: "02".repeat(32),
    store_id: "03".repeat(16),
    incarnation: "04".repeat(16),
    store_head: { sequence: "42", digest: "06".repeat(64) },
    tee_type: "SIMULATION",
    security_level: 1,
    covers: "none",
    measurement: "05".repeat(48),
    timestamp: 1_790_000_000,
  });
  assertEquals(bundle.enclave_id, enclaveId(identity.spki));
  assertEquals([bundle.timestamp, bundle.certificate], [1_790_000_000, ""]);
});

Deno.test("attestation() asks the TEE once an hour when there is no nonce", async () => {
  const { attestor, attested, time } = subject();
  await Promise.all([attestor.attestation(undefined), attestor.attestation(undefined)]);
  time.now += 3_599_999;
  await attestor.attestation(undefined);
  assertEquals(attested.length, 1);
  time.now += 1;
  await attestor.attestation(undefined);
  assertEquals(attested.length, 2);
  await attestor.attestation(filled(8, 1));
  await attestor.attestation(filled(8, 2));
  assertEquals(attested.length, 4);
  assertNotEquals(attested[2]?.toHex(), attested[3]?.toHex());
});

Deno.test("attestation() tries again after the TEE failed", async () => {
  const { attestor, attested } = subject({ failFirst: true });
  await assertRejects(() => attestor.attestation(undefined), Error, "device busy");
  await attestor.attestation(undefined);
  assertEquals(attested.length, 2);
});

Deno.test("attestation() refuses a nonce outside 8 to 64 bytes", async () => {
  const { attestor, attested } = subject();
  await assertRejects(() => attestor.attestation(filled(7, 1)), RangeError, "8 to 64");
  await assertRejects(() => attestor.attestation(filled(65, 1)), RangeError, "8 to 64");
  assertEquals(attested.length, 0);
});

Deno.test("nodeIdentity() wipes the seed and refuses another length", () => {
  const seed = filled(32, 7);
  assertEquals(nodeIdentity(seed).spki.length, 44);
  assertEquals(seed.toHex(), "00".repeat(32));
  assertThrows(() => nodeIdentity(filled(31, 1)), RangeError, "32 bytes");
});

Deno.test("attestation() binds another configuration from the moment that it is in force", async () => {
  const { attestor, attested, config } = subject();
  const digestOf = async (): Promise<Record<string, unknown>> => {
    const { signed } = await attestor.attestation(undefined);
    const statement: Record<string, unknown> = JSON.parse(
      new TextDecoder().decode(Uint8Array.fromBase64(signed)),
    );
    return statement;
  };
  await digestOf();
  config.digest = filled(32, 8);
  assertObjectMatch(await digestOf(), { config_digest: "08".repeat(32) });
  await digestOf();
  assertEquals(attested.length, 2);
});
