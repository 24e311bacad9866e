/**
 * Fuzz: every parser of Intel's formats gets mutated real structure and pure noise. Each input is
 * either read or refused with a typed error; none may crash, hang or take memory without bound.
 * NAUTILUS_NIGHTLY=1: more than 1,000,000 inputs.
 */
import { assert, assertEquals } from "@std/assert";
import { nightly } from "../../tests/pki/intel_appraise.ts";
import { makePlatform } from "../../tests/pki/intel_platform.ts";
import { intelVectors } from "../../tests/vectors/intel.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { decodeSgxQuote } from "../sgx/abi.ts";
import { decodeTdxQuote } from "../tdx/abi.ts";
import { parseHclReport } from "../azure_hcl.ts";
import { decodeEventLog, replayEventLog } from "../tdx/ccel.ts";
import { eventLogBytes } from "../../tests/pki/intel_event_log.ts";
import { collectCollateral, parseChain } from "./collateral.ts";
import { objectMembers } from "./json_text.ts";
import { decodePckExtension, SGX_EXTENSION_OID } from "./pck_extension.ts";
import { decodeQuote } from "./quote.ts";
import { decodeQeIdentity, decodeTcbInfo } from "./tcb_info.ts";

/** xorshift32: repeatable from the seed that a failure prints. */
class Random {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = (seed >>> 0) || 1;
  }

  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % Math.max(1, limit);
  }
}

const INTERESTING = [
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  0x20,
  0x22,
  0x2c,
  0x30,
  0x5b,
  0x7b,
  0x7d,
  0x7f,
  0x80,
  0x81,
  0xff,
];

/** A few edits: bits, bytes that matter to parsers, runs cut out, copied, repeated, truncation. */
function mutate(seed: Bytes, random: Random): Bytes {
  let out: Bytes = seed.slice();
  for (let edits = 1 + random.below(4); edits > 0; edits--) {
    if (out.length === 0) return out;
    const at = random.below(out.length);
    const length = 1 + random.below(Math.min(64, out.length - at));
    switch (random.below(7)) {
      case 0:
        out[at] = (out[at] ?? 0) ^ (1 << random.below(8));
        break;
      case 1:
        out[at] = INTERESTING[random.below(INTERESTING.length)] ?? 0;
        break;
      case 2:
        out[at] = random.below(256);
        break;
      case 3:
        out = joined(out.subarray(0, at), out.subarray(at + length));
        break;
      case 4:
        out = joined(out.subarray(0, at + length), out.subarray(at));
        break;
      case 5:
        out.copyWithin(random.below(out.length), at, at + length);
        break;
      default:
        out = out.slice(0, at);
    }
  }
  return out;
}

function joined(a: Uint8Array, b: Uint8Array): Bytes {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

interface Target {
  readonly name: string;
  readonly seeds: readonly Bytes[];
  readonly run: (input: Bytes) => void;
  /** Its part of the nightly inputs, in thousands. */
  readonly thousands: number;
}

const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);
const encode = (value: string): Bytes => new TextEncoder().encode(value);

