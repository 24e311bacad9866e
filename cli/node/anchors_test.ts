import { assertEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../../config.ts";
import { createMemoryLog } from "../../store/mod.ts";
import { openTestStore } from "../../tests/fakes/test_store.ts";
import { anchorsOf } from "./anchors.ts";

const counter = () => {
  let value = 0n;
  return {
    read: () => Promise.resolve(value),
    increment: () => Promise.resolve(++value),
  };
};

const config = (anchorFile?: string) => ({ acceptLostAnchor: false, anchorFile, dataDir: "/d/n" });

Deno.test("anchorsOf() claims nothing of what goes back with the data directory", async () => {
  const anchors = anchorsOf({ kind: "SIMULATION", counter: counter() }, config());
  await using store = await openTestStore({ log: createMemoryLog(), anchors });
  const { protection, anchoredSequence } = store.stats().freshness;
  assertEquals([protection, anchoredSequence], ["none", undefined]);
});

Deno.test("anchorsOf() counts an anchor file by where it lies, hardware's counter against the host", () => {
  const levels = (path: string) =>
    anchorsOf({ kind: "SIMULATION", counter: undefined }, config(path)).records
      ?.map(({ protection }) => protection);
  for (const inside of ["/d/n/anchor", "/d/n/run/../a/b", "/d/n/..anchor"]) {
    assertEquals(levels(inside), ["none"], inside);
  }
  for (const outside of ["/d/anchor", "/d/n2/anchor", "/d/n/../anchor", "/usb/anchor"]) {
    assertEquals(levels(outside), ["accident"], outside);
  }
  const hardware = anchorsOf({ kind: "SEV", counter: counter() }, config());
  assertEquals(hardware.counter?.protection, "host");
});

Deno.test("anchorsOf() lets the host let go of no anchor on hardware", () => {
  const given = { ...config("/usb/anchor"), acceptLostAnchor: true };
  assertThrows(() => anchorsOf({ kind: "SEV", counter: undefined }, given), ConfigError);
  assertEquals(anchorsOf({ kind: "SIMULATION", counter: undefined }, given).acceptLost, true);
});
