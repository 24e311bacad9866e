import { assert, assertEquals, assertRejects } from "@std/assert";
import { type IssuedTlsFiles, openEtcdAuthority } from "../../api/etcd/mod.ts";
import { loadConfig } from "../../config.ts";
import { openTestStore } from "../../tests/fakes/test_store.ts";
import { openEtcdCertificates } from "./etcd_certificates.ts";
import { systemRandom } from "../random.ts";
import { ConfigError } from "../../config.ts";

const DAY_MS = 86_400_000;

async function issued(nowMs: () => number = Date.now) {
  await using store = await openTestStore();
  const authority = await openEtcdAuthority({
    store,
    clock: nowMs,
    random: systemRandom,
    names: [],
  });
  return { authority, files: authority.listenerFiles() };
}

function configOf(env: Record<string, string> = {}) {
  return loadConfig({ flags: {}, env, isRoot: true, hostName: "test" });
}

async function write(directory: string, files: IssuedTlsFiles) {
  const paths = {
    NAUTILUS_ETCD_CERT_FILE: `${directory}/server.crt`,
    NAUTILUS_ETCD_KEY_FILE: `${directory}/server.key`,
    NAUTILUS_ETCD_CLIENT_CA_FILE: `${directory}/ca.crt`,
  };
  await Deno.writeTextFile(paths.NAUTILUS_ETCD_CERT_FILE, files.certificate);
  await Deno.writeTextFile(paths.NAUTILUS_ETCD_KEY_FILE, files.key);
  await Deno.writeTextFile(paths.NAUTILUS_ETCD_CLIENT_CA_FILE, files.clientAuthorities);
  return paths;
}

Deno.test("openEtcdCertificates() renews the own CA's certificate after two thirds of its time", async () => {
  let now = Date.UTC(2026, 0, 1);
  const { authority } = await issued(() => now);
  const certificates = await openEtcdCertificates(configOf(), authority, () => now);
  assertEquals(await certificates.renewed(), undefined);
  now += 244 * DAY_MS;
  const next = await certificates.renewed();
  assert(next !== undefined && next.certificate !== certificates.first.certificate);
  assertEquals(next.key, certificates.first.key);
  assertEquals(await certificates.renewed(), undefined);
});

Deno.test("openEtcdCertificates() takes what stands in the files, and what stands there later", async () => {
  const directory = await Deno.makeTempDir();
  let now = 0;
  const [one, other] = [await issued(), await issued()];
  const config = configOf(await write(directory, one.files));
  const certificates = await openEtcdCertificates(config, one.authority, () => now);
  assertEquals(certificates.first.certificate, one.files.certificate);
  await write(directory, other.files);
  assertEquals(await certificates.renewed(), undefined);
  now += 60_000;
  assertEquals((await certificates.renewed())?.certificate, other.files.certificate);
  // Half a change: said once, then left alone until the files change again.
  await Deno.writeTextFile(`${directory}/server.key`, one.files.key);
  now += 60_000;
  const error = await assertRejects(() => certificates.renewed(), ConfigError);
  assert(error.message.includes("is not the key of the certificate"), error.message);
  now += 60_000;
  assertEquals(await certificates.renewed(), undefined);
  await write(directory, one.files);
  now += 60_000;
  assertEquals((await certificates.renewed())?.certificate, one.files.certificate);
  await Deno.remove(directory, { recursive: true });
});

Deno.test("openEtcdCertificates() refuses files that no handshake could use", async () => {
  const directory = await Deno.makeTempDir();
  const { authority, files } = await issued();
  const paths = await write(directory, files);
  const refusal = async (env: Record<string, string>) =>
    (await assertRejects(
      () => openEtcdCertificates(configOf(env), authority, Date.now),
      ConfigError,
    )).message;
  const { NAUTILUS_ETCD_KEY_FILE: _, ...two } = paths;
  assert((await refusal(two)).includes("go together"));
  for (
    const [path, part] of [
      [paths.NAUTILUS_ETCD_CERT_FILE, "no PEM certificate"],
      [paths.NAUTILUS_ETCD_KEY_FILE, "no unencrypted PEM private key"],
      [paths.NAUTILUS_ETCD_CLIENT_CA_FILE, "no PEM certificate"],
    ] as const
  ) {
    await write(directory, files);
    await Deno.writeTextFile(path, "garbage");
    const message = await refusal(paths);
    assert(message.includes(path) && message.includes(part), message);
    await Deno.remove(path);
    assert((await refusal(paths)).includes(path));
  }
  await write(directory, files);
  await Deno.writeTextFile(
    paths.NAUTILUS_ETCD_CERT_FILE,
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
  );
  assert((await refusal(paths)).includes("certificate 1 cannot be read"));
  await Deno.remove(directory, { recursive: true });
});
