/** Names and object identifiers of certificates, for people and for comparison. */
import { AsnConvert } from "@peculiar/asn1-schema";
import { Name } from "@peculiar/asn1-x509";
import type { Bytes } from "../mod.ts";
import { children, derError, TAG, type Tlv } from "./der.ts";

export const OID = {
  ecPublicKey: "1.2.840.10045.2.1",
  p256: "1.2.840.10045.3.1.7",
  p384: "1.3.132.0.34",
  rsaEncryption: "1.2.840.113549.1.1.1",
  rsaPss: "1.2.840.113549.1.1.10",
  sha256WithRsa: "1.2.840.113549.1.1.11",
  sha384WithRsa: "1.2.840.113549.1.1.12",
  sha512WithRsa: "1.2.840.113549.1.1.13",
  mgf1: "1.2.840.113549.1.1.8",
  sha256: "2.16.840.1.101.3.4.2.1",
  sha384: "2.16.840.1.101.3.4.2.2",
  sha512: "2.16.840.1.101.3.4.2.3",
  ecdsaSha256: "1.2.840.10045.4.3.2",
  ecdsaSha384: "1.2.840.10045.4.3.3",
  ed25519: "1.3.101.112",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  crlNumber: "2.5.29.20",
  crlDistributionPoints: "2.5.29.31",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

const SHORT: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "2.5.4.5": "serialNumber",
};

/** `CN=…, O=…` in the order of the encoding; control characters become `?`. */
function nameString(name: Name): string {
  return name.map((rdn) =>
    [...rdn].map((part) => {
      const value = part.value.anyValue === undefined
        ? part.value.toString()
        : new Uint8Array(part.value.anyValue).toHex();
      return `${SHORT[part.type] ?? part.type}=${printable(value)}`;
    }).join("+")
  ).join(", ");
}

/** The (last) common name, if there is one. */
function commonName(name: Name): string | undefined {
  for (const rdn of [...name].reverse()) {
    for (const part of rdn) if (part.type === "2.5.4.3") return printable(part.value.toString());
  }
  return undefined;
}

/** The shape of a Name, without reading its values. @throws {BackendError} `malformed` */
export function checkName(raw: Bytes, name: Tlv): void {
  for (const rdn of children(raw, name)) {
    const parts = children(raw, rdn);
    if (rdn.tag !== TAG.set || parts.length === 0) throw derError("bad name");
    for (const part of parts) {
      const [type, value, more] = children(raw, part);
      if (
        part.tag !== TAG.sequence || type?.tag !== TAG.oid || value === undefined ||
        more !== undefined
      ) {
        throw derError("bad name");
      }
    }
  }
}

export interface NameText {
  readonly full: string;
  readonly commonName: string | undefined;
}

/**
 * A name's text, decoded when it is first asked for: most are only compared as bytes. Values that
 * are no text are shown in hex as a whole.
 */
export function lazyName(der: Bytes): () => NameText {
  let text: NameText | undefined;
  return () => text ??= decodeName(der);
}

function decodeName(der: Bytes): NameText {
  try {
    const name = AsnConvert.parse(der, Name);
    return { full: nameString(name), commonName: commonName(name) };
  } catch {
    // A string of a kind that the library does not know; its bytes are what chains compare.
    return { full: `#${der.toHex().slice(0, 256)}`, commonName: undefined };
  }
}

function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu, "?").slice(0, 256);
}
