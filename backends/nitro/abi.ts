/**
 * AWS Nitro's attestation document: COSE_Sign1 (RFC 9052, 4.2) around a CBOR map. Source: AWS,
 * "Cryptographic attestation" and aws-nitro-enclaves-nsm-api, attestation_process.md. Pure.
 */
import { decode } from "cborg";
import { BackendError, type Bytes } from "../mod.ts";

/** The NSM's answer holds at most 12288 bytes; a document is never larger. */
export const MAX_DOCUMENT_BYTES = 12288;
export const MAX_CERTIFICATES = 10;
export const MAX_CERTIFICATE_BYTES = 1024;
const MAX_PUBLIC_KEY_BYTES = 1024;
const MAX_USER_BYTES = 512;
const MAX_PCR = 31;

/** `{1: -35}`: ES384, and nothing else. */
const PROTECTED = "a1013822";

export interface NitroDocument {
  readonly moduleId: string;
  readonly digest: "SHA384";
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  /** 48 bytes each. */
  readonly pcrs: ReadonlyMap<number, Bytes>;
  /** DER. */
  readonly certificate: Bytes;
  /** DER, the root first. */
  readonly cabundle: readonly Bytes[];
  readonly publicKey: Bytes | undefined;
  readonly userData: Bytes | undefined;
  readonly nonce: Bytes | undefined;
  /** 96 bytes, r ‖ s. */
  readonly signature: Bytes;
  /** What is signed: the Sig_structure around the payload (RFC 9052, 4.4). */
  readonly signed: Bytes;
}

const STRICT = {
  strict: true,
  useMaps: true,
  rejectDuplicateMapKeys: true,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
} as const;

function malformed(message: string, cause?: unknown): BackendError {
  return new BackendError("malformed", `Nitro document: ${message}`, { kind: "NITRO", cause });
}

function decodeCbor(bytes: Uint8Array, what: string, allowIndefinite: boolean): unknown {
  try {
    return decode(bytes, { ...STRICT, allowIndefinite });
  } catch (cause) {
    throw malformed(
      `${what}: ${cause instanceof Error ? cause.message.slice(0, 160) : String(cause)}`,
      cause,
    );
  }
}

/** @throws {BackendError} `malformed` with the field and what was found */
export function parseDocument(bytes: Uint8Array): NitroDocument {
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw malformed(`${bytes.length} bytes, ${MAX_DOCUMENT_BYTES} at most`);
  }
  const outer = decodeCbor(bytes, "COSE_Sign1", false);
  if (!Array.isArray(outer) || outer.length !== 4) {
    throw malformed("is no COSE_Sign1 (an array of four)");
  }
  const [protectedHeader, unprotectedHeader, payload, signature]: unknown[] = outer;
  if (!(protectedHeader instanceof Uint8Array) || protectedHeader.toHex() !== PROTECTED) {
    throw malformed("its protected header is not exactly ES384");
  }
  if (!(unprotectedHeader instanceof Map) || unprotectedHeader.size !== 0) {
    throw malformed("its unprotected header is not empty");
  }
  if (!(payload instanceof Uint8Array)) throw malformed("its payload is no byte string");
  if (!(signature instanceof Uint8Array) || signature.length !== 96) {
    throw malformed("its signature is not 96 bytes");
  }
  // The enclave's encoder writes the map with an indefinite length.
  const map = decodeCbor(payload, "payload", true);
  if (!(map instanceof Map)) throw malformed("its payload is no map");
  const fields = new Fields(map);
  const document: NitroDocument = {
    moduleId: fields.moduleId(),
    digest: fields.digest(),
    timestamp: fields.timestamp(),
    pcrs: fields.pcrs(),
    certificate: fields.bytes("certificate", 1, MAX_CERTIFICATE_BYTES),
    cabundle: fields.cabundle(),
    publicKey: fields.optionalBytes("public_key", 1, MAX_PUBLIC_KEY_BYTES),
    userData: fields.optionalBytes("user_data", 0, MAX_USER_BYTES),
    nonce: fields.optionalBytes("nonce", 0, MAX_USER_BYTES),
    signature: new Uint8Array(signature),
    signed: sigStructure(payload),
  };
  fields.refuseOthers();
  return document;
}

