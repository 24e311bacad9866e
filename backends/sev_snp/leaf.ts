/**
 * What AMD writes into a VCEK or VLEK: the extensions under 1.3.6.1.4.1.3704.1. Source: AMD 57230,
 * VCEK Certificate and KDS Interface Specification, tables 8 to 12.
 */
import { BackendError, type Bytes } from "../mod.ts";
import { type Certificate, content, readOnly, TAG, unsignedInteger } from "../x509/mod.ts";
import type { TcbVersion } from "./abi.ts";

const BASE = "1.3.6.1.4.1.3704.1";
const HW_ID = `${BASE}.4`;
const CSP_ID = `${BASE}.5`;

export interface LeafClaims {
  readonly kind: "VCEK" | "VLEK" | "other";
  readonly structVersion: number;
  readonly productName: string;
  readonly tcb: TcbVersion;
  /** VCEK: 64 bytes, on Turin 8. */
  readonly hwId: Bytes | undefined;
  /** VLEK: the cloud the key was made for. */
  readonly cspId: string | undefined;
}

function integer(leaf: Certificate, oid: string): number | undefined {
  const extension = leaf.extensions.get(oid);
  if (extension === undefined) return undefined;
  const value = unsignedInteger(
    content(extension.value, readOnly(extension.value, TAG.integer, oid)),
  );
  if (value > 255) {
    throw new BackendError("malformed", `AMD extension ${oid} is ${value}, above 255`, {
      kind: "SEV",
    });
  }
  return value;
}

function required(leaf: Certificate, oid: string): number {
  const value = integer(leaf, oid);
  if (value === undefined) {
    throw new BackendError("malformed", `AMD extension ${oid} is missing`, { kind: "SEV" });
  }
  return value;
}

function ia5(leaf: Certificate, oid: string): string | undefined {
  const extension = leaf.extensions.get(oid);
  if (extension === undefined) return undefined;
  const bytes = content(extension.value, readOnly(extension.value, 0x16, oid));
  const text = String.fromCharCode(...bytes.subarray(0, 256));
  if (bytes.length > 256 || !/^[\x20-\x7e]+$/.test(text)) {
    throw new BackendError("malformed", `AMD extension ${oid} is no text`, { kind: "SEV" });
  }
  return text;
}

/** @throws {BackendError} `malformed` when an extension is missing or not what the specification says */
export function leafClaims(leaf: Certificate): LeafClaims {
  const productName = ia5(leaf, `${BASE}.2`);
  if (productName === undefined) {
    throw new BackendError("malformed", `AMD extension ${BASE}.2 is missing`, { kind: "SEV" });
  }
  const cn = leaf.subjectCommonName;
  return {
    kind: cn === "SEV-VCEK" ? "VCEK" : cn === "SEV-VLEK" ? "VLEK" : "other",
    structVersion: required(leaf, `${BASE}.1`),
    productName,
    tcb: {
      fmc: integer(leaf, `${BASE}.3.9`),
      bootloader: required(leaf, `${BASE}.3.1`),
      tee: required(leaf, `${BASE}.3.2`),
      snp: required(leaf, `${BASE}.3.3`),
      microcode: required(leaf, `${BASE}.3.8`),
      reservedClear: true,
    },
    hwId: hwId(leaf),
    cspId: ia5(leaf, CSP_ID),
  };
}

/** Raw bytes in the extension, as AMD issues them; an OCTET STRING around them is read too. */
function hwId(leaf: Certificate): Bytes | undefined {
  const value = leaf.extensions.get(HW_ID)?.value;
  if (value === undefined) return undefined;
  if (value.length === 64 || value.length === 8) return value;
  if ((value.length === 66 && value[1] === 64) || (value.length === 10 && value[1] === 8)) {
    return content(value, readOnly(value, TAG.octetString, "hwID"));
  }
  throw new BackendError("malformed", `AMD hwID of ${value.length} bytes`, { kind: "SEV" });
}
