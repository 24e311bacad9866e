/**
 * Runs in the machine, on real OP-TEE: the backend as the program has it. Prints one line a step;
 * lines that start with ">" are for the other side.
 */
import { runTeecWorker, TEEC_WORKER } from "../../backends/ffi/teec_worker.ts";
import { BackendError, type Bytes, type TeeBackend } from "../../backends/mod.ts";
import { createProbeHost } from "../../backends/probe.ts";
import { ecSpki } from "../../backends/signatures.ts";
import { createTrustZoneFactory } from "../../backends/trustzone/backend.ts";
import { parseTaEvidence, TA_UUID } from "../../backends/trustzone/ta_abi.ts";

const TA = `/lib/optee_armtz/${TA_UUID}.ta`;
/** Under emulation everything takes its time. */
const SERVE_LIMIT_MS = 300_000;
const aad = new TextEncoder().encode("store 1");
const secret: Bytes = Uint8Array.from({ length: 32 }, (_, index) => index);

const out = (text: string): Promise<number> =>
  Deno.stdout.write(new TextEncoder().encode(`${text}\n`));

async function step(name: string, job: () => Promise<string>): Promise<void> {
  const started = performance.now();
  try {
    const result = await job();
    await out(`ok    ${name}: ${result} (${(performance.now() - started).toFixed(0)} ms)`);
  } catch (error) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    await out(`FAIL  ${name}: ${text}`);
    Deno.exitCode = 1;
  }
}

/** The refusal's code and words. @throws {Error} where nothing was refused, or for another reason */
async function refusal(job: () => Promise<unknown>, code: string): Promise<string> {
  try {
    await job();
  } catch (error) {
    if (error instanceof BackendError && error.code === code) return `${code}: ${error.message}`;
    throw error;
  }
  throw new Error("was not refused");
}

function same(a: Bytes, b: Bytes): void {
  if (a.toHex() !== b.toHex()) throw new Error(`${a.toHex()} is not ${b.toHex()}`);
}

const factory = createTrustZoneFactory({
  host: createProbeHost(),
  spawnWorker: (name) => new Worker(import.meta.url, { type: "module", name }),
  clock: Date.now,
});

async function withBackend<T>(job: (backend: TeeBackend) => Promise<T>): Promise<T> {
  await using backend = await factory.open({});
  return await job(backend);
}

function sealerOf({ sealer }: TeeBackend): NonNullable<TeeBackend["sealer"]> {
  if (sealer === undefined) throw new Error("no sealer");
  return sealer;
}

const unseal = (blob: Bytes, with_: Bytes = aad): Promise<Bytes> =>
  withBackend((backend) => sealerOf(backend).unseal(blob, with_));

async function unsealing(blob: Bytes): Promise<void> {
  await step("unseals in a new session", async () => {
    same(await unseal(blob), secret);
    return `${secret.length} bytes are back`;
  });
  await step("refuses a tampered blob", () => {
    const tampered = blob.slice();
    tampered[blob.length - 20] = (tampered[blob.length - 20] ?? 0) ^ 1;
    return refusal(() => unseal(tampered), "tampered");
  });
  await step(
    "refuses other additional data",
    () => refusal(() => unseal(blob, new Uint8Array(3)), "tampered"),
  );
  await step("refuses policy signer", () =>
    refusal(
      () => withBackend((backend) => sealerOf(backend).seal(secret, "signer", aad)),
      "policy_unsupported",
    ));
  await step("seals nothing, and 1 MiB", () =>
    withBackend(async (backend) => {
      const large = crypto.getRandomValues(new Uint8Array(65536));
      for (const plaintext of [new Uint8Array(0), new Uint8Array(1 << 20).fill(large[0] ?? 0)]) {
        const sealed = await sealerOf(backend).seal(plaintext, "measurement", aad);
        same(await sealerOf(backend).unseal(sealed, aad), plaintext);
      }
      return "and unseals them";
    }));
}

async function attesting(): Promise<void> {
  const reportData = crypto.getRandomValues(new Uint8Array(64));
  await step("attests", async () => {
    const [one, two] = await Promise.all(
      [0, 1].map(() => withBackend(async ({ attester }) => await attester?.attest(reportData))),
    );
    if (one === undefined || two === undefined) throw new Error("no attester");
    const { attestationKey, codeVersion, platform } = parseTaEvidence(one.data);
    same(parseTaEvidence(two.data).attestationKey, attestationKey);
    await out(`> evidence ${reportData.toBase64()} ${one.data.toBase64()}`);
    return `${one.data.length} bytes, code version ${codeVersion}, ` +
      `attestation PTA ${platform ? "there" : "not there"}, the same key in two sessions`;
  });
}

interface Started {
  /** Exit code. */
  readonly code: number;
  readonly output: string;
}

