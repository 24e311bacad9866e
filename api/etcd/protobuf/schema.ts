/**
 * Messages described once, as data: the description gives the TypeScript type, the strict decoder
 * and the encoder. Decoding refuses unknown fields by number, since a field that is not known is
 * one whose meaning would be ignored.
 */
import type { Bytes } from "../../../backends/mod.ts";
import { fromJson, toJson } from "./json.ts";
import { ProtobufError, Reader, WIRE, Writer } from "./wire.ts";

export type FieldKind =
  | { readonly type: "bytes" | "string" | "int64" | "bigint64" | "biguint64" | "bool" }
  | { readonly type: "enum"; readonly names: readonly string[] }
  /** `type` is a function so that a message may contain itself. */
  | { readonly type: "message"; readonly message: () => AnyMessage }
  | { readonly type: "custom"; readonly codec: CustomCodec<unknown> };

/** A submessage that is read and written in a way of its own. */
export interface CustomCodec<T> {
  read(bytes: Uint8Array): T;
  write(value: T, writer: Writer): void;
  toJson(value: T): unknown;
}

/** One field; the type parameter is what it holds in TypeScript. */
export interface Field<T> {
  readonly number: number;
  readonly kind: FieldKind;
  readonly repeated: boolean;
  /** Fields of one oneof: setting one clears the others. */
  readonly oneof: string | undefined;
  /** The name in the .proto, where it is not the snake_case of the property. */
  readonly protoName: string | undefined;
  readonly initial: T;
}

export type Shape = Readonly<Record<string, Field<unknown>>>;
export type Infer<S extends Shape> = { -readonly [K in keyof S]: S[K]["initial"] };

export interface NamedField extends Field<unknown> {
  readonly property: string;
  readonly name: string;
}

const NO_BYTES: Bytes = new Uint8Array(0);

function field<T>(number: number, kind: FieldKind, initial: T, protoName?: string): Field<T> {
  return { number, kind, repeated: false, oneof: undefined, protoName, initial };
}

export const bytes = (number: number): Field<Bytes> => field(number, { type: "bytes" }, NO_BYTES);
export const string = (number: number): Field<string> => field(number, { type: "string" }, "");
export const bool = (number: number, protoName?: string): Field<boolean> =>
  field(number, { type: "bool" }, false, protoName);
/** int64, uint64 or a 32-bit integer whose values beyond 2^53 mean no more than "very large". */
export const int64 = (number: number, protoName?: string): Field<number> =>
  field(number, { type: "int64" }, 0, protoName);
/** int64 that is an identifier: exact. */
export const bigint64 = (number: number, protoName?: string): Field<bigint> =>
  field(number, { type: "bigint64" }, 0n, protoName);
export const biguint64 = (number: number, protoName?: string): Field<bigint> =>
  field(number, { type: "biguint64" }, 0n, protoName);
export const enumeration = (number: number, names: readonly string[]): Field<number> =>
  field(number, { type: "enum", names }, 0);
export const submessage = <T>(
  number: number,
  message: () => Message<T>,
): Field<T | undefined> => field<T | undefined>(number, { type: "message", message }, undefined);
export const custom = <T>(number: number, codec: CustomCodec<T>, initial: T): Field<T> =>
  field(number, { type: "custom", codec: codec as CustomCodec<unknown> }, initial);
export const repeated = <T>(of: Field<T>): Field<readonly NonNullable<T>[]> => ({
  ...of,
  repeated: true,
  initial: [],
});
export const oneof = <T>(group: string, of: Field<T>): Field<T | undefined> => ({
  ...of,
  oneof: group,
  initial: undefined,
});
export const named = <T>(protoName: string, of: Field<T>): Field<T> => ({ ...of, protoName });

/** Deeper nesting than any request that obeys the limit of operations can have. */
const MAX_DEPTH = 400;

type Values = Record<string, unknown>;

/** What all messages have in common, whatever they hold. */
export interface AnyMessage {
  readonly name: string;
  readonly fields: readonly NamedField[];
  readValues(reader: Reader, depth: number): Values;
  writeValues(values: Values, writer: Writer): void;
  initialValues(): Values;
}

export interface Message<T> extends AnyMessage {
  /**
   * Byte fields are copies, `bytes` may be reused.
   * @throws {ProtobufError} naming the message and the field
   */
  decode(bytes: Uint8Array): T;
  /** Appends the message to `writer`. */
  write(value: T, writer: Writer): void;
  encode(value: T): Bytes;
  /** @throws {ProtobufError} naming the message and the field */
  fromJson(json: unknown): T;
  toJson(value: T): unknown;
  /** The message whose fields all have their initial value, then `values`. */
  of(values: Partial<T>): T;
}

