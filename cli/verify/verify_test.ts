import { assert, assertEquals, assertRejects } from "@std/assert";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { makeNode, type TestNode } from "../../tests/pki/node.ts";
import { pem } from "../../tests/pki/intel_der.ts";
import { makeCertificate, makeKey, type TestKey } from "../../tests/pki/pki.ts";
import { SNP_NOW } from "../../tests/pki/snp.ts";
import { createWebCryptoVerifier } from "../../backends/signatures.ts";
import { vendorRoots } from "../../backends/verification.ts";
import { UsageError } from "../command.ts";
import { fetchAttestation } from "../client/fetch_attestation.ts";
import { policyCommand } from "./policy.ts";
import { verifyCommand, type VerifyIo } from "./verify.ts";
import { parseVerifyArgs } from "./args.ts";

const POLICY = JSON.stringify({
  version: 1,
  id: "test",
  sevSnp: { measurements: ["11".repeat(48)], minimumTcb: "any", crl: "if_given" },
});
const NONCE = new Uint8Array(32).fill(9);

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function world(node: TestNode, files: Record<string, Uint8Array<ArrayBuffer> | string>) {
  const all: Record<string, Uint8Array<ArrayBuffer> | string> = {
    "policy.jsonc": POLICY,
    ...files,
  };
  return async (
    command: typeof verifyCommand | typeof policyCommand,
    ...args: string[]
  ): Promise<Run> => {
    let out = "";
    let err = "";
    const io: VerifyIo = {
      stdout: (text) => void (out += text),
      stderr: (text) => void (err += text),
      now: () => SNP_NOW,
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      fetchAttestation,
      readFile: (path) => {
        const file = all[path];
        if (file === undefined) return Promise.reject(new Deno.errors.NotFound("no such file"));
        return Promise.resolve(typeof file === "string" ? new TextEncoder().encode(file) : file);
      },
      listFolder: () => Promise.resolve(undefined),
      signatures: createWebCryptoVerifier(),
      roots: { ...vendorRoots(), amd: node.roots },
    };
    const code = await command(args, io);
    return { code, out, err };
  };
}

Deno.test("verifyCommand() judges a bundle from a file: exit code 0 only for affirming", async () => {
  const node = await makeNode();
  const run = world(node, { "bundle.json": JSON.stringify(await node.answer(NONCE)) });
  const good = await run(
    verifyCommand,
    "bundle.json",
    "--policy",
    "policy.jsonc",
    "--nonce",
    NONCE.toHex(),
  );
  assertEquals([good.code, good.err], [0, ""]);
  assert(good.out.startsWith("AFFIRMING"), good.out);
  assert(/^✓ covers +image/m.test(good.out), good.out);
  assert(/^– crl/m.test(good.out), good.out);
  const other = await run(
    verifyCommand,
    "bundle.json",
    "--policy",
    "policy.jsonc",
    "--nonce",
    "00".repeat(32),
  );
  assertEquals(other.code, 1);
  assert(
    other.out.startsWith("REFUSED") && other.out.includes("nonce (nonce_mismatch)"),
    other.out,
  );
  const none = await run(verifyCommand, "bundle.json", "--policy", "policy.jsonc");
  assertEquals(none.code, 1);
  assert(none.out.startsWith("NOT AFFIRMED") && none.out.includes("✗ nonce"), none.out);
  const later = await run(
    verifyCommand,
    "bundle.json",
    "--policy",
    "policy.jsonc",
    "--nonce",
    NONCE.toHex(),
    "--at",
    "2040-01-01T00:00:00Z",
  );
  assertEquals(later.code, 1);
  assert(later.out.includes("expired"), later.out);
});

Deno.test("verifyCommand() --json prints an attestation result", async () => {
  const node = await makeNode();
  const run = world(node, { "bundle.json": JSON.stringify(await node.answer(NONCE)) });
  const { code, out } = await run(
    verifyCommand,
    "bundle.json",
    "--policy=policy.jsonc",
    "--nonce",
    NONCE.toHex(),
    "--json",
  );
  assertEquals(code, 0);
  const result = JSON.parse(out);
  assertEquals(result["ear.status"], "affirming");
  assertEquals(result["ear.appraisal-policy-id"], "test");
  assertEquals(result.failures, []);
  assertEquals(result.iat, SNP_NOW / 1000);
  assertEquals(result.exp, SNP_NOW / 1000 + 300);
  assertEquals(result.claims.node.covers, "image");
  assert(
    /^[0-9a-f]{64}$/.test(result.policy_digest) && /^[0-9a-f]{64}$/.test(result.evidence_digest),
  );
});

