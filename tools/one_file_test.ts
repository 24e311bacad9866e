import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { packOneFile, readLayout } from "./one_file.ts";

const bytes = (max: number) => fc.uint8Array({ maxLength: max });

Deno.test("packOneFile() and readLayout() give every part back at a mappable offset", () => {
  fc.assert(
    fc.property(
      bytes(70_000),
      bytes(9000),
      bytes(9000),
      (launcher, runtime, bundle) => {
        const file = packOneFile({ launcher, runtime, bundle });
        const layout = readLayout(file);
        if (layout === undefined) throw new Error("no layout");
        const { runtimeOffset, runtimeSize, bundleOffset, bundleSize } = layout;
        assertEquals(file.slice(0, launcher.length), new Uint8Array(launcher));
        assertEquals(
          file.slice(runtimeOffset, runtimeOffset + runtimeSize),
          new Uint8Array(runtime),
        );
        assertEquals(
          file.slice(bundleOffset, bundleOffset + bundleSize),
          new Uint8Array(bundle),
        );
        assertEquals(runtimeOffset % 65_536, 0);
      },
    ),
    { numRuns: 30 },
  );
});

Deno.test("readLayout() refuses a file that was cut, grew or is of another form", () => {
  const part = new Uint8Array(100).fill(1);
  const file = packOneFile({ launcher: part, runtime: part, bundle: part });
  assertEquals(readLayout(file.subarray(0, file.length - 1)), undefined);
  assertEquals(readLayout(new Uint8Array([...file, 0])), undefined);
  assertEquals(readLayout(file.subarray(1)), undefined);
  assertEquals(readLayout(part), undefined);
  assertEquals(readLayout(new Uint8Array(3)), undefined);
});
