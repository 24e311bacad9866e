import { assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { lengthPrefixed } from "../attestation.ts";
import { openAsyncSha384 } from "./file_digest.ts";
import { beginMappedSha384 } from "./mapped_digest.ts";

/** The two files know the same libraries: where one finds libcrypto, so does the other. */
const library = openAsyncSha384();
const hasLibrary = library !== undefined;
library?.[Symbol.dispose]();
const needsLibrary = hasLibrary ? "" : " (skipped: no libcrypto)";

Deno.test({
  name: `beginMappedSha384() is SHA-384 over the length-prefixed file${needsLibrary}`,
  ignore: !hasLibrary,
  fn: async () => {
    const path = await Deno.makeTempFile();
    try {
      for (const size of [1, 4095, 4096, 4097, 3_000_001]) {
        const bytes = new Uint8Array(size).map((_, index) => index * 31);
        await Deno.writeFile(path, bytes);
        const digest = await beginMappedSha384(path);
        const expected = createHash("sha384").update(lengthPrefixed(bytes)).digest("hex");
        assertEquals(digest?.toHex(), expected, `${size} bytes`);
      }
    } finally {
      await Deno.remove(path);
    }
  },
});

Deno.test({
  name: `beginMappedSha384() rejects an empty file and one that is not there${needsLibrary}`,
  ignore: !hasLibrary,
  fn: async () => {
    const path = await Deno.makeTempFile();
    try {
      await assertRejects(async () => await beginMappedSha384(path), RangeError, "0 bytes");
    } finally {
      await Deno.remove(path);
    }
    await assertRejects(async () => await beginMappedSha384(path), Deno.errors.NotFound);
  },
});
