/**
 * Bytes of the GlobalPlatform TEE Client API 1.0 as OP-TEE's libteec lays them out on 64-bit Linux.
 * Temporary memory references only: TEEC_SharedMemory is 56 bytes in libteec.so.2 and 48 in .so.1.
 * Checked against tee_client_api.h by libteec_test.ts. Pure.
 */

/** TEEC_Context. Libraries may need more, so more is given. */
export const CONTEXT_LENGTH = 8;
/** TEEC_Session: pointer to the context at 0, id at 8. */
export const SESSION_LENGTH = 16;
/** TEEC_UUID: u32, u16, u16 in the machine's order, then 8 bytes. */
export const UUID_LENGTH = 16;
export const OPERATION = {
  length: 112,
  paramTypesAt: 4,
  paramsAt: 8,
  paramLength: 24,
} as const;
/** Inside a parameter. */
export const TMPREF = { bufferAt: 0, sizeAt: 8 } as const;
export const VALUE = { aAt: 0, bAt: 4 } as const;

export const PARAM = { none: 0, valueInput: 1, tmprefInput: 5, tmprefOutput: 6 } as const;
export const LOGIN_PUBLIC = 0;

export const TEEC_SUCCESS = 0;
export const TEEC_ERROR_SHORT_BUFFER = 0xffff0010;
export const TEEC_ERROR_TARGET_DEAD = 0xffff3024;

/** A UUID's text as TEEC_UUID. @throws {TypeError} for anything but its 36 characters */
export function uuidStruct(text: string): Uint8Array<ArrayBuffer> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) {
    throw new TypeError(`not a UUID: ${text}`);
  }
  const out = Uint8Array.fromHex(text.replaceAll("-", ""));
  out.subarray(0, 4).reverse();
  out.subarray(4, 6).reverse();
  out.subarray(6, 8).reverse();
  return out;
}
