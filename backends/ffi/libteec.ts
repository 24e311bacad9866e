/**
 * One session with one trusted application through libteec. Synchronous, so used in a Worker
 * (teec_worker.ts): a command waits for the trusted OS, and that for tee-supplicant and the disk.
 */
import { LIBTEEC_SYMBOLS } from "./libteec_symbols.ts";
import {
  LOGIN_PUBLIC,
  OPERATION,
  PARAM,
  SESSION_LENGTH,
  TEEC_ERROR_SHORT_BUFFER,
  TEEC_ERROR_TARGET_DEAD,
  TEEC_SUCCESS,
  TMPREF,
  UUID_LENGTH,
  uuidStruct,
  VALUE,
} from "./teec_abi.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Library = Deno.DynamicLibrary<typeof LIBTEEC_SYMBOLS>;

/** More than any output: 16 MiB of plaintext, sealed. */
const MAX_OUTPUT_LENGTH = (16 << 20) + 65536;
/** Structures get more room than the header says: what is private in them has grown before. */
const SPARE = 240;
/** Behind every output; a library that writes beyond its capacity shows here. */
const GUARD = Uint8Array.from({ length: 32 }, (_, index) => 0x5a ^ index);

export interface TeecCommand {
  readonly command: number;
  /** Parameters 0 and 1; an empty one is passed as none. */
  readonly inputs: readonly [Bytes, Bytes];
  /** Parameter 2, `a` of a value; undefined: none. */
  readonly value: number | undefined;
  /** Room of parameter 3, at least 1; grown once where the TA wants more. */
  readonly capacity: number;
}

export interface TeecResult {
  /** TEEC_Result. */
  readonly result: number;
  /** 1 API, 2 communication, 3 trusted OS, 4 TA; 0 where the context could not be made. */
  readonly origin: number;
  readonly data: Bytes;
}

/** libteec or the trusted OS broke its contract; no call goes there any more. */
export class TeecContractError extends Error {
  override readonly name = "TeecContractError";
}

export interface TeecClient extends Disposable {
  /** The name that was loaded. */
  readonly library: string;
  /** @param tee a name for TEEC_InitializeContext; undefined: the default TEE */
  open(tee: string | undefined, uuid: string): TeecResult;
  /** A TA that died is started again, once, and asked again: commands may be repeated. */
  invoke(command: TeecCommand): TeecResult;
}

