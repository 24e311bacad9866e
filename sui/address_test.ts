import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  addressBytes,
  addressFromBytes,
  canonicalAddress,
  canonicalType,
  isCanonicalAddress,
} from "./address.ts";

const full = (digits: string) => "0x" + digits.padStart(64, "0");

Deno.test("canonicalAddress() pads and lowers, and refuses what is no address", () => {
  assertEquals(canonicalAddress("0x2"), full("2"));
  assertEquals(canonicalAddress("0xAB"), full("ab"));
  for (const bad of ["", "2", "0x", "0xg", "0x" + "0".repeat(65), " 0x2", "0x2 ", "0X2"]) {
    assertEquals(canonicalAddress(bad), undefined, bad);
  }
});

Deno.test("addressBytes() and addressFromBytes() are inverse", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
    const address = addressFromBytes(bytes);
    assertEquals(isCanonicalAddress(address), true);
    assertEquals(addressBytes(address), Uint8Array.from(bytes));
  }));
  assertThrows(() => addressBytes("0x2"), TypeError, "64 hex digits");
  assertThrows(() => addressFromBytes(new Uint8Array(31)), TypeError, "32 bytes");
});

Deno.test("canonicalType() writes addresses in full, keeps generics, refuses the rest", () => {
  assertEquals(canonicalType("0x2::object::ID"), `${full("2")}::object::ID`);
  assertEquals(
    canonicalType("0x2::dynamic_field::Field<0x2::object::ID, 0xAb::m::E<vector<u8>,address>>"),
    `${full("2")}::dynamic_field::Field<${full("2")}::object::ID,${
      full("ab")
    }::m::E<vector<u8>,address>>`,
  );
  for (
    const bad of [
      "",
      "package",
      "0x2",
      "0x2::a",
      "0x2::a::b::c",
      "0x2::a::b<",
      "0x2::a::b<>",
      "0x2::a::b<u8",
      "0x2::a::b>",
      "0x2::1a::b",
      "0x2::a::b<u8,>",
      "vector<u8,u8>",
      "vector",
      "0x2::a::b ",
      "0x2::a::b<  u8>",
      "@mvr/app::a::b",
    ]
  ) assertEquals(canonicalType(bad), undefined, bad);
  assertEquals(canonicalType("vector<".repeat(40) + "u8" + ">".repeat(40)), undefined);
});

Deno.test("canonicalType() is idempotent and never throws", () => {
  fc.assert(fc.property(fc.string({ maxLength: 80 }), (text) => {
    const once = canonicalType(text);
    if (once !== undefined) assertEquals(canonicalType(once), once);
  }));
});
