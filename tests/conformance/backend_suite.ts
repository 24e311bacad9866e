/**
 * What every TEE backend must do, whatever is underneath. A backend's conformance test brings a
 * harness; what its hardware cannot do it declares in `skip`, test by test and with the reason.
 */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { EVIDENCE_MEDIA_TYPE } from "../../backends/attestation.ts";
import {
  BackendError,
  type BackendErrorCode,
  type Bytes,
  type Sealer,
  type SealPolicy,
  type TeeBackend,
} from "../../backends/mod.ts";
import type { BackendHarness, SuiteOptions } from "./backend_harness.ts";

export * from "./backend_harness.ts";

const POLICIES: readonly SealPolicy[] = ["measurement", "signer"];
const aad = new TextEncoder().encode("keyring v1");
const secret = new TextEncoder().encode("a secret of thirty-two bytes, yes");

async function refusal(job: () => Promise<unknown>, code: BackendErrorCode): Promise<BackendError> {
  const error = await assertRejects(job, BackendError);
  assertEquals(error.code, code, `${error.code}: ${error.message}`);
  return error;
}

function random(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
}

function includes(haystack: Bytes, needle: Bytes): boolean {
  return haystack.toHex().includes(needle.toHex());
}

type Case = readonly [title: string, run: (harness: BackendHarness) => Promise<void>];

/** A case of some backends only. */
function when(condition: boolean, ...only: Case): Case[] {
  return condition ? [only] : [];
}

function sealerOf(backend: TeeBackend): Sealer {
  assert(backend.sealer !== undefined, "the suite was told that this backend seals");
  return backend.sealer;
}

function generalCases(options: SuiteOptions): Case[] {
  return [
    ["measurement() is stable, of its length, and a copy", async (harness) => {
      await using backend = await harness.open();
      const first = await backend.measurement();
      const before = first.toHex();
      assertEquals(first.length, options.measurementLength);
      first.fill(0xee);
      assertEquals((await backend.measurement()).toHex(), before);
      await using again = await harness.open();
      assertEquals((await again.measurement()).toHex(), before);
    }],
    ["measurement() differs for another program", async (harness) => {
      await using backend = await harness.open();
      await using other = await harness.open({ program: "other" });
      assertNotEquals(await backend.measurement(), await other.measurement());
    }],
    ["sealer, attester and counter stand for what the hardware can", async (harness) => {
      await using backend = await harness.open();
      assertEquals([...backend.sealer?.policies ?? []].sort(), [...options.policies].sort());
      assertEquals(backend.counter !== undefined, options.counter);
      assert(backend.attester !== undefined, "every backend attests");
    }],
    [
      "every method throws closed after disposal, and disposing twice is harmless",
      async (harness) => {
        const backend = await harness.open();
        const { sealer, attester, counter } = backend;
        const [policy] = options.policies;
        const blob = policy && await sealer?.seal(secret, policy, aad);
        await backend[Symbol.asyncDispose]();
        await backend[Symbol.asyncDispose]();
        await refusal(() => backend.measurement(), "closed");
        if (attester) await refusal(() => attester.attest(random(64)), "closed");
        if (counter) {
          await refusal(() => counter.read(), "closed");
          await refusal(() => counter.increment(0n), "closed");
        }
        if (sealer && policy && blob) {
          await refusal(() => sealer.seal(secret, policy, aad), "closed");
          await refusal(() => sealer.unseal(blob, aad), "closed");
        }
      },
    ],
  ];
}

