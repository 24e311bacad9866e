/** An initial RAM filesystem: cpio in the "newc" format (Linux, buffer-format.rst). */

export interface Entry {
  readonly path: string;
  /** `folder`: no content. */
  readonly content: Uint8Array | "folder";
  /** Permission bits. */
  readonly mode?: number;
}

const FOLDER = 0o040000;
const FILE = 0o100000;

function padded(length: number): number {
  return (length + 3) & ~3;
}

function header(inode: number, mode: number, size: number, path: Uint8Array): Uint8Array {
  const fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, path.length + 1, 0];
  const text = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  const out = new Uint8Array(padded(text.length + path.length + 1));
  out.set(new TextEncoder().encode(text));
  out.set(path, text.length);
  return out;
}

/** Writes the archive; folders must stand before what is in them. */
export async function writeInitramfs(file: string, entries: readonly Entry[]): Promise<void> {
  using out = await Deno.open(file, { write: true, create: true, truncate: true });
  const write = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length;) at += await out.write(bytes.subarray(at));
  };
  const all: readonly Entry[] = [...entries, { path: "TRAILER!!!", content: new Uint8Array(0) }];
  for (const [index, { path, content, mode }] of all.entries()) {
    const folder = content === "folder";
    const size = folder ? 0 : content.length;
    const bits = (folder ? FOLDER : FILE) | (mode ?? (folder ? 0o755 : 0o644));
    await write(header(index + 1, bits, size, new TextEncoder().encode(path)));
    if (folder) continue;
    await write(content);
    await write(new Uint8Array(padded(size) - size));
  }
}
