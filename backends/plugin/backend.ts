/**
 * TEEs that others bring: a shared library behind native/nautilus_tee_plugin.h, loaded from an
 * absolute path with a pinned SHA-256. It serves a tee_type of the wire, in that type's evidence
 * format, and seals by itself (suite `native` of sealing.ts).
 */
import { sha256 } from "@noble/hashes/sha2.js";
import * as v from "valibot";
import { EVIDENCE_MEDIA_TYPE, lengthPrefixed } from "../attestation.ts";
import { BackendError, type BackendErrorCode } from "../errors.ts";
import { createCachedAttester } from "../evidence_cache.ts";
import type { PluginResult } from "../ffi/plugin_library.ts";
import { PLUGIN_WORKER, type PluginAnswer, type PluginRequest } from "../ffi/plugin_worker.ts";
import { openWorkerChannel, type SpawnWorker, type WorkerChannel } from "../ffi/worker_channel.ts";
import type {
  Attester,
  BackendFactory,
  Bytes,
  Covers,
  ProbeResult,
  SealedBlob,
  Sealer,
  SealPolicy,
  SecurityLevel,
  TeeBackend,
  TeeType,
} from "../mod.ts";
import {
  decodeSealedBlob,
  encodeSealedBlob,
  KEY_ID_LENGTH,
  MAX_PLAINTEXT_LENGTH,
  sealedBlobAad,
} from "../sealing.ts";

export type PluginTeeType = Exclude<TeeType, "SIMULATION">;

const LEVEL: Readonly<Record<PluginTeeType, SecurityLevel>> = {
  SGX: 3,
  SEV: 2,
  TrustZone: 2,
  TDX: 3,
  NITRO: 3,
};
const POLICY_ID: Readonly<Record<SealPolicy, number>> = { measurement: 1, signer: 2 };
const STATUS: Readonly<Record<number, BackendErrorCode>> = {
  [-2]: "unavailable",
  [-3]: "config_invalid",
  [-4]: "policy_unsupported",
  [-5]: "measurement_mismatch",
  [-6]: "signer_mismatch",
  [-7]: "foreign_device",
  [-8]: "tampered",
  [-9]: "malformed",
  [-10]: "throttled",
  [-11]: "device_lost",
  [-12]: "firmware",
};

const HINTS: Partial<Readonly<Record<BackendErrorCode, string>>> = {
  unavailable: "`nautilus detect` says what the plugin looked for",
  config_invalid: "the plugin's own documentation says what its configuration is",
  signer_mismatch: "start a program of the signer that sealed it, or recover with a recovery key",
  foreign_device: "open it on the machine that sealed it, or recover with a recovery key",
  tampered: "the file is damaged, changed, or not the one it is taken for",
  throttled: "try again later",
  device_lost: "restart the master",
  firmware: "the status is the TEE's own: see its documentation",
};

export interface PluginOptions {
  /** Absolute. */
  readonly path: string;
  /** Of the file, 64 lower-case hex digits. */
  readonly sha256: string;
  /** The tee_type that the plugin is trusted to serve; its own description must agree. */
  readonly kind: PluginTeeType;
}

export interface PluginDeps {
  readonly spawnWorker: SpawnWorker;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

const DescriptionSchema = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[\x20-\x7e]{1,100}$/)),
  version: v.pipe(v.string(), v.regex(/^[\x20-\x7e]{1,100}$/)),
  tee_type: v.picklist(["SGX", "SEV", "TrustZone", "TDX", "NITRO"]),
  covers: v.picklist(["program", "image", "helper", "none"]),
  policies: v.pipe(v.array(v.picklist(["measurement", "signer"])), v.maxLength(2)),
  attests: v.boolean(),
});
type Description = v.InferOutput<typeof DescriptionSchema>;

type Channel = WorkerChannel<PluginRequest, PluginAnswer>;

/** The plugin's words, without what could disturb a terminal or a log. */
function words(data: Bytes): string {
  return new TextDecoder().decode(data.subarray(0, 1000)).replace(/[^\x20-\x7e]+/g, " ").trim();
}

function failure(kind: PluginTeeType, call: string, result: PluginResult): BackendError {
  const code = STATUS[result.status] ?? "firmware";
  const text = words(result.data);
  const hint = HINTS[code];
  return new BackendError(
    code,
    `the plugin, ${call}: ${text === "" ? `status ${result.status}` : text}`,
    {
      kind,
      nativeStatus: result.nativeStatus === 0n
        ? { name: "nautilus_tee_status", value: result.status }
        : { name: "native_status", value: result.nativeStatus },
      ...(hint === undefined ? {} : { hint }),
    },
  );
}

