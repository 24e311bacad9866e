/** The SGX extension of PCK certificates ("Intel SGX PCK Certificate and CRL Profile", 1.3.5). */
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import {
  CERTIFICATE_LIMITS,
  checkDer,
  children,
  content,
  oidString,
  readOnly,
  TAG,
  type Tlv,
  unsignedInteger,
} from "../x509/der.ts";

export const SGX_EXTENSION_OID = "1.2.840.113741.1.13.1";

/** Which CA issued it, and what it may have: standard platforms have one package. */
export type SgxType = "standard" | "scalable" | "scalable_with_integrity";

export interface PckExtension {
  /** 16 bytes. */
  readonly ppid: Bytes;
  /** 16 numbers of one byte: what TCB levels are compared with. */
  readonly tcbComponents: readonly number[];
  readonly pceSvn: number;
  /** 16 bytes, informative. */
  readonly cpuSvn: Bytes;
  /** 2 bytes. */
  readonly pceId: Bytes;
  /** 6 bytes. */
  readonly fmspc: Bytes;
  readonly sgxType: SgxType;
  /** 16 bytes; platforms registered with the Platform CA. */
  readonly platformInstanceId: Bytes | undefined;
  /** Platform CA only; undefined where the certificate does not say. */
  readonly dynamicPlatform: boolean | undefined;
  readonly cachedKeys: boolean | undefined;
  readonly smtEnabled: boolean | undefined;
}

const SGX_TYPES: readonly SgxType[] = ["standard", "scalable", "scalable_with_integrity"];

/**
 * Decodes the extension's value.
 * @param der content of the extnValue octet string.
 * @throws {BackendError} `malformed`: a missing, repeated or misshapen field.
 */
export function decodePckExtension(der: Bytes): PckExtension {
  checkDer(der, CERTIFICATE_LIMITS);
  const fields = new Fields(der, readOnly(der, TAG.sequence, "SGX extension"), SGX_EXTENSION_OID);
  const tcb = fields.nested("2");
  const sgxType = fields.number("5", TAG.enumerated, SGX_TYPES.length - 1);
  const configuration = fields.has("7") ? fields.nested("7") : undefined;
  const components: number[] = [];
  for (let i = 1; i <= 16; i++) components.push(tcb.number(`${i}`, TAG.integer, 0xff));
  return {
    ppid: fields.octets("1", 16),
    tcbComponents: components,
    pceSvn: tcb.number("17", TAG.integer, 0xffff),
    cpuSvn: tcb.octets("18", 16),
    pceId: fields.octets("3", 2),
    fmspc: fields.octets("4", 6),
    sgxType: SGX_TYPES[sgxType] ?? "standard",
    platformInstanceId: fields.has("6") ? fields.octets("6", 16) : undefined,
    dynamicPlatform: configuration?.optionalBoolean("1"),
    cachedKeys: configuration?.optionalBoolean("2"),
    smtEnabled: configuration?.optionalBoolean("3"),
  };
}

/** SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, ANY }, looked up by the last arc. */
class Fields {
  readonly #der: Bytes;
  readonly #prefix: string;
  readonly #byOid = new Map<string, Tlv>();

  constructor(der: Bytes, sequence: Tlv, prefix: string) {
    this.#der = der;
    this.#prefix = prefix;
    for (const entry of children(der, sequence)) {
      const [oid, value, ...rest] = entry.tag === TAG.sequence ? children(der, entry) : [];
      if (oid?.tag !== TAG.oid || value === undefined || rest.length > 0) {
        throw this.#malformed("an entry is not an identifier with a value");
      }
      const name = oidString(content(der, oid));
      if (this.#byOid.has(name)) throw this.#malformed(`${name} stands twice`);
      this.#byOid.set(name, value);
    }
  }

  has(arc: string): boolean {
    return this.#byOid.has(`${this.#prefix}.${arc}`);
  }

  #value(arc: string, tag: number): Tlv {
    const name = `${this.#prefix}.${arc}`;
    const value = this.#byOid.get(name);
    if (value === undefined) throw this.#malformed(`${name} is missing`);
    if (value.tag !== tag) throw this.#malformed(`${name} has tag 0x${value.tag.toString(16)}`);
    return value;
  }

  nested(arc: string): Fields {
    return new Fields(this.#der, this.#value(arc, TAG.sequence), `${this.#prefix}.${arc}`);
  }

  octets(arc: string, length: number): Bytes {
    const bytes = content(this.#der, this.#value(arc, TAG.octetString));
    if (bytes.length !== length) {
      throw this.#malformed(`${this.#prefix}.${arc} has ${bytes.length} bytes, not ${length}`);
    }
    return bytes.slice();
  }

  number(arc: string, tag: number, max: number): number {
    const value = unsignedInteger(content(this.#der, this.#value(arc, tag)));
    if (value > max) throw this.#malformed(`${this.#prefix}.${arc} is ${value}, at most ${max}`);
    return value;
  }

  optionalBoolean(arc: string): boolean | undefined {
    if (!this.has(arc)) return undefined;
    return content(this.#der, this.#value(arc, TAG.boolean))[0] !== 0;
  }

  #malformed(problem: string): BackendError {
    return new BackendError("malformed", `SGX extension: ${problem}`);
  }
}
