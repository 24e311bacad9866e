/**
 * Bodies in Kubernetes' protobuf (`application/vnd.kubernetes.protobuf`), which kubectl sends for
 * `create`: decoded into the JSON that the same object would have had. Unknown fields are refused.
 */
import { ProtobufError, Reader, WIRE } from "../etcd/protobuf/wire.ts";
import { decodeJson, MAX_JSON_DEPTH } from "../json.ts";
import { kubernetesTime } from "./prepare.ts";
import type { FieldSpec, KindSchemas, MessageSpec, ScalarType } from "./schema.ts";
import { StatusError } from "./status.ts";

/** "k8s\0" before the envelope. */
const MAGIC = Uint8Array.of(0x6b, 0x38, 0x73, 0x00);

type Json = Record<string, unknown>;

/**
 * @returns the object with apiVersion and kind.
 * @throws {StatusError} BadRequest
 */
export function decodeProtobufObject(bytes: Uint8Array, schemas: KindSchemas): Json {
  try {
    if (!MAGIC.every((byte, i) => bytes[i] === byte)) {
      throw new ProtobufError("it does not begin with the magic number of Kubernetes");
    }
    const { apiVersion, kind, raw } = envelope(new Reader(bytes, MAGIC.length));
    if (kind === "CustomResourceDefinition") {
      throw new StatusError(
        "UnsupportedMediaType",
        "CustomResourceDefinitions are accepted as application/json and application/yaml only",
      );
    }
    const message = schemas.message(kind);
    if (message === undefined) {
      throw new ProtobufError(`kind "${kind.slice(0, 80)}" is not described`);
    }
    return { apiVersion, kind, ...readMessage(raw, message, schemas, 0) };
  } catch (cause) {
    if (!(cause instanceof ProtobufError)) throw cause;
    throw new StatusError("BadRequest", `the body is not acceptable protobuf: ${cause.message}`, {
      cause,
    });
  }
}

/** runtime.Unknown: typeMeta 1 {apiVersion 1, kind 2}, raw 2, contentEncoding 3, contentType 4. */
function envelope(reader: Reader): { apiVersion: string; kind: string; raw: Reader } {
  let apiVersion = "";
  let kind = "";
  let raw: Reader | undefined;
  eachField(reader, (number) => {
    const inner = sub(reader);
    if (number === 1) {
      eachField(inner, (field) => {
        const text = inner.text();
        if (field === 1) apiVersion = text;
        else if (field === 2) kind = text;
      });
    } else if (number === 2) {
      raw = inner;
    } else if (inner.at !== inner.end && number === 3) {
      throw new ProtobufError("the content is encoded in a way that is not known");
    }
  });
  if (raw === undefined) throw new ProtobufError("the envelope is empty");
  return { apiVersion, kind, raw };
}

function eachField(reader: Reader, take: (number: number, wire: number) => void): void {
  while (reader.at < reader.end) {
    const tag = reader.uint32();
    take(tag >>> 3, tag & 7);
  }
}

/** The length-delimited field that stands here, as a reader of its own. */
function sub(reader: Reader): Reader {
  const end = reader.delimited();
  const inner = new Reader(reader.bytes, reader.at, end);
  reader.at = end;
  return inner;
}

function readMessage(
  reader: Reader,
  message: MessageSpec,
  schemas: KindSchemas,
  depth: number,
): Json {
  if (depth > MAX_JSON_DEPTH) throw new ProtobufError("nested too deep");
  const out: Json = {};
  eachField(reader, (number, wire) => {
    const field = message.byNumber.get(number);
    if (field === undefined) throw new ProtobufError(`${message.name} has no field ${number}`);
    const expected = field.shape === "one" && (field.type === "bool" || field.type === "integer")
      ? WIRE.varint
      : WIRE.bytes;
    // Lists of numbers may be packed or not.
    if (wire !== expected && !(field.shape === "list" && wire === WIRE.varint)) {
      throw new ProtobufError(`${message.name}.${field.name} has wire type ${wire}`);
    }
    readField(reader, wire, field, schemas, depth, out);
  });
  return out;
}