async function load(options: PluginOptions, deps: PluginDeps): Promise<Channel> {
  const { kind, path } = options;
  const channel = openWorkerChannel<PluginRequest, PluginAnswer>({
    kind,
    subject: path,
    worker: deps.spawnWorker(PLUGIN_WORKER),
  });
  try {
    await channel.send({ type: "load", path, sha256: options.sha256 });
    return channel;
  } catch (cause) {
    channel.abort();
    throw new BackendError(
      "unavailable",
      `cannot load the plugin: ${cause instanceof Error ? cause.message : String(cause)}`,
      { kind, cause, hint: "the configuration pins the file's SHA-256: sha256sum says it" },
    );
  }
}

async function describe(channel: Channel, kind: PluginTeeType): Promise<Description> {
  const { result } = await channel.send({ type: "describe" });
  if (result.status !== 0) throw failure(kind, "describe", result);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(result.data));
  } catch (cause) {
    throw new BackendError("malformed", "the plugin's description is no JSON", { kind, cause });
  }
  const parsed = v.safeParse(DescriptionSchema, json);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const field = v.getDotPath(issue) ?? "as a whole";
    throw new BackendError("malformed", `the plugin's description, ${field}: ${issue.message}`, {
      kind,
    });
  }
  if (parsed.output.tee_type === kind) return parsed.output;
  throw new BackendError(
    "config_invalid",
    `the plugin serves ${parsed.output.tee_type}, the configuration says ${kind}`,
    { kind },
  );
}

class PluginBackend implements TeeBackend {
  readonly kind: PluginTeeType;
  readonly securityLevel: SecurityLevel;
  readonly covers: Covers;
  readonly sealer: Sealer | undefined;
  readonly attester: Attester | undefined;
  readonly counter = undefined;
  readonly #channel: Channel;
  readonly #measurement: Bytes;
  readonly #name: string;
  #closed = false;

  constructor(
    channel: Channel,
    description: Description,
    measurement: Bytes,
    clock: () => number,
  ) {
    this.#channel = channel;
    this.#measurement = measurement;
    this.#name = description.name;
    this.kind = description.tee_type;
    this.securityLevel = LEVEL[this.kind];
    this.covers = description.covers;
    const policies = Object.freeze([...new Set(description.policies)]);
    this.sealer = policies.length === 0 ? undefined : {
      policies,
      seal: (plaintext, policy, aad) => this.#seal(policies, plaintext, policy, aad),
      unseal: (blob, aad) => this.#unseal(policies, blob, aad),
    };
    this.attester = !description.attests ? undefined : createCachedAttester({
      kind: this.kind,
      clock,
      assertOpen: () => this.#assertOpen(),
      make: async (reportData) => ({
        mediaType: EVIDENCE_MEDIA_TYPE[this.kind],
        data: await this.#call("attest", { type: "attest", reportData }),
        endorsements: [],
      }),
    });
  }

