/** TEEC_Result and its origin as typed errors, each with what an operator can do. */
import { BackendError, type BackendErrorCode } from "../mod.ts";
import { TA_ERROR_OTHER_CODE, TA_ERROR_POLICY, TA_ERROR_ROLLED_BACK, TA_UUID } from "./ta_abi.ts";

/** Which call failed: the same code means something else in each. */
export type TeecCall = "connect" | "open" | "command";

const ORIGINS: Readonly<Record<number, string>> = {
  0: "libteec",
  1: "libteec",
  2: "communication",
  3: "trusted OS",
  4: "TA",
};
const ORIGIN_TA = 4;

interface Meaning {
  readonly name: string;
  readonly code: BackendErrorCode;
  readonly hint: string;
}

const TRY_AGAIN = "try again; if it stays, restart tee-supplicant and look into its log and dmesg";
const OTHER_TA = "this program and the TA do not fit: install the TA that was released with it";
const DAMAGED =
  "the TA's secure storage was changed or damaged: restore /var/lib/tee, or remove it and recover with a recovery key";
const STORAGE = "tee-supplicant must run and its folder (/var/lib/tee) be writable and not full";
const MEMORY = "the trusted OS has too little memory: see CFG_TZDRAM_SIZE of OP-TEE, end other TAs";

/** GlobalPlatform TEE Internal Core API 1.3.1, table 3-9 and Client API, table 4-2; then the TA's own. */
export const TEEC_MEANINGS: ReadonlyMap<number, Meaning> = new Map(
  ([
    [
      0xf0100001,
      "TEE_ERROR_CORRUPT_OBJECT",
      "state_invalid",
      DAMAGED,
    ],
    [
      0xf0100002,
      "TEE_ERROR_CORRUPT_OBJECT_2",
      "state_invalid",
      DAMAGED,
    ],
    [0xf0100003, "TEE_ERROR_STORAGE_NOT_AVAILABLE", "io", STORAGE],
    [0xf0100004, "TEE_ERROR_STORAGE_NOT_AVAILABLE_2", "io", STORAGE],
    [0xf0100005, "TEE_ERROR_UNSUPPORTED_VERSION", "firmware", OTHER_TA],
    [0xf0100006, "TEE_ERROR_CIPHERTEXT_INVALID", "firmware", OTHER_TA],
    [0xffff0000, "TEEC_ERROR_GENERIC", "firmware", TRY_AGAIN],
    [
      0xffff0001,
      "TEEC_ERROR_ACCESS_DENIED",
      "firmware",
      "the trusted OS refuses this caller: its log says why",
    ],
    [0xffff0002, "TEEC_ERROR_CANCEL", "firmware", TRY_AGAIN],
    [
      0xffff0003,
      "TEEC_ERROR_ACCESS_CONFLICT",
      "firmware",
      "another session holds the TA's storage: end other masters on this device, then try again",
    ],
    [0xffff0004, "TEEC_ERROR_EXCESS_DATA", "firmware", OTHER_TA],
    [0xffff0005, "TEEC_ERROR_BAD_FORMAT", "malformed", "these are not bytes that the TA sealed"],
    [0xffff0006, "TEEC_ERROR_BAD_PARAMETERS", "firmware", OTHER_TA],
    [0xffff0007, "TEEC_ERROR_BAD_STATE", "firmware", TRY_AGAIN],
    [
      0xffff0008,
      "TEEC_ERROR_ITEM_NOT_FOUND",
      "firmware",
      "the trusted OS lacks something the TA needs: OP-TEE must be built with CFG_SYSTEM_PTA=y",
    ],
    [0xffff0009, "TEEC_ERROR_NOT_IMPLEMENTED", "firmware", OTHER_TA],
    [0xffff000a, "TEEC_ERROR_NOT_SUPPORTED", "firmware", OTHER_TA],
    [0xffff000b, "TEEC_ERROR_NO_DATA", "firmware", OTHER_TA],
    [0xffff000c, "TEEC_ERROR_OUT_OF_MEMORY", "firmware", MEMORY],
    [0xffff000d, "TEEC_ERROR_BUSY", "throttled", "the trusted OS is busy: try again later"],
    [
      0xffff000e,
      "TEEC_ERROR_COMMUNICATION",
      "device_lost",
      "the way to the trusted OS is broken: see dmesg, restart tee-supplicant, then the master",
    ],
    [
      0xffff000f,
      "TEEC_ERROR_SECURITY",
      "firmware",
      "the trusted OS found its security violated: its log says where",
    ],
    [0xffff0010, "TEEC_ERROR_SHORT_BUFFER", "firmware", OTHER_TA],
    [0xffff0011, "TEE_ERROR_EXTERNAL_CANCEL", "firmware", TRY_AGAIN],
    [0xffff3001, "TEE_ERROR_TIMEOUT", "firmware", TRY_AGAIN],
    [0xffff300f, "TEE_ERROR_OVERFLOW", "firmware", OTHER_TA],
    [
      0xffff3024,
      "TEE_ERROR_TARGET_DEAD",
      "device_lost",
      "the TA ended twice: the trusted OS's log says why",
    ],
    [0xffff3041, "TEE_ERROR_STORAGE_NO_SPACE", "io", STORAGE],
    [
      0xffff3071,
      "TEE_ERROR_MAC_INVALID",
      "tampered",
      "the file is damaged, changed, or not the one it is taken for",
    ],
    [0xffff3072, "TEE_ERROR_SIGNATURE_INVALID", "firmware", OTHER_TA],
    [0xffff5000, "TEE_ERROR_TIME_NOT_SET", "firmware", TRY_AGAIN],
    [0xffff5001, "TEE_ERROR_TIME_NEEDS_RESET", "firmware", TRY_AGAIN],
    [
      TA_ERROR_OTHER_CODE,
      "NAUTILUS_TA_ERROR_OTHER_CODE",
      "measurement_mismatch",
      "install the TA that sealed it, or recover with a recovery key",
    ],
    [
      TA_ERROR_ROLLED_BACK,
      "NAUTILUS_TA_ERROR_ROLLED_BACK",
      "state_invalid",
      "a newer TA ran on this device and this one must not follow it: install the newest",
    ],
    [TA_ERROR_POLICY, "NAUTILUS_TA_ERROR_POLICY", "policy_unsupported", 'use "measurement"'],
  ] as const).map(([value, name, code, hint]) => [value, { name, code, hint }]),
);