function sealingCases(options: SuiteOptions): Case[] {
  const { policies } = options;
  const unsupported = POLICIES.filter((name) => !policies.includes(name));
  return [
    [
      "unseal() gives back what seal() took, for every policy, also after a restart",
      async (harness) => {
        const blobs: Bytes[] = [];
        {
          await using backend = await harness.open();
          for (const policy of policies) {
            const blob = await sealerOf(backend).seal(secret, policy, aad);
            assertEquals(await sealerOf(backend).unseal(blob, aad), secret);
            assert(!includes(blob, secret), "the plaintext stands in the blob");
            blobs.push(blob);
          }
        }
        await using restarted = await harness.open();
        for (const blob of blobs) assertEquals(await sealerOf(restarted).unseal(blob, aad), secret);
      },
    ],
    ["seal() takes an empty plaintext, an empty aad and 1 MiB", async (harness) => {
      await using backend = await harness.open();
      const sealer = sealerOf(backend);
      const large = new Uint8Array(1 << 20).map((_, index) => index * 31);
      const none = new Uint8Array(0);
      for (const policy of policies) {
        assertEquals(await sealer.unseal(await sealer.seal(none, policy, none), none), none);
        assertEquals(await sealer.unseal(await sealer.seal(large, policy, aad), aad), large);
      }
    }],
    ["seal() gives another blob every time and leaves its arguments alone", async (harness) => {
      await using backend = await harness.open();
      const [policy] = policies;
      assert(policy);
      const plaintext = secret.slice();
      const one = await sealerOf(backend).seal(plaintext, policy, aad);
      const two = await sealerOf(backend).seal(plaintext, policy, aad);
      assertNotEquals(one, two);
      assertEquals(plaintext, secret);
    }],
    ["unseal() refuses other aad as tampered", async (harness) => {
      await using backend = await harness.open();
      for (const policy of policies) {
        const blob = await sealerOf(backend).seal(secret, policy, aad);
        for (const other of ["", "keyring v2", "keyring v1 "]) {
          const bytes = new TextEncoder().encode(other);
          await refusal(() => sealerOf(backend).unseal(blob, bytes), "tampered");
        }
      }
    }],
    ["unseal() refuses a blob with any one byte altered", async (harness) => {
      await using backend = await harness.open();
      for (const policy of policies) {
        const blob = await sealerOf(backend).seal(secret, policy, aad);
        for (let index = 0; index < blob.length; index++) {
          const altered = blob.slice();
          altered[index] = (altered[index] ?? 0) ^ (1 << (index % 8));
          const error = await assertRejects(
            () => sealerOf(backend).unseal(altered, aad),
            BackendError,
          );
          assert(
            error.code === "tampered" || error.code === "malformed",
            `byte ${index}: ${error.code}: ${error.message}`,
          );
        }
      }
    }],
    ["unseal() refuses a blob cut at any length, or with something after it", async (harness) => {
      await using backend = await harness.open();
      const [policy] = policies;
      assert(policy);
      const blob = await sealerOf(backend).seal(secret, policy, aad);
      for (let length = 0; length < blob.length; length++) {
        await refusal(() => sealerOf(backend).unseal(blob.slice(0, length), aad), "malformed");
      }
      const longer = new Uint8Array(blob.length + 1);
      longer.set(blob);
      await refusal(() => sealerOf(backend).unseal(longer, aad), "malformed");
    }],
    ["unseal() answers any bytes with a typed refusal", async (harness) => {
      await using backend = await harness.open();
      const [policy] = policies;
      assert(policy);
      const blob = await sealerOf(backend).seal(secret, policy, aad);
      await fc.assert(
        fc.asyncProperty(
          fc.uint8Array({ maxLength: 200 }),
          fc.nat(blob.length),
          async (bytes, at) => {
            const mixed = blob.slice(0, at + bytes.length);
            mixed.set(bytes.subarray(0, mixed.length - at), at);
            if (includes(mixed, blob)) return;
            await assertRejects(() => sealerOf(backend).unseal(mixed, aad), BackendError);
          },
        ),
        { numRuns: 200 },
      );
    }],
    ...when(
      unsupported.length > 0,
      "seal() refuses a policy that the hardware cannot honour",
      async (harness) => {
        await using backend = await harness.open();
        for (const policy of unsupported) {
          const error = await refusal(
            () => sealerOf(backend).seal(secret, policy, aad),
            "policy_unsupported",
          );
          assert(error.message.includes(`"${policy}"`) && error.hint !== undefined);
        }
      },
    ),
    ["unseal() refuses what another device sealed as foreign_device", async (harness) => {
      await using backend = await harness.open();
      await using other = await harness.open({ device: "other" });
      for (const policy of policies) {
        const blob = await sealerOf(other).seal(secret, policy, aad);
        const error = await refusal(
          () => sealerOf(backend).unseal(blob, aad),
          "foreign_device",
        );
        assert(error.hint !== undefined, "a refusal says what an operator can do");
      }
    }],
    ...when(
      policies.includes("measurement"),
      "unseal() of another program names both measurements under policy measurement",
      async (harness) => {
        await using backend = await harness.open();
        await using other = await harness.open({ program: "other" });
        const blob = await sealerOf(backend).seal(secret, "measurement", aad);
        const error = await refusal(
          () => sealerOf(other).unseal(blob, aad),
          "measurement_mismatch",
        );
        assert(error.message.includes((await backend.measurement()).toHex()), error.message);
        assert(error.message.includes((await other.measurement()).toHex()), error.message);
      },
    ),
    ...when(
      policies.includes("signer"),
      "unseal() of another program of the same signer opens under policy signer",
      async (harness) => {
        await using backend = await harness.open();
        await using other = await harness.open({ program: "other" });
        const blob = await sealerOf(backend).seal(secret, "signer", aad);
        assertEquals(await sealerOf(other).unseal(blob, aad), secret);
      },
    ),
    ["seal() and unseal() run at the same time without mixing", async (harness) => {
      await using backend = await harness.open();
      const sealer = sealerOf(backend);
      await Promise.all(Array.from({ length: 24 }, async (_, index) => {
        const policy = policies[index % policies.length];
        assert(policy);
        const own = random(100 + index);
        const ownAad = Uint8Array.of(index);
        assertEquals(await sealer.unseal(await sealer.seal(own, policy, ownAad), ownAad), own);
      }));
    }],
  ];
}

