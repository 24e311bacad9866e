/**
 * The one file of form (b): launcher, runtime and bundle, told apart by a footer.
 *
 *   [launcher ELF][zeroes to 64 KiB][runtime ELF][zeroes to 4 KiB][bundle][footer, 48 bytes]
 *
 * Footer: 16 bytes of magic, then offset and size of the runtime, offset and size of the bundle, each
 * a u64, little endian. launcher/launcher.c reads the same layout.
 */

/** Where the parts of a form (b) file lie, in bytes from its start. */
export interface Layout {
  readonly runtimeOffset: number;
  readonly runtimeSize: number;
  readonly bundleOffset: number;
  readonly bundleSize: number;
}

export interface Parts {
  readonly launcher: Uint8Array;
  readonly runtime: Uint8Array;
  readonly bundle: Uint8Array;
}

const MAGIC = "nautilus-tee-b1\n";
const FOOTER_SIZE = 48;
/** The largest page size of the machines we know: the runtime is mapped from where it lies. */
const RUNTIME_ALIGNMENT = 65_536;
const BUNDLE_ALIGNMENT = 4096;

/** Where the parts go, and how long the file becomes. */
export function layOut(parts: Parts): Layout & { readonly fileSize: number } {
  const runtimeOffset = alignUp(parts.launcher.length, RUNTIME_ALIGNMENT);
  const bundleOffset = alignUp(
    runtimeOffset + parts.runtime.length,
    BUNDLE_ALIGNMENT,
  );
  return {
    runtimeOffset,
    runtimeSize: parts.runtime.length,
    bundleOffset,
    bundleSize: parts.bundle.length,
    fileSize: bundleOffset + parts.bundle.length + FOOTER_SIZE,
  };
}

/** The whole file. */
export function packOneFile(parts: Parts): Uint8Array<ArrayBuffer> {
  const layout = layOut(parts);
  const file = new Uint8Array(layout.fileSize);
  file.set(parts.launcher);
  file.set(parts.runtime, layout.runtimeOffset);
  file.set(parts.bundle, layout.bundleOffset);
  const footer = layout.fileSize - FOOTER_SIZE;
  new TextEncoder().encodeInto(MAGIC, file.subarray(footer));
  const view = new DataView(file.buffer, footer + MAGIC.length);
  const { runtimeOffset, runtimeSize, bundleOffset, bundleSize } = layout;
  [runtimeOffset, runtimeSize, bundleOffset, bundleSize].forEach((
    value,
    index,
  ) => view.setBigUint64(index * 8, BigInt(value), true));
  return file;
}

/** Reads the footer back; `undefined` when the file is not of this form or does not add up. */
export function readLayout(file: Uint8Array): Layout | undefined {
  const footer = file.length - FOOTER_SIZE;
  if (footer < 0) return undefined;
  const magic = new TextDecoder("latin1").decode(
    file.subarray(footer, footer + MAGIC.length),
  );
  if (magic !== MAGIC) return undefined;
  const view = new DataView(
    file.buffer,
    file.byteOffset + footer + MAGIC.length,
  );
  const at = (index: number) => Number(view.getBigUint64(index * 8, true));
  const layout = {
    runtimeOffset: at(0),
    runtimeSize: at(1),
    bundleOffset: at(2),
    bundleSize: at(3),
  };
  const fits = layout.runtimeOffset + layout.runtimeSize <= layout.bundleOffset &&
    layout.bundleOffset + layout.bundleSize === footer;
  return fits ? layout : undefined;
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
