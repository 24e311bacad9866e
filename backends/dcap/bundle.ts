/** The JSON shapes that collateral comes in, taken apart into signed texts, chains and CRLs. */
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { objectMembers, parseJson } from "./json_text.ts";

export interface SignedReply {
  readonly kind: "tcbInfo" | "qeIdentity";
  /** Exactly the characters that were signed. */
  readonly text: string;
  /** 64 bytes. */
  readonly signature: Bytes;
  /** PEM, where the bundle has it beside the text. */
  readonly issuerChain: Bytes | undefined;
  readonly source: string;
}

interface Item {
  readonly source: string;
  readonly data: Bytes;
}

export interface BundleItems {
  /** False: some other JSON object. */
  readonly recognised: boolean;
  readonly replies: readonly SignedReply[];
  readonly chains: readonly Item[];
  readonly crls: readonly Item[];
  readonly unsigned: readonly string[];
}

const REPLY_MEMBER = { tcbInfo: "tcbInfo", qeIdentity: "enclaveIdentity" } as const;

/** HTTP headers in which Intel's service sends issuer chains, lower case. */
const CHAIN_HEADERS: readonly string[] = [
  "tcb-info-issuer-chain",
  "sgx-tcb-info-issuer-chain",
  "sgx-enclave-identity-issuer-chain",
  "sgx-pck-crl-issuer-chain",
  "sgx-pck-certificate-issuer-chain",
];

/**
 * Takes an object apart:
 * - a reply of Intel's service, `{"tcbInfo": {…}, "signature": "…"}` or `enclaveIdentity`;
 * - a bundle with `tcb_info`, `tcb_info_signature`, `tcb_info_issuer_chain`, the same for
 *   `qe_identity`, and `pck_crl`, `root_ca_crl`, `pck_crl_issuer_chain`, `pck_certificate_chain`,
 *   where `tcb_info` may be the signed text, the whole reply as text, or either as an object;
 * - saved HTTP headers.
 * @throws {BackendError} `malformed`, naming the member.
 */
export function bundleItems(members: ReadonlyMap<string, string>, source: string): BundleItems {
  const items = {
    recognised: true,
    replies: [] as SignedReply[],
    chains: [] as Item[],
    crls: [] as Item[],
    unsigned: [] as string[],
  };
  if (members.has("tcbInfo") || members.has("enclaveIdentity")) {
    for (const kind of ["tcbInfo", "qeIdentity"] as const) {
      const reply = fromReply(members, kind, undefined, source);
      if (reply === "unsigned") items.unsigned.push(`${source}: ${REPLY_MEMBER[kind]}`);
      else if (reply !== undefined) items.replies.push(reply);
    }
    return items;
  }
  if (["tcb_info", "qe_identity", "pck_crl", "root_ca_crl"].some((name) => members.has(name))) {
    fromBundle(members, source, items);
    return items;
  }
  if (members.has("tcbLevels") && (members.has("fmspc") || members.has("mrsigner"))) {
    items.unsigned.push(source);
    return items;
  }
  for (const [name, text] of members) {
    if (!CHAIN_HEADERS.includes(name.toLowerCase())) continue;
    const value = parseJson(text, name);
    const first: unknown = Array.isArray(value) ? value[0] : value;
    items.chains.push({ source: `${source}.${name}`, data: percentDecoded(asString(first, name)) });
  }
  return { ...items, recognised: items.chains.length > 0 };
}

function fromReply(
  members: ReadonlyMap<string, string>,
  kind: SignedReply["kind"],
  issuerChain: Bytes | undefined,
  source: string,
): SignedReply | "unsigned" | undefined {
  const text = members.get(REPLY_MEMBER[kind]);
  if (text === undefined) return undefined;
  const signature = members.get("signature");
  if (signature === undefined) return "unsigned";
  return {
    kind,
    text,
    signature: signatureBytes(parseJson(signature, "signature"), `${source}.signature`),
    issuerChain,
    source: `${source}.${REPLY_MEMBER[kind]}`,
  };
}

