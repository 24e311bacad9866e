import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { encodeHeaders, HpackDecoder } from "./hpack.ts";
import { HpackError } from "./hpack_error.ts";
import { huffmanDecode, huffmanEncode } from "./huffman.ts";

function fields(decoder: HpackDecoder, hex: string): string[] {
  const out: string[] = [];
  decoder.decode(Uint8Array.fromHex(hex), (name, value) => out.push(`${name}: ${value}`));
  return out;
}

Deno.test("HpackDecoder.decode() gives the examples of RFC 7541, C.3 (requests, no Huffman)", () => {
  const decoder = new HpackDecoder(4096, 16384);
  assertEquals(fields(decoder, "828684410f7777772e6578616d706c652e636f6d"), [
    ":method: GET",
    ":scheme: http",
    ":path: /",
    ":authority: www.example.com",
  ]);
  assertEquals(fields(decoder, "828684be58086e6f2d6361636865").slice(3), [
    ":authority: www.example.com",
    "cache-control: no-cache",
  ]);
  assertEquals(
    fields(decoder, "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565").slice(2),
    [":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"],
  );
});

Deno.test("HpackDecoder.decode() gives the examples of RFC 7541, C.4 (requests, Huffman)", () => {
  const decoder = new HpackDecoder(4096, 16384);
  assertEquals(
    fields(decoder, "828684418cf1e3c2e5f23a6ba0ab90f4ff")[3],
    ":authority: www.example.com",
  );
  assertEquals(fields(decoder, "828684be5886a8eb10649cbf")[4], "cache-control: no-cache");
  assertEquals(
    fields(decoder, "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")[4],
    "custom-key: custom-value",
  );
});

Deno.test("HpackDecoder.decode() evicts the oldest entries, as in RFC 7541, C.5", () => {
  const decoder = new HpackDecoder(256, 16384);
  fields(
    decoder,
    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
  );
  assertEquals(fields(decoder, "4803333037c1c0bf"), [
    ":status: 307",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "location: https://www.example.com",
  ]);
});

Deno.test("HpackDecoder.decode() refuses what is not HPACK", () => {
  const bad: Record<string, string> = {
    "index 0": "80",
    "index beyond the tables": "ff20",
    "cut off string": "410f7777",
    "cut off integer": "7f",
    "integer too large": "7fffffffffff7f",
    "table size above the announced": "3fe2ff03",
    "table size update after a field": "8220",
    "Huffman padding of zeros": "4181f0",
    "EOS in a Huffman string": "4184ffffffff",
  };
  for (const [name, hex] of Object.entries(bad)) {
    assertThrows(() => fields(new HpackDecoder(4096, 16384), hex), HpackError, undefined, name);
  }
});

Deno.test("HpackDecoder.decode() says when a list is too long and keeps its table", () => {
  const decoder = new HpackDecoder(4096, 100);
  const long = encodeHeaders([["x", "y".repeat(200)]]);
  assertEquals(decoder.decode(long, () => {}), false);
  assertEquals(fields(decoder, "82"), [":method: GET"]);
});

Deno.test("HpackDecoder.decode() never fails in another way on random bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const decoder = new HpackDecoder(4096, 16384);
    try {
      decoder.decode(bytes, () => {});
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
    }
  }));
});

Deno.test("encodeHeaders() is read back by the decoder", () => {
  const text = fc.stringMatching(/^[a-z0-9-]{1,200}$/);
  fc.assert(fc.property(fc.array(fc.tuple(text, text), { maxLength: 20 }), (list) => {
    const out: [string, string][] = [];
    new HpackDecoder(4096, 1 << 20).decode(encodeHeaders(list), (n, v) => out.push([n, v]));
    assertEquals(out, list);
  }));
});

Deno.test("huffmanDecode() reads what huffmanEncode() wrote, for every byte", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    const text = String.fromCharCode(...bytes);
    assertEquals(huffmanDecode(huffmanEncode(text), 1000), text);
  }));
});
