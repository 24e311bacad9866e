/**
 * How a restored store takes the place of the one that stands there. It is made in `restore.partial`;
 * once it is whole and checked that folder becomes `restore.ready`, in one rename: from then on the
 * restore counts, and whoever opens the data directory next finishes it. What stood there is kept.
 */

const FILES = ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] as const;

function partialFolder(dataDir: string): string {
  return `${dataDir}/restore.partial`;
}

function readyFolder(dataDir: string): string {
  return `${dataDir}/restore.ready`;
}

/** Clears what an interrupted restore left; answers where the store is to be made. */
export async function beginRestore(dataDir: string): Promise<string> {
  await discardRestore(dataDir);
  await Deno.mkdir(partialFolder(dataDir), { mode: 0o700 });
  return `${partialFolder(dataDir)}/store.sqlite`;
}

/** Nothing of a restore that was not committed stays. */
export async function discardRestore(dataDir: string): Promise<void> {
  if (await isThere(partialFolder(dataDir))) {
    await Deno.remove(partialFolder(dataDir), { recursive: true });
  }
}

/** From here on the restored store counts. It must be whole, checked and on the medium. */
export async function commitRestore(dataDir: string): Promise<void> {
  await Deno.rename(partialFolder(dataDir), readyFolder(dataDir));
  await syncFolder(dataDir);
}

/** Whether a restore counts that has not taken its place yet. */
export function isRestoreReady(dataDir: string): Promise<boolean> {
  return isThere(`${readyFolder(dataDir)}/store.sqlite`);
}

/**
 * Finishes a restore that counts, however far it got; with the data directory's lock held and nothing
 * of it open. The anchor file of the store that was is put aside: it knows that store, not this one.
 * @returns the folder that keeps what stood there; undefined where there was nothing to finish or keep
 */
export async function finishRestore(
  dataDir: string,
  anchorFile: string | undefined,
  nowMs: number,
): Promise<string | undefined> {
  const ready = readyFolder(dataDir);
  if (!await isThere(ready)) return undefined;
  if (await isThere(`${ready}/store.sqlite`)) {
    await Deno.mkdir(`${ready}/former`, { recursive: true, mode: 0o700 });
    if (anchorFile !== undefined && await isThere(anchorFile)) {
      await Deno.rename(anchorFile, `${anchorFile}.former`);
    }
    for (const name of FILES) {
      if (!await isThere(`${dataDir}/${name}`)) continue;
      await Deno.rename(`${dataDir}/${name}`, `${ready}/former/${name}`);
    }
    await syncFolder(`${ready}/former`);
    await syncFolder(dataDir);
    await Deno.rename(`${ready}/store.sqlite`, `${dataDir}/store.sqlite`);
    await syncFolder(dataDir);
  }
  return await keepFormer(dataDir, nowMs);
}

async function keepFormer(dataDir: string, nowMs: number): Promise<string | undefined> {
  const ready = readyFolder(dataDir);
  const former = `${ready}/former`;
  let kept: string | undefined;
  if (await isThere(`${former}/store.sqlite`)) {
    const time = new Date(nowMs).toISOString().replaceAll(/[:.]/g, "-");
    kept = `${dataDir}/former-store-${time}`;
    await Deno.rename(former, kept);
  }
  await Deno.remove(ready, { recursive: true });
  await syncFolder(dataDir);
  return kept;
}

async function syncFolder(path: string): Promise<void> {
  using folder = await Deno.open(path);
  await folder.sync();
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