/** The whole program in production, until it listens and is told to stop, or ends by itself. */
async function serve(key: string, ...args: readonly string[]): Promise<Started> {
  const child = new Deno.Command("/deno", {
    args: [
      ...["run", "-A", "/nautilus.js", "serve", "--tee-mode", "production", "--tee-key", key],
      ...["--data-dir", "/tmp/data", "--runtime-dir", "/tmp/run", "--tls-listen", "127.0.0.1:0"],
      ...args,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const patience = setTimeout(() => child.kill("SIGKILL"), SERVE_LIMIT_MS);
  let output = "";
  const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const listened = /^ +Listening +http/m.test(output);
      output += text;
      if (!listened && /^ +Listening +http/m.test(output)) child.kill("SIGTERM");
    }
  };
  const [{ code }] = await Promise.all([child.status, read(child.stdout), read(child.stderr)]);
  clearTimeout(patience);
  return { code, output };
}

/** Store and identity that a master came up with. @throws {Error} with its words, where it did not */
function came({ code, output }: Started): { store: string; enclave: string } {
  const store = /"store_id":"([0-9a-f]{32})"/.exec(output)?.[1];
  const enclave = /"enclave_id":"([0-9a-f]{32})"/.exec(output)?.[1];
  if (code === 0 && store !== undefined && enclave !== undefined) return { store, enclave };
  throw new Error(`serve ended with ${code}: ${output.slice(-2000)}`);
}

async function serving(): Promise<string> {
  const reportData = new Uint8Array(64);
  const evidence = await withBackend(async ({ attester }) => await attester?.attest(reportData));
  const { attestationKey } = parseTaEvidence(evidence?.data ?? reportData);
  const key = ecSpki("P-256", attestationKey).toBase64();
  const admin = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("publicKey" in admin)) throw new Error("no key pair");
  const spki = await crypto.subtle.exportKey("spki", admin.publicKey);
  let first: ReturnType<typeof came> | undefined;
  await step("serves, in production, under the TA's key", async () => {
    const adminKey = new Uint8Array(spki).toBase64();
    first = came(await serve(key, "--no-recovery", "--admin-key", adminKey));
    return `store ${first.store}, enclave ${first.enclave}`;
  });
  await step("serves the same store again", async () => {
    const second = came(await serve(key));
    if (second.store !== first?.store || second.enclave !== first.enclave) {
      throw new Error(`store ${second.store}, enclave ${second.enclave}`);
    }
    return "the same enclave, too";
  });
  return key;
}

/** Installs another TA; it is loaded by the next first session. */
async function install(name: string): Promise<void> {
  await Deno.copyFile(`/lib/optee_armtz/${name}`, TA);
}

async function changingCode(blob: Bytes, key: string): Promise<void> {
  await step("refuses what other code sealed", async () => {
    await install("newer.ta");
    return await refusal(() => unseal(blob), "measurement_mismatch");
  });
  await step("serves no store that other code sealed", async () => {
    const { code, output } = await serve(key);
    const why = /running measurement is [0-9a-f]{96}/.exec(output)?.[0];
    if (code !== 3 || why === undefined) throw new Error(`${code}: ${output.slice(-2000)}`);
    return why;
  });
  await step("refuses to run after newer code did", async () => {
    await install("own.ta");
    return await refusal(() => withBackend((backend) => backend.measurement()), "state_invalid");
  });
  await step("loads no TA with a bit changed", async () => {
    await install("damaged.ta");
    return await refusal(() => withBackend((backend) => backend.measurement()), "unavailable");
  });
  await step("says which TA is missing", async () => {
    await Deno.remove(TA);
    return await refusal(() => withBackend((backend) => backend.measurement()), "unavailable");
  });
}

async function main(): Promise<void> {
  await install("own.ta");
  await step("detects", async () => {
    const probe = await factory.probe();
    if (!probe.available) throw new Error(probe.reason);
    return probe.reason;
  });
  await step("opens", async () => {
    const measurement = await withBackend((backend) => backend.measurement());
    await out(`> measurement ${measurement.toHex()}`);
    return `measurement ${measurement.toHex()}`;
  });
  const earlier = await Deno.readTextFile("/blob").catch(() => undefined);
  if (earlier !== undefined) {
    await step("unseals what it sealed before the power was off", async () => {
      same(await unseal(Uint8Array.fromBase64(earlier)), secret);
      return `${secret.length} bytes are back`;
    });
    return;
  }
  let blob: Bytes | undefined;
  await step("seals", async () => {
    blob = await withBackend((backend) => sealerOf(backend).seal(secret, "measurement", aad));
    await out(`> blob ${blob.toBase64()}`);
    return `a blob of ${blob.length} bytes`;
  });
  if (blob !== undefined) await unsealing(blob);
  await attesting();
  const key = await serving();
  if (blob !== undefined) await changingCode(blob, key);
}

if ("DedicatedWorkerGlobalScope" in globalThis) {
  if (self.name === TEEC_WORKER) runTeecWorker(self);
} else {
  await main();
}
