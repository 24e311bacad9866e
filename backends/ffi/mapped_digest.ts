/**
 * SHA-384 over a whole file in one call on one of Deno's blocking threads: the file is mapped, not
 * read, so that nothing waits for the event loop, which is busy loading modules when a program starts.
 * Only for files that cannot shrink meanwhile, such as a running program's own: reading a mapped page
 * that is gone ends the process. Everything else goes through file_digest.ts.
 */

const CRYPTO_LIBRARIES = ["libcrypto.so.3", "libcrypto.so.1.1"];

const CRYPTO = {
  // EVP_MD_CTX *EVP_MD_CTX_new(void);
  EVP_MD_CTX_new: { parameters: [], result: "pointer" },
  // void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
  EVP_MD_CTX_free: { parameters: ["pointer"], result: "void" },
  // const EVP_MD *EVP_sha384(void);
  EVP_sha384: { parameters: [], result: "pointer" },
  // int EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *type, ENGINE *impl);
  EVP_DigestInit_ex: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
  // int EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *d, size_t cnt);
  EVP_DigestUpdate: { parameters: ["pointer", "buffer", "usize"], result: "i32" },
  updateWithMapping: {
    name: "EVP_DigestUpdate",
    parameters: ["pointer", "pointer", "usize"],
    result: "i32",
    nonblocking: true,
  },
  // int EVP_DigestFinal_ex(EVP_MD_CTX *ctx, unsigned char *md, unsigned int *s);
  EVP_DigestFinal_ex: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const LIBC = {
  // int open(const char *path, int flags, ...);
  open: { parameters: ["buffer", "i32"], result: "i32" },
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  // int munmap(void *addr, size_t length);
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const O_RDONLY_CLOEXEC = 0o2000000;
const PROT_READ = 1;
const MAP_PRIVATE = 2;

/**
 * Begins SHA-384 over LP(file) (WIRE: the length as u32 big-endian, then the bytes) and gives 48 bytes
 * later; `undefined` where no libcrypto can be loaded.
 *
 * @throws {RangeError} for an empty file or one of 4 GiB and more; {Error} when it cannot be mapped.
 */
export function beginMappedSha384(path: string): Promise<Uint8Array<ArrayBuffer>> | undefined {
  const crypto = openFirst(CRYPTO_LIBRARIES);
  if (crypto === undefined) return undefined;
  return digest(crypto, path);
}

async function digest(
  crypto: Deno.DynamicLibrary<typeof CRYPTO>,
  path: string,
): Promise<Uint8Array<ArrayBuffer>> {
  using cleanup = new DisposableStack();
  cleanup.defer(() => crypto.close());
  const { size } = Deno.statSync(path);
  if (size === 0 || size >= 2 ** 32) throw new RangeError(`${path} has ${size} bytes`);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, size);
  const mapping = mapFile(path, size, cleanup);
  const { symbols } = crypto;
  const context = symbols.EVP_MD_CTX_new();
  if (context === null) throw new Error("EVP_MD_CTX_new failed");
  cleanup.defer(() => symbols.EVP_MD_CTX_free(context));
  assertDone(symbols.EVP_DigestInit_ex(context, symbols.EVP_sha384(), null), "EVP_DigestInit_ex");
  assertDone(symbols.EVP_DigestUpdate(context, length, 4n), "EVP_DigestUpdate");
  assertDone(await symbols.updateWithMapping(context, mapping, BigInt(size)), "EVP_DigestUpdate");
  const out = new Uint8Array(48);
  assertDone(symbols.EVP_DigestFinal_ex(context, out, new Uint8Array(4)), "EVP_DigestFinal_ex");
  return out;
}

/** Maps the file for reading; `cleanup` unmaps it. */
function mapFile(path: string, size: number, cleanup: DisposableStack): Deno.PointerObject {
  const libc = Deno.dlopen("libc.so.6", LIBC);
  cleanup.defer(() => libc.close());
  const { symbols } = libc;
  const descriptor = symbols.open(new TextEncoder().encode(`${path}\0`), O_RDONLY_CLOEXEC);
  if (descriptor < 0) throw new Error(`${path} cannot be opened`);
  const at = symbols.mmap(null, BigInt(size), PROT_READ, MAP_PRIVATE, descriptor, 0n);
  symbols.close(descriptor);
  // MAP_FAILED is (void *) -1.
  if (at === null || Deno.UnsafePointer.value(at) === 2n ** 64n - 1n) {
    throw new Error(`${path} cannot be mapped`);
  }
  cleanup.defer(() => symbols.munmap(at, BigInt(size)));
  return at;
}

function assertDone(status: number, call: string): void {
  if (status !== 1) throw new Error(`${call} failed`);
}

function openFirst(names: readonly string[]): Deno.DynamicLibrary<typeof CRYPTO> | undefined {
  for (const name of names) {
    try {
      return Deno.dlopen(name, CRYPTO);
    } catch {
      continue; // not this one; none at all is an answer, and the caller has another way
    }
  }
  return undefined;
}
