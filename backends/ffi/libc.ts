/**
 * The C library's calls for devices, with errno. errno is right only when `__errno_location` is the
 * very next synchronous call on the same thread, so everything here is synchronous and is used in a
 * Worker (device_worker.ts): an ioctl of a security processor may take a minute.
 */

const SYMBOLS = {
  // int open(const char *path, int flags, ...);
  open: { parameters: ["buffer", "i32"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
  // int ioctl(int fd, unsigned long request, ...); variadic, but the ABIs of x86-64 and aarch64
  // Linux pass the third argument as a fixed one
  ioctl: { parameters: ["i32", "usize", "buffer"], result: "i32" },
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;

/** Result of a call: `errno` is 0 where it succeeded. */
export interface CallResult {
  readonly value: number;
  readonly errno: number;
}

/** The address of buffer `to` is written as u64 little-endian into buffer `from` at `at`. */
export interface BufferLink {
  readonly from: number;
  readonly at: number;
  readonly to: number;
}

export interface Libc extends Disposable {
  /** open(2), read and write, close-on-exec. */
  open(path: string): CallResult;
  close(fd: number): CallResult;
  /**
   * ioctl(2) with `buffers[0]` as its argument; `links` make the others reachable from it. No address
   * outlives the call: links are zeroed again before it returns.
   */
  ioctl(
    fd: number,
    request: number,
    buffers: readonly Uint8Array<ArrayBuffer>[],
    links: readonly BufferLink[],
  ): CallResult;
}

/**
 * @param path of a library with these functions; glibc unless told
 * @throws {Error} where it cannot be loaded
 */
export function openLibc(path = "libc.so.6"): Libc {
  const library = Deno.dlopen(path, SYMBOLS);
  const { symbols } = library;

  function result(value: number): CallResult {
    if (value >= 0) return { value, errno: 0 };
    const location = symbols.__errno_location();
    if (location === null) return { value, errno: -1 };
    return { value, errno: new Deno.UnsafePointerView(location).getInt32() };
  }

  return {
    open(path) {
      if (path.includes("\0")) throw new TypeError("a path with a NUL in it");
      return result(symbols.open(new TextEncoder().encode(`${path}\0`), O_RDWR | O_CLOEXEC));
    },
    close: (fd) => result(symbols.close(fd)),
    ioctl(fd, request, buffers, links) {
      const [argument] = buffers;
      if (argument === undefined) throw new RangeError("an ioctl without an argument");
      const places = links.map(({ from, at, to }) => {
        const source = buffers[from];
        const target = buffers[to];
        if (source === undefined || target === undefined || target.length === 0) {
          throw new RangeError(`link ${from} to ${to}: there is no such buffer`);
        }
        if (at < 0 || at + 8 > source.length) {
          throw new RangeError(`link at ${at} is outside of buffer ${from}`);
        }
        const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
        view.setBigUint64(at, Deno.UnsafePointer.value(Deno.UnsafePointer.of(target)), true);
        return { view, at };
      });
      try {
        return result(symbols.ioctl(fd, BigInt(request), argument));
      } finally {
        for (const { view, at } of places) view.setBigUint64(at, 0n, true);
      }
    },
    [Symbol.dispose]: () => library.close(),
  };
}
