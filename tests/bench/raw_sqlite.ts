/** Plain SQLite with the durability of the store's log: what the store's figures stand against. */
import { DatabaseSync } from "node:sqlite";

export interface RawSqlite extends AsyncDisposable {
  readonly path: string;
  /** One transaction with so many rows. */
  write(rows: number): void;
  close(): void;
}

/** WAL, synchronous=FULL, `pageBytes` as given; keys and values of 40 and `value.length` bytes. */
export async function openRawSqlite(
  value: Uint8Array<ArrayBuffer>,
  pageBytes: number,
): Promise<RawSqlite> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/raw.db`;
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA page_size = ${pageBytes}`);
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = FULL");
  database.exec("CREATE TABLE records (position INTEGER PRIMARY KEY, name BLOB, value BLOB)");
  const insert = database.prepare("INSERT INTO records VALUES (?, ?, ?)");
  const name = new Uint8Array(40);
  let next = 0;
  let open = true;
  const close = () => {
    if (open) database.close();
    open = false;
  };
  return {
    path,
    write(rows) {
      database.exec("BEGIN IMMEDIATE");
      for (let i = 0; i < rows; i++) insert.run(next++, name, value);
      database.exec("COMMIT");
    },
    close,
    async [Symbol.asyncDispose]() {
      close();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
