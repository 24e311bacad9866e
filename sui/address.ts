/** Addresses, object ids and struct tags in the one canonical spelling used inside the project. */

const CANONICAL = /^0x[0-9a-f]{64}$/;
const SHORT = /^0x[0-9a-fA-F]{1,64}$/;
const IDENTIFIER = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Whether `value` is 0x + 64 lower-case hex digits. */
export function isCanonicalAddress(value: string): boolean {
  return CANONICAL.test(value);
}

/**
 * Any spelling of an address (0x, 1 to 64 hex digits) to 0x + 64 lower-case digits; `undefined`
 * when it is none.
 */
export function canonicalAddress(value: string): string | undefined {
  if (CANONICAL.test(value)) return value;
  if (!SHORT.test(value)) return undefined;
  return "0x" + value.slice(2).toLowerCase().padStart(64, "0");
}

/** 32 bytes of an address given as 0x + 64 hex. */
export function addressBytes(address: string): Uint8Array<ArrayBuffer> {
  if (!CANONICAL.test(address)) {
    throw new TypeError(`address: expected 0x and 64 hex digits, got ${JSON.stringify(address)}`);
  }
  return Uint8Array.fromHex(address.slice(2));
}

export function addressFromBytes(bytes: Uint8Array): string {
  if (bytes.length !== 32) throw new TypeError(`address: expected 32 bytes, got ${bytes.length}`);
  return "0x" + bytes.toHex();
}

const PRIMITIVES = new Set([
  "bool",
  "u8",
  "u16",
  "u32",
  "u64",
  "u128",
  "u256",
  "address",
  "signer",
]);

/** Spelled canonically already, without type arguments: nearly all that a node sends. */
const PLAIN_STRUCT = /^0x[0-9a-f]{64}::[a-zA-Z_][a-zA-Z0-9_]*::[a-zA-Z_][a-zA-Z0-9_]*$/;
/** As Move's own limit on the nesting of type tags. */
const MAX_TYPE_DEPTH = 16;

/**
 * A Move type as nodes spell it (short or full addresses, with or without spaces after commas) in
 * canonical form; `undefined` when it is no type. `0x2::coin::Coin<0x2::sui::SUI>` becomes
 * `0x00…02::coin::Coin<0x00…02::sui::SUI>`.
 */
export function canonicalType(type: string): string | undefined {
  if (type.length > 4096) return undefined;
  if (PLAIN_STRUCT.test(type)) return type;
  const parser = { text: type, position: 0 };
  const result = parseType(parser, 0);
  return result !== undefined && parser.position === type.length ? result : undefined;
}

function parseType(p: { text: string; position: number }, depth: number): string | undefined {
  if (depth > MAX_TYPE_DEPTH) return undefined;
  const word = readWord(p);
  if (word === "vector") {
    const inner = parseArguments(p, depth);
    return inner?.length === 1 ? `vector<${inner[0]}>` : undefined;
  }
  if (PRIMITIVES.has(word)) return word;
  const address = canonicalAddress(word);
  if (address === undefined) return undefined;
  const path: string[] = [address];
  for (let i = 0; i < 2; i++) {
    if (!p.text.startsWith("::", p.position)) return undefined;
    p.position += 2;
    const name = readWord(p);
    if (!IDENTIFIER.test(name)) return undefined;
    path.push(name);
  }
  if (p.text[p.position] !== "<") return path.join("::");
  const parameters = parseArguments(p, depth);
  return parameters === undefined ? undefined : `${path.join("::")}<${parameters.join(",")}>`;
}

function parseArguments(
  p: { text: string; position: number },
  depth: number,
): string[] | undefined {
  if (p.text[p.position] !== "<") return undefined;
  p.position++;
  const out: string[] = [];
  for (;;) {
    const argument = parseType(p, depth + 1);
    if (argument === undefined) return undefined;
    out.push(argument);
    const next = p.text[p.position++];
    if (next === ">") return out;
    if (next !== ",") return undefined;
    if (p.text[p.position] === " ") p.position++;
  }
}

function readWord(p: { text: string; position: number }): string {
  const start = p.position;
  while (p.position < p.text.length && /[0-9a-zA-Z_]/.test(p.text[p.position] ?? "")) p.position++;
  return p.text.slice(start, p.position);
}

/** The framework's address, 0x2 in full. */
export const SUI_FRAMEWORK = "0x" + "2".padStart(64, "0");
/** `0x2::object::ID`, canonical. */
export const OBJECT_ID_TYPE = `${SUI_FRAMEWORK}::object::ID`;
/** `0x2::coin::Coin<0x2::sui::SUI>`, canonical. */
export const SUI_COIN_TYPE = `${SUI_FRAMEWORK}::coin::Coin<${SUI_FRAMEWORK}::sui::SUI>`;
/** The one module of the package at CONTRACT_ADDRESS. */
export const GATEWAY_MODULE = "k8s_gateway";

/** Canonical type of a struct of the gateway module. */
export function gatewayType(packageId: string, name: string): string {
  return `${packageId}::${GATEWAY_MODULE}::${name}`;
}

/** Canonical type of a dynamic field object. */
export function fieldType(keyType: string, valueType: string): string {
  return `${SUI_FRAMEWORK}::dynamic_field::Field<${keyType},${valueType}>`;
}