class Fields {
  readonly #map: ReadonlyMap<unknown, unknown>;
  readonly #seen = new Set<string>();

  constructor(map: ReadonlyMap<unknown, unknown>) {
    this.#map = map;
  }

  #get(name: string): unknown {
    this.#seen.add(name);
    return this.#map.get(name);
  }

  moduleId(): string {
    const value = this.#get("module_id");
    if (typeof value !== "string" || !/^[\x21-\x7e]{1,256}$/.test(value)) {
      throw malformed("module_id is no short text");
    }
    return value;
  }

  digest(): "SHA384" {
    const value = this.#get("digest");
    if (value !== "SHA384") throw malformed("digest is not SHA384");
    return value;
  }

  timestamp(): number {
    const value = this.#get("timestamp");
    if (
      typeof value !== "number" || !Number.isSafeInteger(value) || value <= 0 || value > 8.64e15
    ) {
      throw malformed("timestamp is no time in milliseconds");
    }
    return value;
  }

  pcrs(): ReadonlyMap<number, Bytes> {
    const value = this.#get("pcrs");
    if (!(value instanceof Map) || value.size === 0 || value.size > MAX_PCR + 1) {
      throw malformed("pcrs is no map of 1 to 32");
    }
    const out = new Map<number, Bytes>();
    for (const [index, pcr] of value as ReadonlyMap<unknown, unknown>) {
      if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index > MAX_PCR) {
        throw malformed("a PCR's number is not 0 to 31");
      }
      if (!(pcr instanceof Uint8Array) || pcr.length !== 48) {
        throw malformed(`PCR${index} is not 48 bytes`);
      }
      out.set(index, new Uint8Array(pcr));
    }
    return out;
  }

  cabundle(): readonly Bytes[] {
    const value = this.#get("cabundle");
    if (!Array.isArray(value) || value.length === 0 || value.length > MAX_CERTIFICATES) {
      throw malformed(`cabundle is no list of 1 to ${MAX_CERTIFICATES}`);
    }
    return value.map((item: unknown, i) =>
      bounded(item, `cabundle[${i}]`, 1, MAX_CERTIFICATE_BYTES)
    );
  }

  bytes(name: string, min: number, max: number): Bytes {
    return bounded(this.#get(name), name, min, max);
  }

  optionalBytes(name: string, min: number, max: number): Bytes | undefined {
    const value = this.#get(name);
    return value === null || value === undefined ? undefined : bounded(value, name, min, max);
  }

  refuseOthers(): void {
    for (const key of this.#map.keys()) {
      if (typeof key !== "string" || !this.#seen.has(key)) {
        throw malformed(`unknown field ${String(key).slice(0, 64)}`);
      }
    }
  }
}

function bounded(value: unknown, name: string, min: number, max: number): Bytes {
  if (!(value instanceof Uint8Array) || value.length < min || value.length > max) {
    throw malformed(`${name} is no byte string of ${min} to ${max} bytes`);
  }
  return new Uint8Array(value);
}

/** ["Signature1", protected, external_aad = h'', payload] in deterministic CBOR. */
function sigStructure(payload: Uint8Array): Bytes {
  const head = Uint8Array.fromHex(`846a5369676e61747572653144${PROTECTED}40`);
  const length = payload.length;
  const prefix = length < 24
    ? [0x40 | length]
    : length < 256
    ? [0x58, length]
    : [0x59, length >> 8, length & 0xff];
  const out = new Uint8Array(head.length + prefix.length + length);
  out.set(head);
  out.set(prefix, head.length);
  out.set(payload, head.length + prefix.length);
  return out;
}