function fromBundle(
  members: ReadonlyMap<string, string>,
  source: string,
  items: { replies: SignedReply[]; chains: Item[]; crls: Item[]; unsigned: string[] },
): void {
  const value = (name: string): unknown => {
    const text = members.get(name);
    return text === undefined ? undefined : parseJson(text, `${source}.${name}`);
  };
  for (const [kind, name] of [["tcbInfo", "tcb_info"], ["qeIdentity", "qe_identity"]] as const) {
    const raw = members.get(name);
    if (raw === undefined || raw === "null") continue;
    const where = `${source}.${name}`;
    const parsed = parseJson(raw, where);
    const text = typeof parsed === "string" ? parsed.replace(/\0+$/, "") : raw;
    const chain = optional(value(`${name}_issuer_chain`));
    const issuerChain = chain === undefined
      ? undefined
      : binaryOrText(chain, `${where}_issuer_chain`);
    const inner = objectMembers(text, where);
    const reply = inner === undefined ? undefined : fromReply(inner, kind, issuerChain, where);
    const signature = optional(value(`${name}_signature`));
    if (reply !== undefined && reply !== "unsigned") items.replies.push(reply);
    else if (reply === "unsigned" || signature === undefined) items.unsigned.push(where);
    else {
      items.replies.push({
        kind,
        text,
        signature: signatureBytes(signature, `${where}_signature`),
        issuerChain,
        source: where,
      });
    }
  }
  for (const name of ["pck_crl_issuer_chain", "pck_certificate_chain"]) {
    const chain = optional(value(name));
    if (chain !== undefined) {
      const where = `${source}.${name}`;
      items.chains.push({ source: where, data: binaryOrText(chain, where) });
    }
  }
  for (const name of ["root_ca_crl", "pck_crl"]) {
    const crl = optional(value(name));
    if (crl === undefined) continue;
    const where = `${source}.${name}`;
    const data = binaryOrText(crl, where);
    items.crls.push({ source: where, data });
  }
}

/** Absent, null and empty mean the same to the tools that write bundles. */
function optional(value: unknown): unknown {
  return value === null || value === "" ? undefined : value;
}

function asString(value: unknown, where: string): string {
  if (typeof value === "string") return value;
  throw new BackendError("malformed", `${where}: a string expected`);
}

/** Hex or base64 of DER, a list of byte values, or text (PEM, perhaps percent-encoded). */
function binaryOrText(value: unknown, where: string): Bytes {
  if (Array.isArray(value)) return byteList(value, where);
  const text = asString(value, where).replace(/\0+$/, "").trim();
  if (/^(?:[0-9a-fA-F]{2})+$/.test(text)) return Uint8Array.fromHex(text);
  if (/^M[A-Za-z0-9+/\s]+={0,2}$/.test(text)) return base64(text, where);
  return percentDecoded(text);
}

function byteList(list: readonly unknown[], where: string): Bytes {
  const bytes = list.map((item) => {
    if (typeof item === "number" && Number.isInteger(item) && item >= 0 && item <= 255) return item;
    throw new BackendError("malformed", `${where}: a list of byte values expected`);
  });
  return Uint8Array.from(bytes);
}

function base64(text: string, where: string): Bytes {
  try {
    return Uint8Array.fromBase64(text);
  } catch (cause) {
    throw new BackendError("malformed", `${where}: not base64`, { cause });
  }
}

function percentDecoded(text: string): Bytes {
  if (!/-----BEGIN(?:%20|\+)/i.test(text) && !/^%2D/i.test(text)) {
    return new TextEncoder().encode(text);
  }
  try {
    return new TextEncoder().encode(decodeURIComponent(text));
  } catch (cause) {
    throw new BackendError("malformed", "a chain is not percent-encoded", { cause });
  }
}

function signatureBytes(value: unknown, where: string): Bytes {
  const bytes = Array.isArray(value)
    ? byteList(value, where)
    : typeof value === "string" && /^(?:[0-9a-fA-F]{2})+$/.test(value)
    ? Uint8Array.fromHex(value)
    : undefined;
  if (bytes?.length === 64) return bytes;
  throw new BackendError("malformed", `${where}: 64 bytes in hex expected`);
}

/** Chains in saved HTTP headers (`Name: value` lines) or a bare header value; undefined: neither. */
export function headerChains(data: Uint8Array): Bytes[] | undefined {
  if (data.length > (1 << 20)) return undefined;
  const text = new TextDecoder("latin1").decode(data).trim();
  if (/^-----BEGIN%20|^%2D%2D/i.test(text)) return [percentDecoded(text)];
  const chains: Bytes[] = [];
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon < 0 || !CHAIN_HEADERS.includes(line.slice(0, colon).trim().toLowerCase())) continue;
    chains.push(percentDecoded(line.slice(colon + 1).trim()));
  }
  return chains.length > 0 ? chains : undefined;
}
