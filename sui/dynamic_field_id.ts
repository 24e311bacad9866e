/**
 * Ids of dynamic fields, derived as `sui::dynamic_field` does: every admission needs one, and the
 * SDK's derivation reads the type anew and spends most of its time with it.
 */
import { blake2b } from "@noble/hashes/blake2.js";
import { addressBytes, addressFromBytes } from "./address.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** `HashingIntentScope::ChildObjectId`. */
const CHILD_OBJECT_ID = 0xf0;
/** A master reads fields of one or two types; what a stranger might vary is not kept. */
const MOST_TYPES = 16;

/** @param parentId canonical @param type as Move spells it @param key BCS */
export type FieldIdOf = (parentId: string, type: string, key: Uint8Array) => string;

/**
 * blake2b-256(0xf0 ‖ parent (32) ‖ length of key (u64 LE) ‖ key ‖ BCS of the type tag).
 *
 * @param tagOf BCS of a type tag; asked once for each type
 */
export function createFieldIds(tagOf: (type: string) => Uint8Array): FieldIdOf {
  const tags = new Map<string, Uint8Array>();
  return (parentId, type, key) => {
    let tag = tags.get(type);
    if (tag === undefined) {
      tag = tagOf(type);
      if (tags.size < MOST_TYPES) tags.set(type, tag);
    }
    const input: Bytes = new Uint8Array(1 + 32 + 8 + key.length + tag.length);
    input[0] = CHILD_OBJECT_ID;
    input.set(addressBytes(parentId), 1);
    new DataView(input.buffer).setUint32(33, key.length, true);
    input.set(key, 41);
    input.set(tag, 41 + key.length);
    return addressFromBytes(blake2b(input, { dkLen: 32 }));
  };
}