function readField(
  reader: Reader,
  wire: number,
  field: FieldSpec,
  schemas: KindSchemas,
  depth: number,
  out: Json,
): void {
  const { name, type, shape } = field;
  const value = (from: Reader) => readValue(from, type, schemas, depth + 1);
  if (shape === "map") {
    const [key, item] = readEntry(sub(reader), value, type);
    if (key === "__proto__") throw new ProtobufError("__proto__ is no key");
    const map = out[name] ??= {};
    Object.defineProperty(map, key, {
      value: item,
      enumerable: true,
      configurable: true,
      writable: true,
    });
    return;
  }
  if (shape === "list") {
    const list: unknown[] = [];
    if (wire === WIRE.bytes && (type === "integer" || type === "bool")) {
      const packed = sub(reader);
      while (packed.at < packed.end) list.push(value(packed));
    } else {
      list.push(value(reader));
    }
    const before = out[name];
    out[name] = Array.isArray(before) ? [...before, ...list] : list;
    return;
  }
  const item = value(reader);
  if (name === "") {
    Object.assign(out, item);
    return;
  }
  // What Go leaves out of JSON: empty strings, times that are not set.
  if (item === undefined || (item === "" && !field.pointer)) return;
  out[name] = item;
}

function readEntry(
  entry: Reader,
  value: (from: Reader) => unknown,
  type: FieldSpec["type"],
): [string, unknown] {
  let key = "";
  let item: unknown = type === "string" || type === "bytes" ? "" : undefined;
  eachField(entry, (number) => {
    if (number === 1) key = entry.text();
    else if (number === 2) item = value(entry);
    else throw new ProtobufError(`a map entry has no field ${number}`);
  });
  return [key, item ?? null];
}

function readValue(
  reader: Reader,
  type: FieldSpec["type"],
  schemas: KindSchemas,
  depth: number,
): unknown {
  if (typeof type === "string") return readScalar(reader, type);
  const message = schemas.message(type.message);
  if (message === undefined) throw new ProtobufError(`message ${type.message} is not described`);
  return readMessage(sub(reader), message, schemas, depth);
}

function readScalar(reader: Reader, type: ScalarType): unknown {
  switch (type) {
    case "string":
      return reader.text();
    case "bool":
      return reader.bool();
    case "integer":
      return reader.int64();
    case "bytes":
      return reader.copy().toBase64();
    case "quantity":
      return oneText(sub(reader));
    case "time":
    case "microTime": {
      const { seconds, nanos } = timestamp(sub(reader));
      if (seconds === 0 && nanos === 0) return undefined;
      const whole = kubernetesTime(seconds * 1000);
      return type === "time"
        ? whole
        : whole.replace("Z", `.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`);
    }
    case "duration":
      return `${timestamp(sub(reader)).seconds / 1e9}s`;
    case "intOrString":
      return intOrString(sub(reader));
    case "json": {
      const inner = sub(reader);
      let value: unknown = null;
      eachField(inner, (number) => {
        const raw = inner.copy();
        if (number === 1) value = decodeJson(raw);
      });
      return value;
    }
    case "dropped":
      sub(reader);
      return undefined;
  }
}

function oneText(reader: Reader): string {
  let text = "";
  eachField(reader, (number) => {
    if (number !== 1) throw new ProtobufError(`a quantity has no field ${number}`);
    text = reader.text();
  });
  return text;
}

function timestamp(reader: Reader): { seconds: number; nanos: number } {
  let seconds = 0;
  let nanos = 0;
  eachField(reader, (number) => {
    const value = reader.int64();
    if (number === 1) seconds = value;
    else if (number === 2) nanos = value;
  });
  if (Math.abs(seconds) > 253_402_300_799 && nanos !== 0) throw new ProtobufError("no such time");
  return { seconds, nanos };
}

/** type 1 (0 number, 1 text), intVal 2, strVal 3. */
function intOrString(reader: Reader): number | string {
  let isText = false;
  let number = 0;
  let text = "";
  eachField(reader, (field) => {
    if (field === 1) isText = reader.int64() === 1;
    else if (field === 2) number = reader.int32();
    else if (field === 3) text = reader.text();
    else throw new ProtobufError(`an integer or string has no field ${field}`);
  });
  return isText ? text : number;
}
