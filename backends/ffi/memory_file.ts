/** A file in memory alone (memfd_create(2)), so that what was hashed is what is loaded. Linux. */

const SYMBOLS = {
  // int memfd_create(const char *name, unsigned int flags);
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const MFD_CLOEXEC = 1;

export interface MemoryFile extends Disposable {
  /** Names the file while it is open, to this process alone. */
  readonly path: string;
}

/** @throws {Error} where the kernel gives no such file */
export function makeMemoryFile(name: string, data: Uint8Array): MemoryFile {
  const libc = Deno.dlopen("libc.so.6", SYMBOLS);
  const fd = libc.symbols.memfd_create(new TextEncoder().encode(`${name}\0`), MFD_CLOEXEC);
  if (fd < 0) {
    libc.close();
    throw new Error("memfd_create failed");
  }
  const path = `/proc/self/fd/${fd}`;
  const end = (): void => {
    libc.symbols.close(fd);
    libc.close();
  };
  try {
    Deno.writeFileSync(path, data, { create: false });
  } catch (error) {
    end();
    throw error;
  }
  return { path, [Symbol.dispose]: end };
}
