/** The built master as an etcd: Debian's etcdctl over the socket and over mutual TLS, and after kill -9. */
import { assertEquals, assertMatch } from "@std/assert";
import { asRecord, makePlace, runBinary, startMaster } from "./harness.ts";

async function installed(command: string): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args: ["version"], env: { ETCDCTL_API: "3" } })
      .output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const there = await installed("etcdctl");
const why = there ? "" : " (skipped: no etcdctl, Debian's etcd-client)";

async function etcdctl(cwd: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("etcdctl", {
    args,
    cwd,
    env: { ETCDCTL_API: "3" },
  }).output();
  const said = new TextDecoder().decode(stdout);
  assertEquals(code, 0, `${args.join(" ")}: ${said}${new TextDecoder().decode(stderr)}`);
  return said;
}

Deno.test({
  name: `serve is an etcd to etcdctl over its socket, and keeps what it acknowledged${why}`,
  ignore: !there,
  fn: async () => {
    await using place = await makePlace();
    const socket = ["--endpoints", "unix://etcd.sock"];
    const folder = `${place.data}/run`;
    {
      await using master = await startMaster(place);
      assertEquals(await etcdctl(folder, ...socket, "put", "greeting", "hello"), "OK\n");
      assertEquals((await master.end("SIGKILL")).signal, "SIGKILL");
    }
    await using _master = await startMaster(place);
    assertEquals(await etcdctl(folder, ...socket, "get", "greeting"), "greeting\nhello\n");
    assertEquals(((await Deno.stat(folder)).mode ?? 0) & 0o777, 0o700);
  },
});

Deno.test({
  name: `serve lets etcdctl in over TCP with a certificate of its own CA, and nobody else${why}`,
  ignore: !there,
  fn: async () => {
    await using place = await makePlace();
    await using master = await startMaster(place, [], { NAUTILUS_ETCD_LISTEN: "127.0.0.1:0" });
    const out = `${place.cwd}/client`;
    const made = await runBinary(place, ["etcd", "client-cert", "--name", "test", "--out", out]);
    assertEquals([made.code, made.stderr], [0, ""]);
    for (const file of ["ca.crt", "client.crt", "client.key"]) {
      assertEquals(((await Deno.stat(`${out}/${file}`)).mode ?? 0) & 0o777, 0o600);
    }
    const port = String(asRecord(master.endpoints)["etcd_listen"]).split(":").at(-1);
    const endpoint = ["--endpoints", `https://localhost:${port}`, "--cacert", "ca.crt"];
    const credentials = ["--cert", "client.crt", "--key", "client.key"];
    assertEquals(await etcdctl(out, ...endpoint, ...credentials, "put", "k", "v"), "OK\n");
    assertMatch(
      await etcdctl(out, ...endpoint, ...credentials, "endpoint", "health"),
      /is healthy|^$/,
    );
    const stranger = await new Deno.Command("etcdctl", {
      args: [...endpoint, "--dial-timeout", "1s", "--command-timeout", "2s", "get", "k"],
      cwd: out,
      env: { ETCDCTL_API: "3" },
    }).output();
    assertEquals(stranger.success, false);
  },
});
