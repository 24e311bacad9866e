import { assertEquals, assertThrows } from "@std/assert";
import { parseAdminKey } from "./public_key.ts";

const SPKI = "MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";
const SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

Deno.test("parseAdminKey() takes base64 SPKI, PEM and OpenSSH for the same key", () => {
  const forms = [
    SPKI,
    `  ${SPKI}\n`,
    `-----BEGIN PUBLIC KEY-----\n${SPKI}\n-----END PUBLIC KEY-----\n`,
    SSH,
    `${SSH} admin@example\n`,
  ];
  for (const form of forms) assertEquals(parseAdminKey(form), SPKI);
});

Deno.test("parseAdminKey() refuses whatever else there is", () => {
  const zero = new Uint8Array([
    ...Uint8Array.fromHex("302a300506032b6570032100"),
    1,
    ...Array(31).fill(0),
  ]);
  const refused: unknown[] = [
    "",
    7,
    SPKI.slice(0, -4),
    `A${SPKI.slice(1)}`,
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB",
    `${SSH.slice(0, -4)}`,
    `${SSH}\n${SSH}`,
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAEB\n-----END PRIVATE KEY-----",
    `-----BEGIN PUBLIC KEY-----\n${SPKI}`,
    zero.toBase64(),
    "x".repeat(5_000),
  ];
  for (const value of refused) {
    assertThrows(() => parseAdminKey(value), Error, undefined, String(value));
  }
});
