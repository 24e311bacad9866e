/** What runs in the machine: firmware, the trusted application in three forms, the program. */
import { type Fetched, firstNamed, run } from "./packages.ts";

const fromFileUrl = (url: URL): string => decodeURIComponent(url.pathname);

const TA_UUID = "cb8899bc-da92-4080-89e4-57a9dfcead58";
const PLATFORM = "vexpress-qemu_armv8a";

/** Trusted Firmware-A for QEMU with OP-TEE as its secure payload; the folder that QEMU starts in. */
export async function buildFirmware({ firmware, root }: Fetched, folder: string): Promise<string> {
  const args = [
    "-j2",
    "CROSS_COMPILE=aarch64-linux-gnu-",
    "PLAT=qemu",
    "SPD=opteed",
    "BL32_RAM_LOCATION=tdram",
    "QEMU_USE_GIC_DRIVER=QEMU_GICV3",
    "bl1",
    "bl2",
    "bl31",
  ];
  await run("make", args, { cwd: firmware });
  const out = `${folder}/firmware`;
  await Deno.mkdir(out, { recursive: true });
  const built = `${firmware}/build/qemu/release`;
  const optee = `${root}/usr/lib/optee/${PLATFORM}`;
  const files = {
    "bl1.bin": `${built}/bl1.bin`,
    "bl2.bin": `${built}/bl2.bin`,
    "bl31.bin": `${built}/bl31.bin`,
    "bl32.bin": `${optee}/tee-header_v2.bin`,
    "bl32_extra1.bin": `${optee}/tee-pager_v2.bin`,
    "bl32_extra2.bin": `${optee}/tee-pageable_v2.bin`,
    "bl33.bin": `${root}/usr/lib/u-boot/qemu_arm64/u-boot.bin`,
  };
  for (const [name, from] of Object.entries(files)) await Deno.copyFile(from, `${out}/${name}`);
  return out;
}

export interface BuiltTa {
  readonly signed: Uint8Array;
  /** Lower-case hex, as computed from the sources. */
  readonly measurement: string;
}

/** Builds our TA with Debian's kit and signs it with the key in the kit, which is public. */
export async function buildTa(
  { root }: Fetched,
  folder: string,
  codeVersion: number,
): Promise<BuiltTa> {
  const sources = `${folder}/ta-${codeVersion}`;
  await Deno.mkdir(sources, { recursive: true });
  const native = fromFileUrl(new URL("../../backends/native/trustzone", import.meta.url));
  for await (const { name } of Deno.readDir(native)) {
    let text = await Deno.readTextFile(`${native}/${name}`);
    if (name === "nautilus_ta.h") {
      text = text.replace(/(NAUTILUS_TA_CODE_VERSION) \d+/, `$1 ${codeVersion}`);
    }
    if (name === "Makefile") text = text.replace(/^VERSION := \d+/m, `VERSION := ${codeVersion}`);
    await Deno.writeTextFile(`${sources}/${name}`, text);
  }
  const out = `${sources}/out`;
  await run("make", [
    `TA_DEV_KIT_DIR=${root}/usr/lib/optee-os-dev/${PLATFORM}`,
    "CROSS_COMPILE=aarch64-linux-gnu-",
    `O=${out}`,
  ], { cwd: sources, env: { PYTHONDONTWRITEBYTECODE: "1" } });
  return {
    signed: await Deno.readFile(`${out}/${TA_UUID}.ta`),
    measurement: (await run("make", ["-s", "measurement"], { cwd: sources })).trim(),
  };
}

/** Deno for arm64 from npm: this very version, else the newest before it that the registry has. */
export async function fetchDeno(folder: string): Promise<{ path: string; version: string }> {
  const name = "@deno/linux-arm64-glibc";
  const listed: unknown = JSON.parse(await run("npm", ["view", name, "versions", "--json"]));
  const all = Array.isArray(listed) ? listed.filter((one) => typeof one === "string") : [];
  const rank = (text: string) =>
    text.split(".").reduce((sum, part) => sum * 10_000 + Number(part), 0);
  const wanted = rank(Deno.version.deno);
  const version = all.filter((one) => /^\d+\.\d+\.\d+$/.test(one) && rank(one) <= wanted)
    .sort((a, b) => rank(b) - rank(a))[0];
  if (version === undefined) throw new Error(`npm has no ${name} up to ${Deno.version.deno}`);
  const at = `${folder}/deno-${version}`;
  await Deno.mkdir(at, { recursive: true });
  await run("npm", ["pack", "--silent", `${name}@${version}`], { cwd: at });
  await run("tar", ["-xf", await firstNamed(at, /\.tgz$/), "-C", at]);
  return { path: `${at}/package/deno`, version };
}

/** One file of a program and all that it imports. */
export async function bundle(entry: URL, out: string): Promise<Uint8Array> {
  await run(Deno.execPath(), [
    "bundle",
    "--quiet",
    "--frozen",
    "--platform",
    "deno",
    "--output",
    out,
    fromFileUrl(entry),
  ], { cwd: fromFileUrl(new URL("../..", import.meta.url)) });
  return await Deno.readFile(out);
}