Deno.test("verifyCommand() takes raw evidence in binary, base64 and hex, its certificates in any file", async () => {
  const node = await makeNode();
  const { evidence } = await node.answer(NONCE);
  const report = Uint8Array.fromBase64(evidence.data);
  const vcek = Uint8Array.fromBase64(evidence.endorsements[0]?.data ?? "");
  const run = world(node, {
    "report.bin": report,
    "report.b64": `${evidence.data.slice(0, 70)}\n${evidence.data.slice(70)}\n`,
    "report.hex": report.toHex(),
    "vcek.der": vcek,
    "vcek.pem": pem("CERTIFICATE", vcek),
  });
  const data = report.slice(0x50, 0x90).toHex();
  const common = ["--policy", "policy.jsonc", "--report-data", data];
  for (
    const args of [
      ["report.bin", "vcek.der"],
      ["report.b64", "--endorsements", "vcek.pem"],
      ["--endorsements", "vcek.der", "--tee", "sev-snp", "report.hex"],
      ["vcek.pem", "report.bin"],
      ["--tee", "snp", "report.b64", "--collateral", "vcek.der"],
    ]
  ) assertEquals((await run(verifyCommand, ...args, ...common)).code, 0, args.join(" "));
  assertEquals((await run(verifyCommand, "report.bin", ...common)).code, 1);
  await assertRejects(
    () => run(verifyCommand, "report.bin", "report.hex", ...common),
    UsageError,
    "two pieces",
  );
  await assertRejects(() => run(verifyCommand, "vcek.der", ...common), UsageError, "no evidence");
  await assertRejects(
    () => run(verifyCommand, "missing.bin", ...common),
    UsageError,
    "missing.bin",
  );
});

