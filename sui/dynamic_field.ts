/** Dynamic fields as objects: their ids are derived, and what they say of themselves is checked. */
import { addressBytes, canonicalAddress } from "./address.ts";
import type { FieldIdOf } from "./dynamic_field_id.ts";
import { type LedgerObject, LedgerProtocolError } from "./ledger.ts";

/** A key of a dynamic field: its Move type and its value in BCS. */
export interface FieldName {
  readonly type: string;
  readonly bcs: Uint8Array<ArrayBuffer>;
}

/**
 * The field object of `parentId` under `name`, `undefined` where there is none.
 *
 * @param fieldId derives the id of the field object
 * @throws {LedgerProtocolError} when the object under that id is no such field
 */
export async function readDynamicField(
  parentId: string,
  name: FieldName,
  fieldId: FieldIdOf,
  getObject: (id: string) => Promise<LedgerObject | undefined>,
): Promise<LedgerObject | undefined> {
  const parent = canonicalAddress(parentId);
  if (parent === undefined) throw new TypeError(`parent id: ${JSON.stringify(parentId)}`);
  const id = fieldId(parent, name.type, name.bcs);
  const field = await getObject(id);
  if (field === undefined) return undefined;
  if (field.owner.kind !== "object" || field.owner.id !== parent) {
    throw new LedgerProtocolError(`dynamic field ${id}: its owner is not ${parent}`);
  }
  // Field<Name, Value> { id: UID, name: Name, value: Value }.
  const { contents } = field;
  if (!startsWith(contents, addressBytes(id), 0) || !startsWith(contents, name.bcs, 32)) {
    throw new LedgerProtocolError(`dynamic field ${id}: its contents name another id or key`);
  }
  return field;
}

function startsWith(bytes: Uint8Array, part: Uint8Array, at: number): boolean {
  if (bytes.length < at + part.length) return false;
  for (let i = 0; i < part.length; i++) if (bytes[at + i] !== part[i]) return false;
  return true;
}
