/** Files of `nautilus verify` and `nautilus policy init`, read and sorted by content. */
import { readBounded } from "./bounded_read.ts";
import { type Classified, classify, evidenceBytes } from "../../backends/evidence_kind.ts";
import type { Bytes, Endorsement, TeeType } from "../../backends/mod.ts";
import { UsageError } from "../command.ts";
import { fileReason } from "./reason.ts";

const MAX_FILE_BYTES = 16 << 20;
const MAX_FILES = 64;

/** The disk, injected. */
export interface FileReader {
  /** @throws {Deno.errors.NotFound} and others of the kind */
  readFile(path: string): Promise<Bytes>;
  /** Paths of the files in a folder, sorted; undefined where the path is no folder. */
  listFolder(path: string): Promise<readonly string[] | undefined>;
}

export type Subject =
  | { readonly kind: "bundle"; readonly text: string }
  | { readonly kind: "evidence"; readonly teeType: TeeType; readonly data: Bytes };

export interface Inputs {
  readonly subject: Subject;
  readonly endorsements: readonly Endorsement[];
}

interface Source {
  readonly path: string;
  readonly bytes: Bytes;
}

/**
 * Finds the one piece of evidence among the files; everything else goes along as endorsements.
 * @param tee a kind that was named makes the first file its evidence, whatever it looks like
 * @throws {UsageError} a file that cannot be read, no evidence, more than one
 */
export async function readInputs(
  reader: FileReader,
  paths: {
    readonly files: readonly string[];
    readonly endorsements: readonly string[];
    readonly collateral: readonly string[];
  },
  tee: TeeType | "auto",
): Promise<Inputs> {
  const files = await readAll(reader, paths.files);
  const others = [
    ...await readAll(reader, paths.endorsements),
    ...await readAll(reader, paths.collateral),
  ];
  const subjects: { path: string; subject: Subject }[] = [];
  const endorsements: Endorsement[] = [];
  const take = ({ path }: Source, classified: Classified) => {
    if (classified.kind === "endorsement") endorsements.push(classified.endorsement);
    else subjects.push({ path, subject: classified });
  };
  files.forEach((source, index) => {
    const found = classify(source.bytes);
    if (tee !== "auto" && index === 0 && found.kind !== "bundle") {
      subjects.push({
        path: source.path,
        subject: { kind: "evidence", teeType: tee, data: evidenceBytes(source.bytes) },
      });
    } else take(source, found);
  });
  for (const source of others) {
    const found = classify(source.bytes);
    // What is handed in as an endorsement is one, unless the files held no evidence.
    if (found.kind === "evidence" && subjects.length > 0) {
      endorsements.push({ type: "collateral", data: source.bytes });
    } else take(source, found);
  }
  const [only, second] = subjects;
  if (only === undefined) {
    throw new UsageError(
      `no evidence among ${
        [...files, ...others].map(({ path }) => path).join(", ")
      }: a report, quote, document or bundle is wanted; --tee KIND names what cannot be told by its content`,
    );
  }
  if (second !== undefined) {
    throw new UsageError(`two pieces of evidence: ${only.path} and ${second.path}`);
  }
  return { subject: only.subject, endorsements };
}

/**
 * Files that go along with evidence which came otherwise.
 * @throws {UsageError} a file that cannot be read
 */
export async function readEndorsements(
  reader: FileReader,
  paths: readonly string[],
): Promise<Endorsement[]> {
  return (await readAll(reader, paths)).map(({ bytes }) => {
    const found = classify(bytes);
    return found.kind === "endorsement" ? found.endorsement : { type: "collateral", data: bytes };
  });
}

async function readAll(reader: FileReader, paths: readonly string[]): Promise<Source[]> {
  const out: Source[] = [];
  for (const path of paths) {
    for (const file of await reader.listFolder(path) ?? [path]) {
      if (out.length >= MAX_FILES) throw new UsageError(`more than ${MAX_FILES} files`);
      out.push({ path: file, bytes: await readOne(reader, file) });
    }
  }
  return out;
}

/** @throws {UsageError} naming the file and why */
export async function readOne(reader: Pick<FileReader, "readFile">, path: string): Promise<Bytes> {
  let bytes: Bytes;
  try {
    bytes = await reader.readFile(path);
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${fileReason(error)}`, { cause: error });
  }
  if (bytes.length > MAX_FILE_BYTES) {
    throw new UsageError(`${path} has ${bytes.length} bytes, ${MAX_FILE_BYTES} at most`);
  }
  return bytes;
}

/** The disk itself. */
export function diskReader(): FileReader {
  return {
    readFile: (path) => readBounded(path, MAX_FILE_BYTES),
    async listFolder(path) {
      try {
        if (!(await Deno.stat(path)).isDirectory) return undefined;
      } catch {
        return undefined; // reading it will say what is wrong
      }
      const names = (await Array.fromAsync(Deno.readDir(path))).filter(({ isFile }) => isFile).map((
        { name },
      ) => name);
      return names.sort().map((name) => `${path}/${name}`);
    },
  };
}
