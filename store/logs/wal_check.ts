/**
 * Looks for damage in SQLite's write-ahead log that SQLite itself passes over: it replays up to the
 * first frame whose checksum is wrong and takes the rest for a torn end. A torn end holds one
 * unfinished transaction at most, because each commit is synced before the next begins
 * (synchronous=FULL). Two commits behind a broken frame were acknowledged: that is damage.
 * (SQLite, "Database File Format", 4: The Write-Ahead Log.)
 */
import { StoreError } from "../errors.ts";

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** Checksums over little-endian words; the last bit set: big-endian. */
const MAGIC = 0x377f0682;

/** @throws {StoreError} `record_altered` where acknowledged commits stand behind a broken frame */
export function checkWal(path: string): void {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  using opened = file;
  const header = new Uint8Array(HEADER_BYTES);
  if (!readExactly(opened, header)) return;
  const state = readWalHeader(header);
  const frame = new Uint8Array(FRAME_HEADER_BYTES + state.pageBytes);
  const view = new DataView(frame.buffer);
  let valid = state.valid;
  let salt = state.valid ? header.slice(16, 24) : undefined;
  let broken = 0;
  let commitsBehind = 0;
  for (let number = 1; readExactly(opened, frame); number++) {
    salt ??= frame.slice(8, 16);
    const isOurs = salt.every((byte, i) => frame[8 + i] === byte);
    if (valid && isOurs) {
      addChecksum(state, frame.subarray(0, 8));
      addChecksum(state, frame.subarray(FRAME_HEADER_BYTES));
      if (view.getUint32(16) === state.sum[0] && view.getUint32(20) === state.sum[1]) continue;
    }
    if (valid) broken = number;
    valid = false;
    if (isOurs && view.getUint32(4) !== 0) commitsBehind++;
  }
  if (commitsBehind < 2) return;
  const where = broken === 0 ? "its header" : `frame ${broken}`;
  throw new StoreError(
    "record_altered",
    `${path}: ${where} is damaged, and ${commitsBehind} commits stand behind it`,
    { hint: "SQLite would drop them in silence: restore a backup, or put back an undamaged copy" },
  );
}

interface WalState {
  readonly valid: boolean;
  readonly pageBytes: number;
  readonly littleEndian: boolean;
  readonly sum: Uint32Array;
}

function readWalHeader(header: Uint8Array): WalState {
  const view = new DataView(header.buffer);
  const magic = view.getUint32(0);
  const pageBytes = view.getUint32(8);
  const plausible = pageBytes >= 512 && pageBytes <= 65536 && (pageBytes & (pageBytes - 1)) === 0;
  const state = {
    pageBytes: plausible ? pageBytes : 8192,
    littleEndian: (magic & 1) === 0,
    sum: new Uint32Array(2),
  };
  addChecksum(state, header.subarray(0, 24));
  const fits = view.getUint32(24) === state.sum[0] && view.getUint32(28) === state.sum[1];
  return { ...state, valid: plausible && fits && (magic & ~1) === MAGIC };
}

/** Adds pairs of 32-bit words; the length is a multiple of eight. */
function addChecksum({ sum, littleEndian }: Omit<WalState, "valid">, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let [first = 0, second = 0] = sum;
  for (let i = 0; i < bytes.length; i += 8) {
    first = (first + view.getUint32(i, littleEndian) + second) >>> 0;
    second = (second + view.getUint32(i + 4, littleEndian) + first) >>> 0;
  }
  sum[0] = first;
  sum[1] = second;
}

/** False at the end, or where less than a whole piece is left. */
function readExactly(file: Deno.FsFile, into: Uint8Array): boolean {
  let length = 0;
  while (length < into.length) {
    const count = file.readSync(into.subarray(length));
    if (count === null) return false;
    length += count;
  }
  return true;
}
