// @ts-types="./http_status.d.ts"
export { STATUS_CODE, STATUS_TEXT } from "deno-std/http/status.js";
export type { StatusCode } from "./http_status.d.ts";