async function serve(
  key: TestKey | undefined,
  certificate: Uint8Array,
  answer: (nonce: Uint8Array<ArrayBuffer>) => Promise<{ status: number; body: string }>,
): Promise<{ origin: string; close(): Promise<void> }> {
  const handler = async (
    request: { url?: string | undefined },
    response: { writeHead(status: number): void; end(body: string): void },
  ) => {
    const nonce = Uint8Array.fromHex(
      new URL(request.url ?? "/", "http://x").searchParams.get("nonce") ?? "",
    );
    const { status, body } = await answer(nonce);
    response.writeHead(status);
    response.end(body);
  };
  const server = key === undefined ? createHttpServer(handler) : createHttpsServer({
    key: pem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", key.privateKey))),
    cert: pem("CERTIFICATE", certificate),
  }, handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address() as AddressInfo | null;
  return {
    origin: `${key === undefined ? "http" : "https"}://127.0.0.1:${address?.port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

Deno.test("verifyCommand() asks a node over TLS with a fresh nonce and compares its key", async () => {
  const node = await makeNode();
  const run = world(node, {});
  const nonces: string[] = [];
  const answer = async (nonce: Uint8Array<ArrayBuffer>) => {
    nonces.push(nonce.toHex());
    return { status: 200, body: JSON.stringify(await node.answer(nonce)) };
  };
  const honest = await serve(node.tlsKey, node.tlsCertificate, answer);
  for (let i = 0; i < 2; i++) {
    const { code, out } = await run(verifyCommand, honest.origin, "--policy", "policy.jsonc");
    assertEquals(code, 0, out);
    assert(/^✓ tls_peer/m.test(out), out);
  }
  await honest.close();
  assertEquals(new Set(nonces).size, 2);
  assertEquals(nonces[0]?.length, 64);

  const strange = await makeKey("P-256");
  const span = { notBefore: SNP_NOW - 1e10, notAfter: SNP_NOW + 1e10 };
  const certificate = await makeCertificate({
    subject: "x",
    issuer: "x",
    key: strange,
    issuerKey: strange,
    ...span,
  });
  const relay = await serve(strange, certificate, answer);
  const { code, out } = await run(verifyCommand, relay.origin, "--policy", "policy.jsonc");
  await relay.close();
  assertEquals(code, 1);
  assert(out.includes("tls_peer (tls_peer_mismatch)"), out);
});

Deno.test("verifyCommand() over plain HTTP says so, and only asks this machine unless told otherwise", async () => {
  const node = await makeNode();
  const run = world(node, {});
  const server = await serve(
    undefined,
    new Uint8Array(0),
    async (nonce) => ({ status: 200, body: JSON.stringify(await node.answer(nonce)) }),
  );
  const { code, err, out } = await run(verifyCommand, server.origin, "--policy", "policy.jsonc");
  await server.close();
  assertEquals(code, 0, out);
  assert(err.includes("plain HTTP") && /^– tls_peer/m.test(out), err + out);
  await assertRejects(
    () => run(verifyCommand, "http://192.0.2.1:8080", "--policy", "policy.jsonc"),
    UsageError,
    "--insecure-transport",
  );
});

Deno.test("verifyCommand() tells a node that refuses, is not there, or answers nonsense, from a verdict", async () => {
  const node = await makeNode();
  const run = world(node, {});
  for (const [status, body, wanted] of [[429, "", "budget"], [500, "", "answered 500"]] as const) {
    const server = await serve(
      node.tlsKey,
      node.tlsCertificate,
      () => Promise.resolve({ status, body }),
    );
    const { code, err } = await run(verifyCommand, server.origin, "--policy", "policy.jsonc");
    await server.close();
    assertEquals(code, 3);
    assert(err.includes(wanted), err);
  }
  const nonsense = await serve(
    node.tlsKey,
    node.tlsCertificate,
    () => Promise.resolve({ status: 200, body: "<html>" }),
  );
  await assertRejects(
    () => run(verifyCommand, nonsense.origin, "--policy", "policy.jsonc"),
    UsageError,
    "not JSON",
  );
  await nonsense.close();
  const { code, err } = await run(verifyCommand, nonsense.origin, "--policy", "policy.jsonc");
  assertEquals(code, 3);
  assert(err.includes("cannot be reached"), err);
});

Deno.test("parseVerifyArgs() refuses what it does not understand", () => {
  const refuse = (text: string, named: string) => {
    let message = "";
    try {
      parseVerifyArgs(text.split(" ").filter((part) => part !== ""));
    } catch (error) {
      assert(error instanceof UsageError);
      message = error.message;
    }
    assert(message.includes(named), `"${text}" gave "${message}"`);
  };
  refuse("f", "--policy is missing");
  refuse("--policy p", "FILE");
  refuse("f --policy", "--policy wants a value");
  refuse("f --policy p --policy q", "2 times");
  refuse("f --policy p --polcy q", "--policy?");
  refuse("f --policy p --tee arm", "--tee");
  refuse("f --policy p --nonce xyz", "--nonce");
  refuse("f --policy p --nonce 0", "--nonce");
  refuse(`f --policy p --nonce ${"00".repeat(513)}`, "--nonce");
  refuse("f --policy p --report-data 00", "--report-data");
  refuse(`f --policy p --nonce 00 --report-data ${"00".repeat(64)}`, "either");
  refuse("f --policy p --at yesterday", "--at");
  refuse("f --policy p --at 2026-13-01T00:00:00Z", "--at");
  refuse("f --policy p --json=1", "--json");
  refuse("f --policy p --endorsements", "--endorsements");
  refuse("https://a:1 f --policy p", "one URL");
  refuse("https://a:1/x --policy p", "HOST:PORT");
  refuse("https://a:1 --policy p --nonce 00", "fresh nonce");
  const parsed = parseVerifyArgs([
    "a",
    "--endorsements",
    "b",
    "c",
    "--policy",
    "p",
    "--collateral",
    "d",
    "--",
    "-e",
  ]);
  assertEquals([parsed.files, parsed.endorsements, parsed.collateral], [["a", "-e"], ["b", "c"], [
    "d",
  ]]);
});

Deno.test("policyCommand() writes a policy from a node that the node then meets, and checks it", async () => {
  const node = await makeNode();
  const files: Record<string, string> = { "bundle.json": JSON.stringify(await node.answer(NONCE)) };
  const { code, out } = await world(node, files)(policyCommand, "init", "--from", "bundle.json");
  assertEquals(code, 0);
  files["mine.jsonc"] = out;
  const run = world(node, files);
  const verdict = await run(
    verifyCommand,
    "bundle.json",
    "--policy",
    "mine.jsonc",
    "--nonce",
    NONCE.toHex(),
  );
  assertEquals(verdict.code, 0, verdict.out);
  const checked = await run(policyCommand, "check", "mine.jsonc");
  assertEquals(checked.code, 1);
  assert(checked.out.includes("✗ sevSnp.crl"), checked.out);
  await assertRejects(() => run(policyCommand, "check", "bundle.json"), UsageError, "policy");
  await assertRejects(() => run(policyCommand, "make"), UsageError, "init, check");
  await assertRejects(() => run(policyCommand, "init"), UsageError, "--from");
});
