import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Event, KeyValue, RangeRequest, TxnRequest, WatchResponse } from "../messages.ts";
import { ProtobufError, Reader, Writer } from "./wire.ts";

const bytes = fc.uint8Array({ maxLength: 40 }).map((b) => Uint8Array.from(b));
const revision = fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER });

Deno.test("Writer and Reader agree on every varint", () => {
  fc.assert(fc.property(fc.maxSafeInteger(), (value) => {
    const writer = new Writer(1);
    writer.varint(value);
    assertEquals(new Reader(writer.finish()).int64(), value);
  }));
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
    const writer = new Writer(1);
    writer.bigVarint(value);
    assertEquals(new Reader(writer.finish()).bigInt64(), value);
  }));
});

Deno.test("message() decodes what it encoded", () => {
  const keyValue = fc.record({
    key: bytes,
    value: bytes,
    createRevision: revision,
    modRevision: revision,
    version: revision,
    lease: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  });
  fc.assert(fc.property(keyValue, (kv) => {
    assertEquals(KeyValue.decode(KeyValue.encode(kv)), KeyValue.of(kv));
  }));
  const event = fc.record({
    type: fc.constantFrom(0, 1),
    kv: keyValue,
    prevKv: fc.option(keyValue, { nil: undefined }),
  });
  fc.assert(fc.property(event, (value) => {
    assertEquals(Event.decode(Event.encode(value)), Event.of(value));
  }));
});

Deno.test("message() gives the bytes of the wire format", () => {
  // key = "a", limit = 300, sort_order = DESCEND, keys_only: as protoc encodes them.
  const request = RangeRequest.of({
    key: Uint8Array.of(0x61),
    limit: 300,
    sortOrder: 2,
    keysOnly: true,
  });
  assertEquals(RangeRequest.encode(request).toHex(), "0a016118ac0228024001");
  // A negative int64 takes ten bytes.
  assertEquals(
    WatchResponse.encode(WatchResponse.of({ watchId: -1n })).toHex(),
    "10ffffffffffffffffff01",
  );
});

Deno.test("message().decode() names message and field of what it refuses", () => {
  const refuse = (hex: string, message: string) =>
    assertThrows(() => RangeRequest.decode(Uint8Array.fromHex(hex)), ProtobufError, message);
  refuse("0a0561", "RangeRequest: key: field longer than its message");
  refuse("0861", "RangeRequest: wrong wire type 0 for field key");
  refuse("7a0161", "RangeRequest: field 15 is not supported");
  refuse("18ffffffffffffffffffff01", "RangeRequest: limit: varint longer than 64 bits");
  refuse("18", "RangeRequest: limit: varint cut off");
});

Deno.test("message().decode() takes the last member of a oneof", () => {
  const txn = TxnRequest.decode(
    // success: one RequestOp with request_range {} and then request_put {key: "a"}
    Uint8Array.fromHex("1207" + "0a00" + "12030a0161"),
  );
  assertEquals(txn.success[0]?.requestRange, undefined);
  assertEquals(txn.success[0]?.requestPut?.key, Uint8Array.of(0x61));
});

Deno.test("message().decode() bounds nesting", () => {
  let inner = new Uint8Array(0);
  for (let i = 0; i < 1000; i++) {
    // RequestOp{request_txn: inner}, then TxnRequest{success: that}
    inner = wrap(0x12, wrap(0x22, inner));
  }
  assertThrows(() => TxnRequest.decode(inner), ProtobufError, "nested too deeply");
});

function wrap(tag: number, inner: Uint8Array): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  writer.raw(inner);
  writer.varint(inner.length);
  writer.byte(tag);
  return writer.finish();
}

Deno.test("message().decode() fails only in its own way on random bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (input) => {
    for (const message of [TxnRequest, RangeRequest, WatchResponse]) {
      try {
        message.decode(input);
      } catch (error) {
        if (!(error instanceof ProtobufError)) throw error;
      }
    }
  }));
});

Deno.test("message().fromJson() is strict and takes both spellings of a name", () => {
  const request = RangeRequest.fromJson({
    key: "YQ==",
    range_end: "Yg==",
    limit: "5",
    sortOrder: "DESCEND",
    keys_only: true,
  });
  assertEquals(RangeRequest.toJson(request), {
    key: "YQ==",
    range_end: "Yg==",
    limit: "5",
    sort_order: "DESCEND",
    keys_only: true,
  });
  const refuse = (json: unknown, message: string) =>
    assertThrows(() => RangeRequest.fromJson(json), ProtobufError, message);
  refuse([], "RangeRequest: must be an object");
  refuse({ keey: "YQ==" }, "RangeRequest: field keey is not known");
  refuse({ key: 5 }, "RangeRequest.key: must be a base64 string");
  refuse({ key: "###" }, "RangeRequest.key: is not base64");
  refuse({ limit: 1.5 }, "RangeRequest.limit: must be an integer");
  refuse({ sort_order: "SIDEWAYS" }, "RangeRequest.sort_order: must be one of NONE");
  assertThrows(
    () => TxnRequest.fromJson({ success: [{ request_range: { key: "YQ==" }, request_put: {} }] }),
    ProtobufError,
    "RequestOp.request_put: excludes request_range",
  );
});
