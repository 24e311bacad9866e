// The npm republication of @std/assert carries no types; the declarations beside this file do.
// @ts-types="./assert.d.ts"
export * from "deno-std/assert/mod.js";
