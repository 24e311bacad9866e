/** What a fake file system consists of: nodes, open files, the errors they give. */
import type { Bytes } from "../../../backends/mod.ts";

/** What a system call on the fake fails with. */
export class Errno extends Error {
  constructor(readonly errno: number) {
    super(`errno ${errno}`);
  }
}
export const ENOENT = 2, EIO = 5, ENXIO = 6, EEXIST = 17, ENODEV = 19, EINVAL = 22;
export const ENOTTY = 25, ENOSYS = 38;

/** Reads and writes the calling process's memory, as a driver's copy_from_user and copy_to_user. */
export interface CallerMemory {
  read(address: bigint, length: number): Promise<Bytes>;
  write(address: bigint, data: Uint8Array): Promise<void>;
}

/** An open file. What is not implemented fails as it would on a device. */
export interface FakeHandle {
  read?(offset: number, size: number): Bytes | Promise<Bytes>;
  write?(offset: number, data: Bytes): number | Promise<number>;
  /** The last close; comes before any later call on the file system. */
  release?(): void;
  /** Gives the return value; the bytes of `argument` go back to the caller also after an Errno. */
  ioctl?(command: number, argument: Bytes, memory: CallerMemory): number | Promise<number>;
}

export interface FakeFile {
  readonly type: "file";
  readonly mode: number;
  open(): FakeHandle | Promise<FakeHandle>;
}

export interface FakeDirectory {
  readonly type: "directory";
  readonly entries: Map<string, FakeNode>;
  mkdir?(name: string): void | Promise<void>;
  rmdir?(name: string): void | Promise<void>;
}

export type FakeNode = FakeFile | FakeDirectory;

export interface FuseMount extends AsyncDisposable {
  readonly path: string;
}
