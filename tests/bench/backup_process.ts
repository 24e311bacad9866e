/**
 * One step of a backup by itself, for its memory:
 * `deno run -A tests/bench/backup_process.ts fill|backup|restore FOLDER MIB`. Prints the most memory
 * that was resident (VmHWM) and how long the step took.
 */
import type { Bytes } from "../../backends/mod.ts";
import { selectAead } from "../../store/aead/select.ts";
import { BackupReader } from "../../store/backup_format.ts";
import { openSqliteLog } from "../../store/logs/sqlite.ts";
import { openStore } from "../../store/open.ts";
import {
  acceptRecovery,
  createRecoveryKeyPair,
  createRecoveryRequest,
  rewrapForRecovery,
} from "../../store/recovery.ts";
import { restoreStore } from "../../store/restore.ts";
import type { Store } from "../../store/types.ts";
import { createTestSealer } from "../fakes/test_sealer.ts";
import { putMany } from "./sealed_store.ts";

const VALUE_BYTES = 64 << 10;
/** So small that what is measured is the backup, not the cache of values. */
const CACHE_BYTES = 4 << 20;
const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

function open(folder: string, recoveryKeys: readonly Bytes[] = []): Promise<Store> {
  return openStore({
    log: openSqliteLog({
      path: `${folder}/store.sqlite`,
      spawnWorker: (name) =>
        new Worker(import.meta.resolve("../../store/logs/sqlite_worker_entry.ts"), {
          type: "module",
          name,
        }),
    }),
    aead: selectAead().provider,
    sealer: createTestSealer(),
    sealPolicy: "measurement",
    recoveryKeys,
    clock: Date.now,
    random,
    mode: "create-or-open",
    cacheBytes: CACHE_BYTES,
    verify: "index",
  });
}

async function fill(folder: string, mib: number): Promise<void> {
  const operator = await createRecoveryKeyPair();
  await Deno.writeTextFile(
    `${folder}/operator.json`,
    JSON.stringify([operator.publicKey.toBase64(), operator.privateKey.toBase64()]),
  );
  await using store = await open(folder, [operator.publicKey]);
  await putMany(store, 0, (mib << 20) / VALUE_BYTES, random(VALUE_BYTES), 32);
}

async function backup(folder: string): Promise<void> {
  await using store = await open(folder);
  using out = await Deno.open(`${folder}/backup`, { create: true, write: true, truncate: true });
  for await (const piece of store.backup(() => {})) {
    let rest = piece;
    while (rest.length > 0) rest = rest.subarray(await out.write(rest));
  }
  await out.sync();
}

async function restore(folder: string): Promise<void> {
  const pair: unknown = JSON.parse(await Deno.readTextFile(`${folder}/operator.json`));
  const [publicKey, privateKey] = Array.isArray(pair)
    ? pair.map((text) => Uint8Array.fromBase64(String(text)))
    : [];
  using file = await Deno.open(`${folder}/backup`);
  const reader = new BackupReader(file);
  const header = await reader.header();
  const attester = {
    attest: (data: Bytes) => Promise.resolve({ mediaType: "bench", data, endorsements: [] }),
  };
  const { request, ephemeralPrivateKey } = await createRecoveryRequest(header.keyring, attester);
  const answer = await rewrapForRecovery(request, {
    publicKey: publicKey!,
    privateKey: privateKey!,
  });
  await restoreStore({
    reader,
    header,
    kek: await acceptRecovery(request, answer, ephemeralPrivateKey),
    path: `${folder}/restored.sqlite`,
    aead: selectAead().provider,
    sealer: createTestSealer({ device: 2, measurement: 1 }),
    sealPolicy: "measurement",
    clock: Date.now,
    random,
  });
}

if (import.meta.main) {
  const [step, folder = "", mib] = Deno.args;
  const started = performance.now();
  if (step === "fill") await fill(folder, Number(mib));
  else if (step === "backup") await backup(folder);
  else if (step === "restore") await restore(folder);
  else throw new Error(`no step is called "${step}"`);
  const seconds = (performance.now() - started) / 1000;
  const status = await Deno.readTextFile("/proc/self/status");
  const peakMB = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024 / 1e6;
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify({ peakMB, seconds })));
}
