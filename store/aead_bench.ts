/** AES-256-GCM by provider and size, with `openssl speed` beside it where it is there. */
import { type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { type AeadKey, type AeadProvider } from "./aead.ts";
import { libcryptoAead } from "./aead/libcrypto.ts";
import { nodeCryptoAead } from "./aead/node_crypto.ts";
import { webCryptoAead } from "./aead/webcrypto.ts";

const SIZES = [64, 1024, 4096, 65_536, 1_048_576];
const HEADER_BYTES = 56;
const RUN_BYTES = 4 * 1024 * 1024;

type Direction = "seal" | "open";

function provided(
  name: string,
  load: () => AeadProvider | { readonly skip: string },
  inFlight: number,
): BenchSpec[] {
  return SIZES.flatMap((size) =>
    (["seal", "open"] as const).map((direction): BenchSpec => ({
      name: `${direction} ${size} B, ${name}`,
      group: "AES-256-GCM",
      inFlight,
      bytesPerOp: size,
      opsPerRun: inFlight > 1 ? 1 : Math.max(1, Math.min(1000, RUN_BYTES / size)),
      ...figures(name, size, direction),
      async setup() {
        const provider = load();
        if ("skip" in provider) return provider;
        const key = await provider.importKey(new Uint8Array(32).fill(7));
        const { inFlight: many = 1, opsPerRun = 1 } = this;
        return {
          run: many > 1
            ? oneAtATime(key, size, direction)
            : manyInARow(key, size, direction, opsPerRun),
          close() {
            key[Symbol.dispose]();
            provider[Symbol.dispose]();
          },
        };
      },
    }))
  );
}

function figures(name: string, size: number, direction: Direction): Partial<BenchSpec> {
  if (size !== 65_536) return {};
  const claim = direction === "seal" ? "500 MB/s" : "600 MB/s";
  if (name === "libcrypto") return { claim, target: ">= 1.0 GB/s" };
  if (name.startsWith("webcrypto")) return { claim, target: ">= 400 MB/s" };
  return { claim };
}

/** A call of its own, for providers that answer with promises. */
function oneAtATime(key: AeadKey, size: number, direction: Direction): () => Promise<void> {
  const nonce = new Uint8Array(12);
  const aad = new Uint8Array(HEADER_BYTES);
  const plaintext = new Uint8Array(size);
  const sealed = new Uint8Array(size + 16);
  const ready = Promise.resolve(key.sealInto(plaintext, nonce, aad, sealed));
  return async () => {
    if (direction === "seal") await key.sealInto(plaintext, nonce, aad, new Uint8Array(size + 16));
    else {
      await ready;
      await key.open(sealed, nonce, aad);
    }
  };
}

/** Many calls without a promise between them, for providers that answer at once. */
function manyInARow(
  key: AeadKey,
  size: number,
  direction: Direction,
  times: number,
): () => void {
  const nonce = new Uint8Array(12);
  const aad = new Uint8Array(HEADER_BYTES);
  const plaintext = new Uint8Array(size);
  const sealed = new Uint8Array(size + 16);
  key.sealInto(plaintext, nonce, aad, sealed);
  return () => {
    for (let i = 0; i < times; i++) {
      if (direction === "seal") key.sealInto(plaintext, nonce, aad, sealed);
      else key.open(sealed, nonce, aad);
    }
  };
}

/** What the library does without JavaScript around it: one second of `openssl speed` a size. */
const reference: BenchSpec[] = [1024, 65_536].map((size) => ({
  name: `seal ${size} B, openssl speed (ms per MB)`,
  group: "AES-256-GCM",
  unit: "ms",
  maxRuns: 1,
  async setup() {
    const command = new Deno.Command("openssl", {
      args: ["speed", "-mr", "-seconds", "1", "-bytes", String(size), "-evp", "aes-256-gcm"],
      stdout: "piped",
      stderr: "null",
    });
    try {
      const { stdout, success } = await command.output();
      const line = /^\+F:\d+:[^:]+:([\d.]+)/m.exec(new TextDecoder().decode(stdout));
      const bytesPerSecond = Number(line?.[1]);
      if (!success || !(bytesPerSecond > 0)) return { skip: "openssl speed gave no figure" };
      return { run: () => 1e9 / bytesPerSecond };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return { skip: "there is no openssl here" };
      throw error;
    }
  },
}));

export const benches: readonly BenchSpec[] = [
  ...provided("libcrypto", () => {
    const fast = libcryptoAead();
    return fast.available ? fast.provider : { skip: fast.reason };
  }, 1),
  ...provided("node:crypto", nodeCryptoAead, 1),
  ...provided("webcrypto, 16 in flight", webCryptoAead, 16),
  ...reference,
];

registerWithDeno(benches, import.meta);