  // deno-lint-ignore require-await -- a failure is a rejection, as in every backend
  async measurement(): Promise<Bytes> {
    this.#assertOpen();
    return this.#measurement.slice();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#channel.close({ type: "close" });
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new BackendError("closed", "the plugin was closed", { kind: this.kind });
    }
  }

  /** What is `transferred` is in one place at a time, and the Worker wipes it. */
  async #call(name: string, request: PluginRequest, ...transferred: Bytes[]): Promise<Bytes> {
    this.#assertOpen();
    const { result } = await this.#channel.send(request, transferred.map(({ buffer }) => buffer));
    this.#assertOpen();
    if (result.status !== 0) throw failure(this.kind, name, result);
    return result.data;
  }

  #about(policy: SealPolicy): Parameters<typeof sealedBlobAad>[0] {
    return {
      kind: this.kind,
      policy,
      suite: "native",
      // Names the plugin, not a key: keys never leave it.
      keyId: sha256(lengthPrefixed(new TextEncoder().encode(this.#name))).slice(0, KEY_ID_LENGTH),
      sealedTo: this.#measurement.slice(),
      parameters: new Uint8Array(0),
    };
  }

  #assertPolicy(policies: readonly SealPolicy[], policy: SealPolicy): void {
    if (policies.includes(policy)) return;
    throw new BackendError(
      "policy_unsupported",
      `the plugin cannot seal under policy "${policy}"`,
      { kind: this.kind, hint: `use ${policies.map((name) => `"${name}"`).join(" or ")}` },
    );
  }

  async #seal(
    policies: readonly SealPolicy[],
    plaintext: Bytes,
    policy: SealPolicy,
    aad: Bytes,
  ): Promise<SealedBlob> {
    this.#assertOpen();
    this.#assertPolicy(policies, policy);
    if (plaintext.length > MAX_PLAINTEXT_LENGTH) {
      throw new RangeError(`cannot seal ${plaintext.length} bytes`);
    }
    const about = this.#about(policy);
    // How long the body will be only the plugin knows, so the header it authenticates says 0.
    const input = plaintext.slice();
    const body = await this.#call("seal", {
      type: "seal",
      policy: POLICY_ID[policy],
      input,
      aad: sealedBlobAad(about, 0, aad),
    }, input);
    return encodeSealedBlob({ ...about, body });
  }

  async #unseal(policies: readonly SealPolicy[], blob: SealedBlob, aad: Bytes): Promise<Bytes> {
    this.#assertOpen();
    const { body, ...about } = decodeSealedBlob(blob, this.kind);
    this.#assertPolicy(policies, about.policy);
    const request: PluginRequest = {
      type: "unseal",
      policy: POLICY_ID[about.policy],
      input: body,
      aad: sealedBlobAad(about, 0, aad),
    };
    const running = this.#measurement.toHex();
    try {
      return await this.#call("unseal", request);
    } catch (cause) {
      if (
        about.policy !== "measurement" || about.sealedTo.toHex() === running ||
        !(cause instanceof BackendError) || cause.code === "closed"
      ) throw cause;
      throw new BackendError(
        "measurement_mismatch",
        `sealed to measurement ${about.sealedTo.toHex()}, running measurement is ${running}`,
        {
          kind: this.kind,
          cause,
          hint: "start the program that sealed it, or recover with a recovery key",
        },
      );
    }
  }
}

const OptionsSchema = v.strictObject({
  path: v.pipe(v.string(), v.startsWith("/", "an absolute path is wanted")),
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "64 lower-case hex digits are wanted")),
  kind: v.picklist(["SGX", "SEV", "TrustZone", "TDX", "NITRO"]),
});
const ConfigSchema = v.strictObject({ config: v.optional(v.string(), "") });

function check<S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new BackendError(
    "config_invalid",
    `plugin, ${v.getDotPath(issue) ?? "as a whole"}: ${issue.message}`,
  );
}

/**
 * The factory of one plugin. Nothing is loaded until it probes or opens.
 *
 * @throws {BackendError} `config_invalid` for a relative path or no SHA-256
 */
export function createPluginFactory(options: PluginOptions, deps: PluginDeps): BackendFactory {
  const { kind } = check(OptionsSchema, options);
  const opening = async <T>(job: (channel: Channel) => Promise<T>, keep: boolean): Promise<T> => {
    const channel = await load(options, deps);
    let done = false;
    try {
      const result = await job(channel);
      done = true;
      return result;
    } finally {
      if (!done || !keep) await channel.close({ type: "close" });
    }
  };
  return {
    kind,
    securityLevel: LEVEL[kind],
    async probe(): Promise<ProbeResult> {
      const signals = [{ name: options.path, present: true }];
      try {
        return await opening(async (channel) => {
          await describe(channel, kind);
          const { result } = await channel.send({ type: "probe" });
          const reason = `plugin: ${words(result.data)}`;
          return { available: result.status === 0, signals, reason };
        }, false);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return { available: false, signals: [{ name: options.path, present: false }], reason };
      }
    },
    async open(config) {
      const checked = check(ConfigSchema, config ?? {});
      return await opening(async (channel) => {
        const description = await describe(channel, kind);
        const text = new TextEncoder().encode(checked.config);
        const opened = (await channel.send({ type: "open", config: text })).result;
        if (opened.status !== 0) throw failure(kind, "open", opened);
        const { result } = await channel.send({ type: "measurement" });
        if (result.status !== 0) throw failure(kind, "measurement", result);
        const wanted = kind === "SGX" ? 32 : 48;
        if (result.data.length !== wanted) {
          throw new BackendError(
            "malformed",
            `the plugin's measurement is ${result.data.length} bytes, ${wanted} are wanted`,
            { kind },
          );
        }
        return new PluginBackend(channel, description, result.data, deps.clock);
      }, true);
    },
  };
}