/** Codes of opening a session that are about installing. */
const OPENING: ReadonlyMap<number, string> = new Map([
  [0xffff0008, `install the TA (/lib/optee_armtz/${TA_UUID}.ta) and start tee-supplicant`],
  [
    0xffff000f,
    "the TA's signature is not by the key that this OP-TEE loads TAs under: sign it again",
  ],
  [
    0xffff0001,
    "the TA's signature is not by the key that this OP-TEE loads TAs under: sign it again",
  ],
  [0xffff0005, "the TA's file is damaged, or was built for another OP-TEE"],
  [0xffff3024, "the TA ends while it starts: the trusted OS's log says why"],
]);

/** What only the TA itself can say of sealed data; from anywhere else the same code is a failure. */
const ONLY_THE_TA: readonly BackendErrorCode[] = [
  "malformed",
  "tampered",
  "measurement_mismatch",
  "policy_unsupported",
];

/** @param what for the message: "opening a session", "unseal" */
export function teecError(
  call: TeecCall,
  what: string,
  { result, origin }: { readonly result: number; readonly origin: number },
): BackendError {
  const hex = `0x${result.toString(16).padStart(8, "0")}`;
  const meaning = TEEC_MEANINGS.get(result);
  const name = meaning?.name ?? hex;
  const from = ORIGINS[origin] ?? `origin ${origin}`;
  let code = meaning?.code ?? "firmware";
  let hint = meaning?.hint ?? "the status is the trusted OS's own: see its log";
  if (call === "connect") {
    code = "unavailable";
    hint = "load the driver (modprobe optee), and let the master's user read and write /dev/tee0";
  } else if (call === "open" && result !== TA_ERROR_ROLLED_BACK) {
    if (code !== "state_invalid" && code !== "io" && code !== "throttled") code = "unavailable";
    hint = OPENING.get(result) ?? hint;
  } else if (ONLY_THE_TA.includes(code) && origin !== ORIGIN_TA) {
    code = "firmware";
    hint = "the status is the trusted OS's own: see its log";
  }
  return new BackendError(code, `${what}: ${name} (${hex}) from ${from}`, {
    kind: "TrustZone",
    nativeStatus: { name: `${name}, origin ${from}`, value: result },
    hint,
  });
}
