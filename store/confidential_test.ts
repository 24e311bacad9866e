import { assert, assertEquals } from "@std/assert";
import { commit, openTestStore, put } from "../tests/fakes/test_store.ts";
import { openSqliteLog } from "./logs/sqlite.ts";

function find(haystack: Uint8Array, needle: Uint8Array): number {
  outer: for (let i = haystack.indexOf(needle[0]!); i !== -1;) {
    for (let j = 1; j < needle.length; j++) {
      if (haystack[i + j] !== needle[j]) {
        i = haystack.indexOf(needle[0]!, i + 1);
        continue outer;
      }
    }
    return i;
  }
  return -1;
}

Deno.test("no key name and no value can be found in the data directory", async () => {
  const folder = await Deno.makeTempDir();
  const name = "/registry/secrets/kube-system/bootstrap-token";
  const value = "correct horse battery staple ".repeat(20);
  const needles = ["bootstrap", "registry", "horse", "lane", "token"]
    .map((one) => new TextEncoder().encode(one));
  try {
    const searched: string[] = [];
    const search = async () => {
      for await (const file of Deno.readDir(folder)) {
        const content = await Deno.readFile(`${folder}/${file.name}`);
        searched.push(file.name);
        for (const needle of needles) {
          assertEquals(find(content, needle), -1, `${file.name} shows a name or a value`);
        }
      }
    };
    {
      await using store = await openTestStore({
        log: openSqliteLog({ path: `${folder}/store.db` }),
      });
      for (const keyspace of ["system", "k8s", "etcd"] as const) {
        await commit(store, put(keyspace, name, value));
        await commit(store, put(keyspace, name, value + value), put(keyspace, "lane", "token"));
      }
      await store.compact("etcd", 3);
      await search();
    }
    await search();
    assert(searched.includes("store.db") && searched.includes("store.db-wal"));
    // The search itself finds what is there.
    await Deno.writeTextFile(`${folder}/plain`, `....${value}`);
    assert(find(await Deno.readFile(`${folder}/plain`), needles[2]!) > 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
