/**
 * Messages as JSON, the way etcd's gateway writes them: names of the .proto, 64-bit numbers as
 * strings, bytes in base64, enums by name, what has its initial value left out. Read strictly.
 */
import type { AnyMessage, FieldKind } from "./schema.ts";
import { ProtobufError } from "./wire.ts";

type Values = Record<string, unknown>;

/** @throws {ProtobufError} naming the message, the field and what is wrong with it */
export function fromJson(message: AnyMessage, json: unknown, depth = 0): Values {
  if (depth > 200) throw new ProtobufError(`${message.name}: nested too deeply`);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ProtobufError(`${message.name}: must be an object`);
  }
  const values = message.initialValues();
  for (const [name, value] of Object.entries(json)) {
    const field = message.fields.find((f) => f.name === name || f.property === name);
    if (field === undefined) throw new ProtobufError(`${message.name}: field ${name} is not known`);
    if (value === null) continue;
    const where = `${message.name}.${field.name}`;
    if (field.repeated) {
      if (!Array.isArray(value)) throw new ProtobufError(`${where}: must be an array`);
      values[field.property] = value.map((item: unknown) => read(field.kind, item, where, depth));
      continue;
    }
    if (field.oneof !== undefined) {
      const other = message.fields.find((f) =>
        f.oneof === field.oneof && values[f.property] !== undefined
      );
      if (other !== undefined) {
        throw new ProtobufError(`${where}: excludes ${other.name}, which is there too`);
      }
    }
    values[field.property] = read(field.kind, value, where, depth);
  }
  return values;
}

function read(kind: FieldKind, value: unknown, where: string, depth: number): unknown {
  switch (kind.type) {
    case "bytes":
      if (typeof value !== "string") throw new ProtobufError(`${where}: must be a base64 string`);
      return readBase64(value, where);
    case "string":
      if (typeof value !== "string") throw new ProtobufError(`${where}: must be a string`);
      return value;
    case "bool":
      if (typeof value !== "boolean") throw new ProtobufError(`${where}: must be true or false`);
      return value;
    case "int64":
      return Number(readInteger(value, where));
    case "bigint64":
      return BigInt.asIntN(64, readInteger(value, where));
    case "biguint64":
      return BigInt.asUintN(64, readInteger(value, where));
    case "enum": {
      if (typeof value === "string") {
        const number = kind.names.indexOf(value);
        if (number >= 0) return number;
      } else if (typeof value === "number" && Number.isInteger(value)) return value;
      throw new ProtobufError(`${where}: must be one of ${kind.names.join(", ")}`);
    }
    case "message":
      return fromJson(kind.message(), value, depth + 1);
    case "custom":
      throw new ProtobufError(`${where}: is only written`);
  }
}

function readBase64(text: string, where: string): Uint8Array<ArrayBuffer> {
  try {
    const urlSafe = /[-_]/.test(text);
    return Uint8Array.fromBase64(text, { alphabet: urlSafe ? "base64url" : "base64" });
  } catch {
    throw new ProtobufError(`${where}: is not base64`);
  }
}

function readInteger(value: unknown, where: string): bigint {
  if (typeof value === "number" && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === "string" && /^-?\d{1,20}$/.test(value)) {
    const number = BigInt(value);
    if (number >= -(2n ** 63n) && number < 2n ** 64n) return number;
  }
  throw new ProtobufError(`${where}: must be an integer`);
}

export function toJson(message: AnyMessage, values: Values): Values {
  const out: Values = {};
  for (const field of message.fields) {
    const value = values[field.property];
    if (value === undefined) continue;
    if (Array.isArray(value)) {
      if (value.length > 0) out[field.name] = value.map((item: unknown) => write(field.kind, item));
      continue;
    }
    if (field.oneof === undefined && field.kind.type !== "custom" && isInitial(value)) continue;
    const json = write(field.kind, value);
    if (json !== undefined) out[field.name] = json;
  }
  return out;
}

function isInitial(value: unknown): boolean {
  return value === 0 || value === false || value === "" || value === 0n ||
    (value instanceof Uint8Array && value.length === 0);
}

function write(kind: FieldKind, value: unknown): unknown {
  switch (kind.type) {
    case "bytes":
      return value instanceof Uint8Array ? value.toBase64() : undefined;
    case "int64":
    case "bigint64":
    case "biguint64":
      return String(value);
    case "enum":
      return typeof value === "number" ? kind.names[value] ?? value : undefined;
    case "message":
      return isValues(value) ? toJson(kind.message(), value) : undefined;
    case "custom":
      return kind.codec.toJson(value);
    default:
      return value;
  }
}

function isValues(value: unknown): value is Values {
  return typeof value === "object" && value !== null;
}
