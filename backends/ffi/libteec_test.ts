import { assert, assertEquals, assertThrows } from "@std/assert";
import { compileAndRun, compilerUnavailable } from "../../tests/fakes/c_program.ts";
import { buildTeec, makeTeeDevice, teecUnavailable } from "../../tests/fakes/trustzone/device.ts";
import { loadLibteec, type TeecClient, TeecContractError } from "./libteec.ts";
import {
  CONTEXT_LENGTH,
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

const noHeader = await compilerUnavailable(["tee_client_api.h"]);
const noSubstitute = await teecUnavailable();
const TA = "cb8899bc-da92-4080-89e4-57a9dfcead58";
const NONE = new Uint8Array(0);

Deno.test({
  name: "the layout is that of tee_client_api.h" +
    (noHeader === undefined ? "" : ` (skipped: ${noHeader}; make test-optee has it)`),
  ignore: noHeader !== undefined,
  fn: async () => {
    const expected = {
      "sizeof(TEEC_Context)": CONTEXT_LENGTH,
      "sizeof(TEEC_Session)": SESSION_LENGTH,
      "sizeof(TEEC_UUID)": UUID_LENGTH,
      "sizeof(TEEC_Operation)": OPERATION.length,
      "offsetof(TEEC_Operation, paramTypes)": OPERATION.paramTypesAt,
      "offsetof(TEEC_Operation, params)": OPERATION.paramsAt,
      "sizeof(TEEC_Parameter)": OPERATION.paramLength,
      "offsetof(TEEC_Parameter, tmpref.buffer)": TMPREF.bufferAt,
      "offsetof(TEEC_Parameter, tmpref.size)": TMPREF.sizeAt,
      "sizeof(((TEEC_Parameter *)0)->tmpref.size)": 8,
      "offsetof(TEEC_Parameter, value.a)": VALUE.aAt,
      "offsetof(TEEC_Parameter, value.b)": VALUE.bAt,
      TEEC_NONE: PARAM.none,
      TEEC_VALUE_INPUT: PARAM.valueInput,
      TEEC_MEMREF_TEMP_INPUT: PARAM.tmprefInput,
      TEEC_MEMREF_TEMP_OUTPUT: PARAM.tmprefOutput,
      "TEEC_PARAM_TYPES(0, 0, 0, 1)": 1 << 12,
      TEEC_LOGIN_PUBLIC: LOGIN_PUBLIC,
      TEEC_SUCCESS: TEEC_SUCCESS,
      TEEC_ERROR_SHORT_BUFFER: TEEC_ERROR_SHORT_BUFFER,
      TEEC_ERROR_TARGET_DEAD: TEEC_ERROR_TARGET_DEAD,
    };
    const names = Object.keys(expected);
    const lines = names.map((name) => `printf("%llu\\n", (unsigned long long)(${name}));`);
    const output = await compileAndRun(
      `#include <stddef.h>\n#include <stdio.h>\n#include <tee_client_api.h>\n` +
        `int main(void) { ${lines.join("\n")} return 0; }`,
    );
    const found = output.trim().split("\n").map(Number);
    assertEquals(Object.fromEntries(names.map((name, index) => [name, found[index]])), expected);
  },
});

Deno.test("uuidStruct() is TEEC_UUID in this machine's order", () => {
  assertEquals(uuidStruct(TA).toHex(), "bc9988cb92da804089e457a9dfcead58");
  for (const text of ["", TA.toUpperCase(), `${TA}0`, TA.replaceAll("-", "")]) {
    assertThrows(() => uuidStruct(text), TypeError);
  }
});

Deno.test("loadLibteec() says of every name why not", () => {
  const error = assertThrows(() => loadLibteec(["/nowhere/a.so", "/nowhere/b.so"]), Error);
  assert(error.message.includes("a.so") && error.message.includes("b.so"), error.message);
});

const INFO = { command: 0, inputs: [NONE, NONE] as const, value: undefined, capacity: 152 };

function test(
  name: string,
  fn: (client: TeecClient, device: Awaited<ReturnType<typeof makeTeeDevice>>) => Promise<void>,
): void {
  Deno.test({
    name: `libteec: ${name}${noSubstitute === undefined ? "" : ` (skipped: ${noSubstitute})`}`,
    ignore: noSubstitute !== undefined,
    fn: async () => {
      const library = await buildTeec();
      await using device = await makeTeeDevice();
      using client = loadLibteec([library]);
      assertEquals(client.open(device.path, TA).result, TEEC_SUCCESS);
      await fn(client, device);
    },
  });
}

test("invoke() gives what the TA wrote, and a larger buffer where it asks for one", (client) => {
  const exact = client.invoke(INFO);
  assertEquals([exact.result, exact.data.length, exact.origin], [TEEC_SUCCESS, 152, 4]);
  for (const capacity of [1, 151, 4096]) {
    assertEquals(client.invoke({ ...INFO, capacity }).data, exact.data);
  }
  return Promise.resolve();
});

test("invoke() refuses a library that breaks its contract", async (client, device) => {
  await device.setFault({ call: "invoke", beyond: 1 });
  assertThrows(() => client.invoke(INFO), TeecContractError, "beyond its buffer");
  await device.setFault({ call: "invoke", size: 153 });
  assertThrows(() => client.invoke(INFO), TeecContractError, "says 153 bytes of 152");
  const huge = { call: "invoke", result: TEEC_ERROR_SHORT_BUFFER, size: 1e15 } as const;
  await device.setFault(huge);
  assertThrows(() => client.invoke(INFO), TeecContractError, "wants");
  await device.setFault({ ...huge, size: 153 });
  assertEquals(client.invoke(INFO).result, TEEC_ERROR_SHORT_BUFFER, "asked for more twice");
});

test("invoke() opens a new session, once, for a TA that died", async (client, device) => {
  await device.setFault({ call: "invoke", result: TEEC_ERROR_TARGET_DEAD, once: true });
  assertEquals(client.invoke(INFO).result, TEEC_SUCCESS);
  await device.setFault({ call: "invoke", result: TEEC_ERROR_TARGET_DEAD });
  const dead = client.invoke(INFO);
  assertEquals([dead.result, dead.origin], [TEEC_ERROR_TARGET_DEAD, 3]);
  await device.setFault(undefined);
  assertEquals(client.invoke(INFO).result, TEEC_SUCCESS);
});

test("nothing is called before open() or after disposal", async (client, device) => {
  assertThrows(() => client.open(device.path, TA), Error, "open");
  client[Symbol.dispose]();
  client[Symbol.dispose]();
  assertThrows(() => client.invoke(INFO), Error, "closed");
  assertThrows(() => client.open(device.path, TA), Error, "closed");
  using fresh = loadLibteec([await buildTeec()]);
  assertThrows(() => fresh.invoke(INFO), Error, "loaded");
  assertThrows(() => fresh.open("a\0b", TA), TypeError);
  assertEquals(fresh.open("/nowhere", TA), { result: 0xffff0008, origin: 0, data: NONE });
  assertThrows(() => client.invoke({ ...INFO, capacity: 0 }), RangeError);
});