async function targets(): Promise<readonly Target[]> {
  const vectors = intelVectors() ?? [];
  const sgx = await makePlatform({ tee: "SGX", quoteVersion: 3, bodyType: 1 });
  const tdx = await makePlatform({ tee: "TDX", quoteVersion: 5, bodyType: 3 });
  const tdx4 = await makePlatform({ tee: "TDX", quoteVersion: 4, bodyType: 2 });
  const real = (name: string) => vectors.flatMap(({ files }) => files.get(name) ?? []);
  const quotes = [sgx.quote, tdx.quote, tdx4.quote, ...vectors.flatMap(({ quote }) => quote ?? [])];
  const extensions = parseChain(sgx.pckChain).slice(0, 1).flatMap(({ extensions }) =>
    extensions.get(SGX_EXTENSION_OID)?.value ?? []
  );
  const inner = (bytes: Bytes, member: string) =>
    encode(objectMembers(text(bytes), "seed")?.get(member) ?? "{}");
  return [
    {
      name: "quote",
      seeds: quotes,
      thousands: 300,
      run: (input) => {
        decodeQuote(input);
      },
    },
    {
      name: "SGX quote",
      seeds: [sgx.quote],
      thousands: 60,
      run: (input) => {
        decodeSgxQuote(input);
      },
    },
    {
      name: "TDX quote",
      seeds: [tdx.quote, tdx4.quote],
      thousands: 60,
      run: (input) => {
        decodeTdxQuote(input);
      },
    },
    {
      name: "SGX extension",
      seeds: extensions,
      thousands: 150,
      run: (input) => {
        decodePckExtension(input);
      },
    },
    {
      name: "TCB info",
      seeds: [inner(sgx.parts.tcbInfo, "tcbInfo"), inner(tdx.parts.tcbInfo, "tcbInfo")],
      thousands: 100,
      run: (input) => {
        decodeTcbInfo(text(input));
      },
    },
    {
      name: "QE identity",
      seeds: [inner(tdx.parts.qeIdentity, "enclaveIdentity")],
      thousands: 150,
      run: (input) => {
        decodeQeIdentity(text(input));
      },
    },
    {
      name: "event log",
      seeds: [
        eventLogBytes([{ mrIndex: 1, type: 4, data: encode("one") }, {
          mrIndex: 4,
          type: 0x80000001,
          data: encode("two"),
        }]),
        ...real("ccel_data.bin"),
      ],
      thousands: 150,
      run: (input) => {
        replayEventLog(decodeEventLog(input));
      },
    },
    {
      name: "HCL report",
      seeds: [hclBytes(), ...real("hcl_report.bin")],
      thousands: 60,
      run: (input) => {
        parseHclReport(input);
      },
    },
    {
      name: "collateral",
      seeds: [...Object.values(tdx.parts), ...real("collateral.json"), tdx.pckChain],
      thousands: 25,
      run: (input) => {
        const { malformed } = collectCollateral([{ type: "fuzz", data: input }]);
        assert(malformed.every((problem) => problem.text.length < 2000));
      },
    },
  ];
}

function hclBytes(): Bytes {
  const claims = encode(`{"keys":[],"user-data":"${"00".repeat(64)}"}`);
  const out = new Uint8Array(32 + 1184 + 20 + claims.length);
  out.set(encode("HCLA"));
  const view = new DataView(out.buffer);
  const words: Readonly<Record<number, number>> = {
    4: 2,
    8: 1216 + 20 + claims.length,
    12: 2,
    1216: 20 + claims.length,
    1220: 1,
    1224: 4,
    1228: 1,
    1232: claims.length,
  };
  for (const [offset, value] of Object.entries(words)) view.setUint32(Number(offset), value, true);
  out.set(claims, 1236);
  return out;
}

Deno.test("parsers of Intel's formats read or refuse whatever they are given", async (t) => {
  const all = await targets();
  const nightlyRun = nightly();
  for (const { name, seeds, run, thousands } of all) {
    await t.step(name, () => {
      for (const seed of seeds) run(seed);
      const random = new Random(0x1ee7 + name.length);
      const count = nightlyRun ? thousands * 1000 : thousands * 10;
      let refused = 0;
      for (let i = 0; i < count; i++) {
        const seed = seeds[random.below(seeds.length)] ?? new Uint8Array();
        const noise = random.below(20) === 0;
        const input = noise
          ? Uint8Array.from({ length: random.below(600) }, () => random.below(256))
          : mutate(seed, random);
        const before = performance.now();
        try {
          run(input);
        } catch (error) {
          if (!(error instanceof BackendError) || error.code !== "malformed") {
            throw new Error(`${name}, input ${i}: ${input.toBase64()}`, { cause: error });
          }
          refused++;
        }
        const took = performance.now() - before;
        assert(took < 2000, `${name}, input ${i} took ${took} ms: ${input.toBase64()}`);
      }
      if (name !== "collateral") assert(refused > count / 10, `${name}: ${refused} refused`);
    });
  }
});

Deno.test("decodeQuote() copies: later changes of the input change nothing", async () => {
  const { quote } = await makePlatform({ tee: "TDX", quoteVersion: 5, bodyType: 3 });
  const input = quote.slice();
  const decoded = decodeQuote(input);
  const before = decoded.signedBytes.toHex();
  input.fill(0);
  assertEquals(decoded.signedBytes.toHex(), before);
});