function attestingCases(): Case[] {
  const attesterOf = (backend: TeeBackend): NonNullable<TeeBackend["attester"]> => {
    assert(backend.attester !== undefined, "every backend attests");
    return backend.attester;
  };
  return [
    ["attest() gives evidence of its media type that carries the report data", async (harness) => {
      await using backend = await harness.open();
      const reportData = random(64);
      const evidence = await attesterOf(backend).attest(reportData);
      assertEquals(evidence.mediaType, EVIDENCE_MEDIA_TYPE[backend.kind]);
      assertEquals(harness.reportDataOf(evidence), reportData);
    }],
    [
      "attest() gives evidence that appraises as affirming, and for no other report data",
      async (harness) => {
        await using backend = await harness.open();
        const reportData = random(64);
        const evidence = await attesterOf(backend).attest(reportData);
        const result = await harness.appraise(evidence, reportData);
        assertEquals(result.tier, "affirming", JSON.stringify(result.checks, undefined, 1));
        assertEquals((await harness.appraise(evidence, random(64))).tier, "contraindicated");
      },
    ],
    ["attest() refuses report data of any length but 64", async (harness) => {
      await using backend = await harness.open();
      for (const length of [0, 32, 63, 65, 4096]) {
        await refusal(() => attesterOf(backend).attest(random(length)), "report_data_length");
      }
    }],
    ["attest() answers concurrent callers each with its own report data", async (harness) => {
      await using backend = await harness.open();
      await Promise.all(Array.from({ length: 16 }, async () => {
        const reportData = random(64);
        const evidence = await attesterOf(backend).attest(reportData);
        assertEquals(harness.reportDataOf(evidence), reportData);
      }));
    }],
    ["attest() takes the report data as it is when called", async (harness) => {
      await using backend = await harness.open();
      const reportData = random(64);
      const before = reportData.slice();
      const pending = attesterOf(backend).attest(reportData);
      reportData.fill(0);
      assertEquals(harness.reportDataOf(await pending), before);
    }],
  ];
}

function counterCases(): Case[] {
  return [
    [
      "increment() moves the counter by one from the expected value, also over a restart",
      async (harness) => {
        let start = 0n;
        {
          await using backend = await harness.open();
          assert(backend.counter);
          start = await backend.counter.read();
          assertEquals(await backend.counter.increment(start), start + 1n);
        }
        await using restarted = await harness.open();
        assertEquals(await restarted.counter?.read(), start + 1n);
      },
    ],
    ["increment() refuses another expected value and changes nothing", async (harness) => {
      await using backend = await harness.open();
      const { counter } = backend;
      assert(counter);
      const start = await counter.read();
      await refusal(() => counter.increment(start + 1n), "counter_conflict");
      assertEquals(await counter.read(), start);
    }],
    [
      "increment() lets one of many concurrent callers win, over two opened backends",
      async (harness) => {
        await using one = await harness.open();
        await using two = await harness.open();
        assert(one.counter);
        const start = await one.counter.read();
        const outcomes = await Promise.allSettled(
          [one, two, one, two, one, two].map((backend) => backend.counter?.increment(start)),
        );
        assertEquals(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
        assertEquals(await two.counter?.read(), start + 1n);
      },
    ],
  ];
}

/** Registers the suite with `Deno.test`; a skipped case stands in the output with its reason. */
export function backendSuite(
  name: string,
  makeHarness: () => Promise<BackendHarness>,
  options: SuiteOptions,
): void {
  const cases = [
    ...generalCases(options),
    ...(options.policies.length === 0 ? [] : sealingCases(options)),
    ...attestingCases(),
    ...(options.counter ? counterCases() : []),
  ];
  const skipped = new Map(
    (options.skip ?? []).flatMap(({ reason, tests }) => tests.map((test) => [test, reason])),
  );
  for (const test of skipped.keys()) {
    if (!cases.some(([title]) => title === test)) throw new Error(`no case "${test}" to skip`);
  }
  for (const [title, run] of cases) {
    const reason = options.unavailable ?? skipped.get(title);
    Deno.test({
      name: `${name}: ${title}${reason === undefined ? "" : ` (skipped: ${reason})`}`,
      ignore: reason !== undefined,
      fn: async () => {
        await using harness = await makeHarness();
        await run(harness);
      },
    });
  }
}