function load(names: readonly string[]): { name: string; library: Library } {
  const reasons: string[] = [];
  for (const name of names) {
    try {
      return { name, library: Deno.dlopen(name, LIBTEEC_SYMBOLS) };
    } catch (error) {
      reasons.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(reasons.join("; "));
}

/** @throws {Error} with one reason a name that was tried */
export function loadLibteec(names: readonly string[]): TeecClient {
  const { name, library } = load(names);
  const { symbols } = library;
  const origin = new Uint32Array(1);
  // The library keeps the address of the context in the session: both live as long as this closure,
  // and memory of an ArrayBuffer that was handed to FFI does not move.
  const context = new Uint8Array(SESSION_LENGTH + SPARE);
  const session = new Uint8Array(SESSION_LENGTH + SPARE);
  let uuid: Bytes = new Uint8Array(UUID_LENGTH);
  let state: "loaded" | "connected" | "open" | "closed" = "loaded";

  const answer = (result: number, from: number, data: Bytes = new Uint8Array(0)): TeecResult => ({
    result,
    origin: from,
    data,
  });

  function openSession(): TeecResult {
    session.fill(0);
    origin[0] = 0;
    const result = symbols.TEEC_OpenSession(
      context,
      session,
      uuid,
      LOGIN_PUBLIC,
      null,
      null,
      bytesOf(origin),
    );
    state = result === TEEC_SUCCESS ? "open" : "connected";
    return answer(result, origin[0]);
  }

  function closeSession(): void {
    if (state !== "open") return;
    symbols.TEEC_CloseSession(session);
    state = "connected";
  }

  /** One TEEC_InvokeCommand. The operation holds addresses, and nothing of it outlives the call. */
  function call({ command, inputs, value }: TeecCommand, out: Bytes, capacity: number) {
    const operation = new Uint8Array(OPERATION.length + SPARE);
    const view = new DataView(operation.buffer);
    let types = 0;
    const reference = (index: number, type: number, buffer: Bytes, size: number): void => {
      const at = OPERATION.paramsAt + OPERATION.paramLength * index;
      types |= type << (4 * index);
      view.setBigUint64(
        at + TMPREF.bufferAt,
        Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer)),
        true,
      );
      view.setBigUint64(at + TMPREF.sizeAt, BigInt(size), true);
    };
    for (const [index, input] of inputs.entries()) {
      if (input.length > 0) reference(index, PARAM.tmprefInput, input, input.length);
    }
    if (value !== undefined) {
      types |= PARAM.valueInput << 8;
      view.setUint32(OPERATION.paramsAt + OPERATION.paramLength * 2 + VALUE.aAt, value, true);
    }
    reference(3, PARAM.tmprefOutput, out, capacity);
    view.setUint32(OPERATION.paramTypesAt, types, true);
    origin[0] = 0;
    const result = symbols.TEEC_InvokeCommand(session, command, operation, bytesOf(origin));
    const sizeAt = OPERATION.paramsAt + OPERATION.paramLength * 3 + TMPREF.sizeAt;
    return { result, size: view.getBigUint64(sizeAt, true) };
  }

  function invokeOnce(command: TeecCommand): TeecResult {
    let { capacity } = command;
    for (let attempt = 0;; attempt++) {
      const out = new Uint8Array(capacity + GUARD.length);
      out.set(GUARD, capacity);
      const { result, size } = call(command, out, capacity);
      if (GUARD.some((byte, index) => out[capacity + index] !== byte)) {
        throw new TeecContractError(`command ${command.command} wrote beyond its buffer`);
      }
      if (result === TEEC_ERROR_SHORT_BUFFER && attempt === 0 && size > BigInt(capacity)) {
        if (size > BigInt(MAX_OUTPUT_LENGTH)) {
          throw new TeecContractError(`command ${command.command} wants ${size} bytes`);
        }
        capacity = Number(size);
        continue;
      }
      if (result !== TEEC_SUCCESS) {
        out.fill(0);
        return answer(result, origin[0] ?? 0);
      }
      if (size > BigInt(capacity)) {
        throw new TeecContractError(`command ${command.command} says ${size} bytes of ${capacity}`);
      }
      const data = out.slice(0, Number(size));
      out.fill(0);
      return answer(result, origin[0] ?? 0, data);
    }
  }

  return {
    library: name,
    open(tee, text) {
      if (state !== "loaded") throw new Error(`the session is ${state}`);
      if (tee?.includes("\0")) throw new TypeError("a name with a NUL in it");
      uuid = uuidStruct(text);
      const teeName = tee === undefined ? null : new TextEncoder().encode(`${tee}\0`);
      const result = symbols.TEEC_InitializeContext(teeName, context);
      if (result !== TEEC_SUCCESS) return answer(result, 0);
      state = "connected";
      return openSession();
    },
    invoke(command) {
      if (command.capacity < 1 || command.capacity > MAX_OUTPUT_LENGTH) {
        throw new RangeError(`room for ${command.capacity} bytes`);
      }
      if (state !== "open" && state !== "connected") throw new Error(`the session is ${state}`);
      for (let attempt = 0;; attempt++) {
        if (state === "connected") {
          const opened = openSession();
          if (opened.result !== TEEC_SUCCESS) return opened;
        }
        const answered = invokeOnce(command);
        if (answered.result !== TEEC_ERROR_TARGET_DEAD) return answered;
        closeSession();
        if (attempt > 0) return answered;
      }
    },
    [Symbol.dispose]() {
      if (state === "closed") return;
      closeSession();
      if (state === "connected") symbols.TEEC_FinalizeContext(context);
      state = "closed";
      library.close();
    },
  };
}

function bytesOf(words: Uint32Array<ArrayBuffer>): Bytes {
  return new Uint8Array(words.buffer);
}