export function message<S extends Shape>(name: string, shape: S): Message<Infer<S>> {
  const fields = Object.entries(shape).map(([property, f]): NamedField => ({
    ...f,
    property,
    name: f.protoName ?? property.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  }));
  const byNumber: (NamedField | undefined)[] = [];
  for (const f of fields) byNumber[f.number] = f;
  const backwards = [...fields].sort((a, b) => b.number - a.number);
  const initial: Values = {};
  for (const f of fields) initial[f.property] = f.initial;

  const self: AnyMessage = {
    name,
    fields,
    initialValues: () => ({ ...initial }),
    readValues(reader, depth) {
      if (depth > MAX_DEPTH) throw new ProtobufError(`${name}: nested too deeply`);
      const values = { ...initial };
      while (reader.at < reader.end) {
        const tag = reader.uint32();
        const known = byNumber[tag >>> 3];
        if (known === undefined) throw unknownField(name, tag);
        readField(self, known, tag & 7, reader, values, depth);
      }
      return values;
    },
    writeValues(values, writer) {
      for (const f of backwards) writeField(f, values[f.property], writer);
    },
  };
  // The one place where values read by the description take the type that it gives.
  const typed = (values: Values): Infer<S> => values as Infer<S>;
  return {
    ...self,
    decode: (input) => typed(self.readValues(new Reader(input), 0)),
    write: (value, writer) => self.writeValues(value, writer),
    encode(value) {
      const writer = new Writer();
      self.writeValues(value, writer);
      return writer.finish();
    },
    fromJson: (json) => typed(fromJson(self, json)),
    toJson: (value) => toJson(self, value),
    of: (values) => typed({ ...initial, ...values }),
  };
}

function unknownField(name: string, tag: number): ProtobufError {
  return new ProtobufError(`${name}: field ${tag >>> 3} is not supported`);
}

function readField(
  owner: AnyMessage,
  f: NamedField,
  wire: number,
  reader: Reader,
  values: Values,
  depth: number,
): void {
  const kind = f.kind;
  const delimited = kind.type === "bytes" || kind.type === "string" || kind.type === "message" ||
    kind.type === "custom";
  if (wire === WIRE.bytes && f.repeated && kind.type === "enum") {
    const end = reader.delimited();
    const packed = [...listOf(values[f.property])];
    while (reader.at < end) packed.push(reader.int32());
    values[f.property] = packed;
    return;
  }
  if (wire !== (delimited ? WIRE.bytes : WIRE.varint)) {
    throw new ProtobufError(`${owner.name}: wrong wire type ${wire} for field ${f.name}`);
  }
  let value: unknown;
  try {
    value = readValue(kind, reader, depth);
  } catch (error) {
    if (error instanceof ProtobufError && !error.message.includes(":")) {
      throw new ProtobufError(`${owner.name}: ${f.name}: ${error.message}`);
    }
    throw error;
  }
  if (f.repeated) {
    const list = values[f.property];
    if (list === f.initial || !Array.isArray(list)) values[f.property] = [value];
    else list.push(value);
    return;
  }
  if (f.oneof !== undefined) {
    for (const other of owner.fields) {
      if (other.oneof === f.oneof) values[other.property] = undefined;
    }
  }
  values[f.property] = value;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function readValue(kind: FieldKind, reader: Reader, depth: number): unknown {
  switch (kind.type) {
    case "bytes":
      return reader.copy();
    case "string":
      return reader.text();
    case "int64":
      return reader.int64();
    case "bigint64":
      return reader.bigInt64();
    case "biguint64":
      return reader.bigUint64();
    case "bool":
      return reader.bool();
    case "enum":
      return reader.int32();
    case "message": {
      const end = reader.delimited();
      const inner = new Reader(reader.bytes, reader.at, end);
      const value = kind.message().readValues(inner, depth + 1);
      reader.at = end;
      return value;
    }
    case "custom": {
      const end = reader.delimited();
      const value = kind.codec.read(reader.bytes.subarray(reader.at, end));
      reader.at = end;
      return value;
    }
  }
}

function writeField(f: NamedField, value: unknown, writer: Writer): void {
  if (value === undefined) return;
  if (f.repeated) {
    const list = listOf(value);
    for (let i = list.length - 1; i >= 0; i--) writeValue(f, list[i], writer);
    return;
  }
  // proto3: what has its initial value is left out, unless a oneof says that it is there.
  if (f.oneof === undefined && f.kind.type !== "custom" && isInitial(value)) return;
  writeValue(f, value, writer);
}

function isInitial(value: unknown): boolean {
  return value === 0 || value === false || value === "" || value === 0n ||
    (value instanceof Uint8Array && value.length === 0);
}

function writeValue(f: NamedField, value: unknown, writer: Writer): void {
  if (f.kind.type === "custom" || f.kind.type === "message") {
    const before = writer.length;
    if (f.kind.type === "custom") f.kind.codec.write(value, writer);
    else if (isValues(value)) f.kind.message().writeValues(value, writer);
    writer.varint(writer.length - before);
    writer.tag(f.number, WIRE.bytes);
  } else if (value instanceof Uint8Array) {
    writer.raw(value);
    writer.varint(value.length);
    writer.tag(f.number, WIRE.bytes);
  } else if (typeof value === "number") {
    writer.varint(value);
    writer.tag(f.number, WIRE.varint);
  } else if (typeof value === "bigint") {
    writer.bigVarint(value);
    writer.tag(f.number, WIRE.varint);
  } else if (typeof value === "boolean") {
    writer.byte(value ? 1 : 0);
    writer.tag(f.number, WIRE.varint);
  } else if (typeof value === "string") {
    const text = new TextEncoder().encode(value);
    writer.raw(text);
    writer.varint(text.length);
    writer.tag(f.number, WIRE.bytes);
  }
}

function isValues(value: unknown): value is Values {
  return typeof value === "object" && value !== null;
}
