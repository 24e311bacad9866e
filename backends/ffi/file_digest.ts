/**
 * SHA-384 over whole files without stopping the event loop: libcrypto hashes on Deno's blocking
 * threads while the next piece is read. 96 MB take 130-190 ms and 8 MB of memory; node:crypto on
 * this thread takes as long but stops everything, WebCrypto wants the file in one piece, a Worker
 * has to start first.
 */

/** The libraries tried, newest first; the functions used are in both. */
const LIBRARIES = ["libcrypto.so.3", "libcrypto.so.1.1"];

const SYMBOLS = {
  // EVP_MD_CTX *EVP_MD_CTX_new(void);
  EVP_MD_CTX_new: { parameters: [], result: "pointer" },
  // void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
  EVP_MD_CTX_free: { parameters: ["pointer"], result: "void" },
  // const EVP_MD *EVP_sha384(void);
  EVP_sha384: { parameters: [], result: "pointer" },
  // int EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *type, ENGINE *impl);
  EVP_DigestInit_ex: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
  // int EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *d, size_t cnt);
  EVP_DigestUpdate: {
    parameters: ["pointer", "buffer", "usize"],
    result: "i32",
    nonblocking: true,
  },
  // int EVP_DigestFinal_ex(EVP_MD_CTX *ctx, unsigned char *md, unsigned int *s);
  EVP_DigestFinal_ex: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** A running SHA-384. `update` resolves when the bytes were taken; one at a time. */
export interface AsyncSha384 extends Disposable {
  /** `data` must not change until this resolves. */
  update(data: Uint8Array<ArrayBuffer>): Promise<void>;
  /** 48 bytes; once, and nothing after it. */
  digest(): Uint8Array<ArrayBuffer>;
}

/** SHA-384 off this thread, or undefined where no libcrypto can be loaded. */
export function openAsyncSha384(): AsyncSha384 | undefined {
  const library = openLibrary();
  if (library === undefined) return undefined;
  const { symbols } = library;
  const context = symbols.EVP_MD_CTX_new();
  let state: "open" | "busy" | "closed" = "open";

  function take(next: "open" | "busy" | "closed"): void {
    if (state !== "open") throw new Error(`the digest is ${state}`);
    state = next;
  }
  function release(): void {
    symbols.EVP_MD_CTX_free(context);
    library?.close();
  }
  function assertDone(status: number, call: string): void {
    if (status !== 1) throw new Error(`${call} failed`);
  }

  try {
    if (context === null) throw new Error("EVP_MD_CTX_new failed");
    assertDone(
      symbols.EVP_DigestInit_ex(context, symbols.EVP_sha384(), null),
      "EVP_DigestInit_ex",
    );
  } catch (error) {
    release();
    throw error;
  }
  return {
    async update(data) {
      take("busy");
      try {
        assertDone(
          await symbols.EVP_DigestUpdate(context, data, BigInt(data.length)),
          "EVP_DigestUpdate",
        );
      } finally {
        state = "open";
      }
    },
    digest() {
      take("closed");
      const out = new Uint8Array(48);
      const status = symbols.EVP_DigestFinal_ex(context, out, new Uint8Array(4));
      release();
      assertDone(status, "EVP_DigestFinal_ex");
      return out;
    },
    [Symbol.dispose]() {
      if (state === "closed") return;
      take("closed"); // refuses while a call is in flight: freeing under it would be worse
      release();
    },
  };
}

function openLibrary(): Deno.DynamicLibrary<typeof SYMBOLS> | undefined {
  for (const name of LIBRARIES) {
    try {
      return Deno.dlopen(name, SYMBOLS);
    } catch {
      continue; // not this one; none at all is an answer, and the caller has another way
    }
  }
  return undefined;
}
