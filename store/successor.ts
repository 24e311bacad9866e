/**
 * A planned upgrade: the running program's admin names the measurement of the program that comes
 * after it, and the KEK is wrapped to that one as well. The successor's first opening seals the KEK to
 * itself and drops both its authorisation and the seal of the program before.
 */
import type { Bytes, Sealer, SealPolicy } from "../backends/mod.ts";
import { changed, type ChangedKeyring } from "./data_keys.ts";
import { StoreError } from "./errors.ts";
import { kekAad, type Keyring, wrapsBySealer } from "./keyring.ts";

/**
 * With a wrap for the successor, in the place of an earlier one.
 * @throws {StoreError} `successor_unsupported` where the TEE cannot seal to another program, or it is
 * not needed; {BackendError} `malformed`: no measurement of this TEE
 */
export async function withSuccessor(
  keyring: Keyring,
  sealer: Sealer | undefined,
  measurement: Bytes,
): Promise<ChangedKeyring> {
  const { kek, storeId, body } = keyring;
  if (sealer?.sealFor === undefined) {
    throw new StoreError(
      "successor_unsupported",
      sealer === undefined
        ? "this TEE has no sealing key, for its own program or another"
        : "this TEE makes sealing keys for the running program alone: it cannot seal to another one",
      {
        hint: "upgrade by recovery: `nautilus key recovery-request` with the new program, " +
          "`nautilus key rewrap` with the operator's recovery key (docs/KEYS.md)",
      },
    );
  }
  if (body.wraps.some((wrap) => wrap.type === "sealer" && wrap.policy === "signer")) {
    throw new StoreError(
      "successor_unsupported",
      "this store is sealed under policy signer: every program of the same signer opens it already",
      { hint: "start the new program; nothing has to be authorised" },
    );
  }
  const blob = await sealer.sealFor(kek, measurement, kekAad(storeId));
  const wrap = {
    type: "successor",
    measurement: measurement.toHex(),
    blob: blob.toBase64(),
  } as const;
  return changed(keyring, { wraps: [...withoutSuccessors(keyring), wrap] });
}

/** Undefined where none was authorised. */
export function withoutSuccessor(keyring: Keyring): ChangedKeyring | undefined {
  const wraps = withoutSuccessors(keyring);
  return wraps.length === keyring.body.wraps.length ? undefined : changed(keyring, { wraps });
}

/** At the successor's first opening: sealed to it, and to the program before no more. */
export async function inheritKeyring(
  keyring: Keyring,
  sealer: Sealer | undefined,
  policy: SealPolicy,
): Promise<ChangedKeyring> {
  const { kek, storeId, body } = keyring;
  return changed(keyring, {
    wraps: [
      ...await wrapsBySealer(sealer, policy, kek, storeId),
      ...body.wraps.filter(({ type }) => type === "recovery"),
    ],
  });
}

function withoutSuccessors({ body }: Keyring): Keyring["body"]["wraps"] {
  return body.wraps.filter(({ type }) => type !== "successor");
}
