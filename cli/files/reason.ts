/** Why a file could not be read or written, in words of ours: the runtime's name system calls. */

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of the path is no folder",
  ENOSPC: "no space is left on the device",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file would be larger than allowed",
  EIO: "the medium failed (I/O error)",
};

export function fileReason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const known = typeof code === "string" && Object.hasOwn(REASONS, code)
    ? REASONS[code]
    : undefined;
  return known ?? (error instanceof Error ? error.message : String(error));
}
