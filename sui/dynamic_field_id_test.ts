import { assertEquals } from "@std/assert";
import { bcs } from "@mysten/sui/bcs";
import { deriveDynamicFieldID } from "@mysten/sui/utils";
import fc from "fast-check";
import { addressFromBytes } from "./address.ts";
import { createFieldIds } from "./dynamic_field_id.ts";

const tagOf = (type: string) => bcs.TypeTag.serialize(type).toBytes();

Deno.test("createFieldIds() derives as the SDK does, for any parent, type and key", () => {
  const fieldId = createFieldIds(tagOf);
  const parent = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const type = fc.oneof(
    fc.constantFrom("u64", "address", "vector<u8>", "0x2::object::ID", "0x1::string::String"),
    fc.nat(40).map((n) => `0x${(n + 1).toString(16)}::module_${n}::Name<vector<u${8 << n % 3}>>`),
  );
  fc.assert(fc.property(parent, type, fc.uint8Array({ maxLength: 400 }), (bytes, name, key) => {
    const id = addressFromBytes(bytes);
    assertEquals(fieldId(id, name, key), deriveDynamicFieldID(id, name, key));
  }));
});

Deno.test("createFieldIds() asks for a type's tag once, as long as there are few types", () => {
  const asked: string[] = [];
  const fieldId = createFieldIds((type) => {
    asked.push(type);
    return tagOf(type);
  });
  const parent = "0x" + "7".repeat(64);
  for (let i = 0; i < 3; i++) {
    for (const type of ["u8", "address"]) fieldId(parent, type, new Uint8Array(2));
  }
  assertEquals(asked, ["u8", "address"]);
});
