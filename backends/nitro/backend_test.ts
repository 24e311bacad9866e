import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { encode } from "cborg";
import fc from "fast-check";
import {
  Errno,
  type FakeDirectory,
  fuseUnavailable,
  mountFuse,
} from "../../tests/fakes/fuse/server.ts";
import { type FakeNsm, makeNsm } from "../../tests/fakes/nitro/module.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { makeNitroAuthorities } from "../../tests/pki/nitro.ts";
import { BackendError, type BackendErrorCode } from "../errors.ts";
import { openIoctlDevice } from "../ffi/device.ts";
import type { Bytes } from "../mod.ts";
import { createNsmDevice, type NsmDevice } from "./device.ts";
import {
  decodeAttestationAnswer,
  decodeDescribePcrAnswer,
  decodeRandomAnswer,
  decodeResponseLength,
  encodeMessage,
} from "./nsm_abi.ts";

const runs = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 1_000_000 : 5_000;
const why = fuseUnavailable();
const userData: Bytes = new Uint8Array(64).fill(6);

async function onModule(job: (nsm: FakeNsm, device: NsmDevice) => Promise<void>): Promise<void> {
  const nsm = makeNsm(await makeNitroAuthorities(), new Uint8Array(48).fill(1));
  const tree: FakeDirectory = { type: "directory", entries: new Map([["nsm", nsm.file]]) };
  await using mount = await mountFuse(tree);
  const path = `${mount.path}/nsm`;
  await using device = createNsmDevice(await openIoctlDevice({ kind: "NITRO", path, spawnWorker }));
  await job(nsm, device);
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: `Nitro ${name}${why === undefined ? "" : ` (skipped: ${why})`}`,
    ignore: why !== undefined,
    fn,
  });
}

async function refusal(job: () => Promise<unknown>, code: BackendErrorCode): Promise<BackendError> {
  const error = await assertRejects(job, BackendError);
  assertEquals(error.code, code, `${error.code}: ${error.message}`);
  return error;
}

test("describes PCRs and gives as much randomness as asked", () =>
  onModule(async (_nsm, device) => {
    assertEquals(await device.describePcr(0), { lock: true, data: new Uint8Array(48).fill(1) });
    assertEquals((await device.describePcr(20)).lock, false);
    assertEquals(
      (await refusal(() => device.describePcr(32), "firmware")).nativeStatus?.name,
      "InvalidIndex",
    );
    assertEquals((await device.random(1000)).length, 1000);
    assert((await device.random(32)).toHex() !== (await device.random(32)).toHex());
  }));

test("keeps the module's own word on every documented error", () =>
  onModule(async (nsm, device) => {
    const errors = [
      "InvalidArgument",
      "InvalidIndex",
      "InvalidResponse",
      "ReadOnlyIndex",
      "InvalidOperation",
      "BufferTooSmall",
      "InputTooLarge",
      "InternalError",
    ];
    for (const name of errors) {
      nsm.onAnswer = () => new Uint8Array(encode({ Error: name }));
      const error = await refusal(() => device.attestation(userData), "firmware");
      assertEquals(error.nativeStatus?.name, name);
      assert(error.hint !== undefined);
    }
    const faults: [number, BackendErrorCode][] = [
      [19, "device_lost"],
      [25, "device_lost"],
      [110, "throttled"],
      [90, "io"],
      [14, "io"],
    ];
    for (const [errno, code] of faults) {
      nsm.onAnswer = () => {
        throw new Errno(errno);
      };
      assertEquals(
        (await refusal(() => device.attestation(userData), code)).nativeStatus?.value,
        errno,
      );
    }
  }));

test("refuses garbage, short and foreign answers as malformed", () =>
  onModule(async (nsm, device) => {
    const answers: Uint8Array[] = [
      new Uint8Array(0),
      Uint8Array.of(0xff, 0xff),
      new Uint8Array(12288),
      encode([]),
      encode({ Attestation: {} }),
      encode({ Attestation: { document: "text" } }),
      encode({ Attestation: { document: new Uint8Array(0) } }),
      encode({ DescribePCR: { lock: true, data: new Uint8Array(48) } }),
      encode({ Error: 7 }),
      encode({ Error: "InvalidIndex", Attestation: {} }),
    ];
    for (const answer of answers) {
      nsm.onAnswer = () => new Uint8Array(answer);
      await refusal(() => device.attestation(userData), "malformed");
    }
  }));

Deno.test("the NSM's decoders answer any bytes with a value or a typed refusal", () => {
  const decoders: ((bytes: Bytes) => unknown)[] = [
    decodeAttestationAnswer,
    decodeDescribePcrAnswer,
    decodeRandomAnswer,
    decodeResponseLength,
  ];
  const seed = encode({ Attestation: { document: new Uint8Array(20) } });
  const arbitrary = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.record({ at: fc.nat(seed.length - 1), to: fc.nat(255) }).map(({ at, to }) => {
      const out = new Uint8Array(seed);
      out[at] = to;
      return out;
    }),
  );
  fc.assert(
    fc.property(arbitrary, (input) => {
      for (const decode of decoders) {
        try {
          decode(new Uint8Array(input));
        } catch (error) {
          assert(error instanceof BackendError, String(error));
          assert(error.code === "malformed" || error.code === "firmware");
        }
      }
    }),
    { numRuns: runs },
  );
});

Deno.test("decodeResponseLength() refuses more than the buffer holds", () => {
  const message = encodeMessage(10);
  assertEquals(decodeResponseLength(message), 12288);
  new DataView(message.buffer).setBigUint64(24, 12289n, true);
  assertThrows(() => decodeResponseLength(message), BackendError);
});
