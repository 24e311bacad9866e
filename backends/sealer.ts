/**
 * A Sealer over a TEE that gives out keys (EGETKEY, SNP_GET_DERIVED_KEY, a TA, the simulation's
 * root). The backend says what each policy binds to and derives keys; the order of refusals, the
 * format and the cryptography are here, the same for all.
 */
import { BackendError, type BackendErrorCode } from "./errors.ts";
import type { Bytes, SealedBlob, Sealer, SealPolicy, TeeType } from "./mod.ts";
import { decodeSealedBlob, type SealingKey, sealWithKey, unsealWithKey } from "./sealing.ts";

/** What running code is, under one policy. */
export interface SealIdentity {
  /** The measurement or the signer's identity, up to 255 bytes, public. */
  readonly value: Bytes;
  /** What a blob sealed to another value is refused with. */
  readonly mismatch: Extract<
    BackendErrorCode,
    "measurement_mismatch" | "signer_mismatch" | "foreign_device"
  >;
}

export interface DerivedKey {
  readonly key: SealingKey;
  /** What `rederive` needs to make the same key after a restart; goes into the blob, public. */
  readonly parameters: Bytes;
}

/** What a backend brings for its Sealer. */
export interface KeySource {
  readonly kind: TeeType;
  /** Policies the hardware really honours; never empty. */
  readonly policies: readonly SealPolicy[];
  /** Why a policy is missing, for the refusal. */
  whyNot?(policy: SealPolicy): string;
  identity(policy: SealPolicy): Promise<SealIdentity>;
  /** The key for new blobs. */
  derive(policy: SealPolicy): Promise<DerivedKey>;
  /** The key for a blob with these parameters. @throws {BackendError} `malformed` parameters. */
  rederive(policy: SealPolicy, parameters: Bytes): Promise<SealingKey>;
  /** The key that another program would derive here under policy `measurement`, where that can be told. */
  deriveFor?(measurement: Bytes): Promise<DerivedKey>;
  /** What, besides code and machine, changes the key; ends the refusal of a foreign blob. */
  readonly foreignHint: string;
  readonly random: (length: number) => Bytes;
  /** @throws {BackendError} `closed` once the backend is. */
  assertOpen(): void;
}

const sameBytes = (a: Bytes, b: Bytes): boolean =>
  a.length === b.length && a.every((byte, index) => byte === b[index]);

/** A Sealer over `source`; refusals as documented on {@link Sealer}. */
export function createSealer(source: KeySource): Sealer {
  const { kind } = source;

  function assertPolicy(policy: SealPolicy): void {
    if (source.policies.includes(policy)) return;
    const why = source.whyNot?.(policy);
    throw new BackendError(
      "policy_unsupported",
      `${kind} cannot seal under policy "${policy}"${why === undefined ? "" : `: ${why}`}`,
      { kind, hint: `use ${source.policies.map((name) => `"${name}"`).join(" or ")}` },
    );
  }

  async function sealFor(
    deriveFor: NonNullable<KeySource["deriveFor"]>,
    plaintext: Bytes,
    measurement: Bytes,
    aad: Bytes,
  ): Promise<SealedBlob> {
    source.assertOpen();
    const { value: own } = await source.identity("measurement");
    if (measurement.length !== own.length) {
      throw new BackendError(
        "malformed",
        `a measurement of ${measurement.length} bytes; one of ${kind} has ${own.length}`,
        { kind },
      );
    }
    const { key, parameters } = await deriveFor(measurement);
    const about = { kind, policy: "measurement", sealedTo: measurement, parameters } as const;
    const blob = await sealWithKey(key, about, plaintext, aad, source.random);
    source.assertOpen();
    return blob;
  }

  const { deriveFor } = source;
  return {
    ...(deriveFor === undefined ? {} : {
      sealFor: (plaintext: Bytes, measurement: Bytes, aad: Bytes) =>
        sealFor(deriveFor, plaintext, measurement, aad),
    }),
    policies: Object.freeze([...source.policies]),

    async seal(plaintext: Bytes, policy: SealPolicy, aad: Bytes): Promise<SealedBlob> {
      source.assertOpen();
      assertPolicy(policy);
      const [{ value }, { key, parameters }] = await Promise.all([
        source.identity(policy),
        source.derive(policy),
      ]);
      const about = { kind, policy, sealedTo: value, parameters };
      const blob = await sealWithKey(key, about, plaintext, aad, source.random);
      source.assertOpen();
      return blob;
    },

    async unseal(blob: SealedBlob, aad: Bytes): Promise<Bytes> {
      source.assertOpen();
      const parts = decodeSealedBlob(blob, kind);
      assertPolicy(parts.policy);
      const [running, key] = await Promise.all([
        source.identity(parts.policy),
        source.rederive(parts.policy, parts.parameters),
      ]);
      if (!sameBytes(key.keyId, parts.keyId)) {
        // Another key: because of the code, its signer, or the machine. Where the key fits, what
        // the header says is the tag's to judge.
        if (!sameBytes(running.value, parts.sealedTo)) {
          const subject = parts.policy === "measurement" ? "measurement" : "signer";
          throw new BackendError(
            running.mismatch,
            `sealed to ${subject} ${parts.sealedTo.toHex()}, running ${subject} is ` +
              running.value.toHex(),
            {
              kind,
              hint: parts.policy === "measurement"
                ? "start the program that sealed it, or recover with a recovery key"
                : "start a program of the signer that sealed it, or recover with a recovery key",
            },
          );
        }
        throw new BackendError(
          "foreign_device",
          `sealed with key ${parts.keyId.toHex()}, this device makes ${key.keyId.toHex()}`,
          { kind, hint: source.foreignHint },
        );
      }
      const plaintext = await unsealWithKey(key, parts, aad);
      source.assertOpen();
      return plaintext;
    },
  };
}
