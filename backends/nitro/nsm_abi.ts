/**
 * The Nitro Security Module's bytes: one ioctl that carries a CBOR request and its CBOR answer
 * (linux/nsm.h; aws-nitro-enclaves-nsm-api). Pure.
 */
import { decode, encode } from "cborg";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { MAX_DOCUMENT_BYTES } from "./abi.ts";

/** _IOWR(0x0A, 0, struct nsm_raw). */
export const NSM_IOCTL = 0xc0200a00;
/** struct nsm_raw as two iovecs: request {ptr, len}@0, response {ptr, len}@16. */
export const NSM_MESSAGE = {
  length: 32,
  requestAt: 0,
  requestLengthAt: 8,
  responseAt: 16,
  responseLengthAt: 24,
} as const;
export const MAX_REQUEST_LENGTH = 4096;
export const MAX_RESPONSE_LENGTH = 12288;

/** The ioctl's argument but for its two addresses. */
export function encodeMessage(requestLength: number): Bytes {
  const out = new Uint8Array(NSM_MESSAGE.length);
  const view = new DataView(out.buffer);
  view.setBigUint64(NSM_MESSAGE.requestLengthAt, BigInt(requestLength), true);
  view.setBigUint64(NSM_MESSAGE.responseLengthAt, BigInt(MAX_RESPONSE_LENGTH), true);
  return out;
}

function malformed(what: string, cause?: unknown): BackendError {
  return new BackendError("malformed", `the NSM answered ${what}`, { kind: "NITRO", cause });
}

/** How much of the response buffer the module filled. */
export function decodeResponseLength(message: Bytes): number {
  if (message.length !== NSM_MESSAGE.length) throw malformed("with a message of another length");
  const length = new DataView(message.buffer, message.byteOffset, message.byteLength)
    .getBigUint64(NSM_MESSAGE.responseLengthAt, true);
  if (length > BigInt(MAX_RESPONSE_LENGTH)) throw malformed(`${length} bytes`);
  return Number(length);
}

/** `{"Attestation": {user_data, nonce, public_key}}`. @param userData at most 512 bytes */
export function encodeAttestationRequest(userData: Bytes): Bytes {
  const request = { Attestation: { user_data: userData, nonce: null, public_key: null } };
  return new Uint8Array(encode(request));
}

/** `{"DescribePCR": {index}}`. */
export function encodeDescribePcrRequest(index: number): Bytes {
  return new Uint8Array(encode({ DescribePCR: { index } }));
}

/** `"GetRandom"`. */
export function encodeRandomRequest(): Bytes {
  return new Uint8Array(encode("GetRandom"));
}

/** Errors of the module, by name, and what an operator can do. */
const ERRORS: Readonly<Record<string, string>> = {
  InvalidArgument: "the request is wrong: report it as a defect",
  InvalidIndex: "there is no such PCR",
  InvalidResponse: "the module gave no proper answer: restart the enclave",
  ReadOnlyIndex: "the PCR is locked",
  InvalidOperation: "the module does not do this here",
  BufferTooSmall: "the document does not fit: report it as a defect",
  InputTooLarge: "user data, nonce or public key are too long",
  InternalError: "the module failed: restart the enclave",
};

/**
 * The value under `name` of an answer.
 *
 * @throws {BackendError} `firmware` with the module's own word, `malformed`
 */
function answer(bytes: Bytes, name: string): ReadonlyMap<unknown, unknown> {
  let decoded: unknown;
  try {
    decoded = decode(bytes, {
      strict: true,
      useMaps: true,
      rejectDuplicateMapKeys: true,
      allowIndefinite: true,
    });
  } catch (cause) {
    throw malformed("no CBOR", cause);
  }
  if (!(decoded instanceof Map) || decoded.size !== 1) throw malformed("no map of one entry");
  const error: unknown = decoded.get("Error");
  if (typeof error === "string" && /^[A-Za-z]{1,64}$/.test(error)) {
    const hint = ERRORS[error];
    throw new BackendError("firmware", `the NSM refused ${name}: ${error}`, {
      kind: "NITRO",
      nativeStatus: { name: error, value: Object.keys(ERRORS).indexOf(error) },
      ...(hint === undefined ? {} : { hint }),
    });
  }
  const value: unknown = decoded.get(name);
  if (!(value instanceof Map)) throw malformed(`no ${name}`);
  return value;
}

function bytesOf(map: ReadonlyMap<unknown, unknown>, name: string, max: number): Bytes {
  const value = map.get(name);
  if (!(value instanceof Uint8Array) || value.length === 0 || value.length > max) {
    throw malformed(`${name} that is no byte string of 1 to ${max} bytes`);
  }
  return new Uint8Array(value);
}

/** The COSE_Sign1 document. */
export function decodeAttestationAnswer(bytes: Bytes): Bytes {
  return bytesOf(answer(bytes, "Attestation"), "document", MAX_DOCUMENT_BYTES);
}

/** A PCR's value, 48 bytes, and whether it is locked. */
export function decodeDescribePcrAnswer(bytes: Bytes): { lock: boolean; data: Bytes } {
  const map = answer(bytes, "DescribePCR");
  const lock: unknown = map.get("lock");
  const data = bytesOf(map, "data", 64);
  if (typeof lock !== "boolean" || data.length !== 48) throw malformed("no PCR of 48 bytes");
  return { lock, data };
}

/** Random bytes of the module, 1 to 256. */
export function decodeRandomAnswer(bytes: Bytes): Bytes {
  return bytesOf(answer(bytes, "GetRandom"), "random", 256);
}
