/**
 * configfs-tsm as a FUSE folder that behaves as Linux 6.12's: entries are made by mkdir, `inblob`
 * takes effect when it is closed, `outblob` asks the provider, every write moves `generation`.
 */
import type { Bytes } from "../../backends/mod.ts";
import {
  EINVAL,
  Errno,
  type FakeDirectory,
  type FakeFile,
  type FakeHandle,
} from "./fuse/server.ts";

export interface FakeTsmProvider {
  /** `sev_guest`, `tdx_guest`. */
  readonly name: string;
  /** Whether entries have `privlevel`. */
  readonly privilegeLevels: boolean;
  quote(inblob: Bytes, privilegeLevel: number): Promise<{ outblob: Bytes; auxblob: Bytes }>;
}

export interface FakeTsm {
  /** The folder `report`. */
  readonly directory: FakeDirectory;
  /** Called before `outblob` is read, with the entry's name; may throw an Errno or write. */
  onQuote: (touch: () => void) => void | Promise<void>;
  /** Entries that were made, ever. */
  readonly made: string[];
}

export function makeTsm(provider: FakeTsmProvider): FakeTsm {
  const entries: FakeDirectory["entries"] = new Map();

  function entry(): FakeDirectory {
    let generation = 0;
    let inblob: Bytes = new Uint8Array(0);
    let level = 0;
    let answer: { generation: number; outblob: Bytes; auxblob: Bytes } | undefined;

    const file = (mode: number, open: () => FakeHandle | Promise<FakeHandle>): FakeFile => ({
      type: "file",
      mode,
      open,
    });
    const readable = (data: () => Promise<Uint8Array>): FakeFile =>
      file(0o400, () => {
        let loaded: Promise<Uint8Array> | undefined;
        return {
          read: async (offset, size) => {
            loaded ??= data();
            return new Uint8Array((await loaded).subarray(offset, offset + size));
          },
        };
      });
    const text = (value: () => string): FakeFile =>
      readable(() => Promise.resolve(new TextEncoder().encode(`${value()}\n`)));

    async function quoted(): Promise<{ outblob: Bytes; auxblob: Bytes }> {
      if (inblob.length === 0) throw new Errno(EINVAL);
      await tsm.onQuote(() => generation++);
      if (answer?.generation !== generation) {
        answer = { generation, ...await provider.quote(inblob, level) };
      }
      return answer;
    }

    const files: [string, FakeFile][] = [
      ["provider", text(() => provider.name)],
      ["generation", text(() => String(generation))],
      [
        "inblob",
        file(0o200, () => {
          let pending: Bytes | undefined;
          return {
            write: (_offset, data) => {
              generation++;
              if (data.length > 64) {
                inblob = new Uint8Array(0);
                throw new Errno(EINVAL);
              }
              pending = data;
              return data.length;
            },
            release: () => {
              if (pending !== undefined) inblob = pending;
            },
          };
        }),
      ],
      ["outblob", readable(async () => (await quoted()).outblob)],
      ["auxblob", readable(async () => (await quoted()).auxblob)],
    ];
    if (provider.privilegeLevels) {
      files.push([
        "privlevel",
        file(0o200, () => ({
          write: (_offset, data) => {
            const value = new TextDecoder().decode(data).trim();
            if (!/^[0-3]$/.test(value)) throw new Errno(EINVAL);
            generation++;
            level = Number(value);
            return data.length;
          },
        })),
      ]);
    }
    return { type: "directory", entries: new Map(files) };
  }

  const tsm: FakeTsm = {
    directory: {
      type: "directory",
      entries,
      mkdir: (name) => {
        tsm.made.push(name);
        entries.set(name, entry());
      },
      rmdir: (name) => void entries.delete(name),
    },
    onQuote: () => {},
    made: [],
  };
  return tsm;
}
