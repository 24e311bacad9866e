/** Debian packages of another release and architecture, fetched and unpacked beside the project. */

/** The first release with an OP-TEE for QEMU, its client and a kernel that fit together. */
const RELEASE = "trixie";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const PACKAGES = [
  "optee-os:arm64",
  "optee-os-dev:arm64",
  "libteec2:arm64",
  "optee-client-dev:arm64",
  "tee-supplicant:arm64",
  "u-boot-qemu",
  "busybox-static:arm64",
  "libc6:arm64",
  "libgcc-s1:arm64",
];
const FIRMWARE_SOURCE = "arm-trusted-firmware";

/** Runs a program; its output only where it fails. @throws {Error} with its last lines */
export async function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Record<string, string> } = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    ...options,
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  if (success) return text.decode(stdout);
  const said = `${text.decode(stdout)}${text.decode(stderr)}`.trim().split("\n").slice(-30);
  throw new Error(`${command} ${args.join(" ")}\n${said.join("\n")}`);
}

/** What must be on this machine, by program, with the package that has it. */
const NEEDED: readonly (readonly [program: string, name: string])[] = [
  ["apt-get", "apt"],
  ["dpkg-deb", "dpkg"],
  ["make", "make"],
  ["gcc", "gcc"],
  ["aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"],
  ["qemu-system-aarch64", "qemu-system-arm"],
  ["dtc", "device-tree-compiler"],
  ["xz", "xz-utils"],
  ["python3", "python3"],
  ["npm", "npm"],
];

/** @throws {Error} naming all that is missing and how to install it */
export async function assertTools(): Promise<void> {
  const missing: string[] = [];
  for (const [program, name] of NEEDED) {
    try {
      await run("sh", ["-c", `command -v ${program}`]);
    } catch {
      missing.push(name);
    }
  }
  try {
    await run("python3", ["-c", "import cryptography"]);
  } catch {
    missing.push("python3-cryptography");
  }
  if (missing.length > 0) {
    throw new Error(`needed first: apt-get install --no-install-recommends ${missing.join(" ")}`);
  }
}

export interface Fetched {
  /** All packages, unpacked over each other. */
  readonly root: string;
  /** Sources of Trusted Firmware-A, unpacked. */
  readonly firmware: string;
  /** "name version" of each. */
  readonly versions: readonly string[];
}

/** Fetches what is not there yet. Nothing is installed on this machine. */
export async function fetchPackages(folder: string): Promise<Fetched> {
  const at = (path: string) => `${folder}/${path}`;
  for (const path of ["apt/lists/partial", "apt/cache/archives/partial", "debs", "source"]) {
    await Deno.mkdir(at(path), { recursive: true });
  }
  await Deno.writeTextFile(
    at("apt/sources.list"),
    [
      `deb [signed-by=${KEYRING} arch=amd64,arm64] http://deb.debian.org/debian ${RELEASE} main`,
      `deb-src [signed-by=${KEYRING}] http://deb.debian.org/debian ${RELEASE} main`,
      "",
    ].join("\n"),
  );
  await Deno.writeTextFile(at("apt/status"), "");
  const settings = {
    "Dir::State": at("apt"),
    "Dir::State::lists": at("apt/lists"),
    "Dir::State::status": at("apt/status"),
    "Dir::Cache": at("apt/cache"),
    "Dir::Etc::sourcelist": at("apt/sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "APT::Architectures": "amd64,arm64",
    "Acquire::Languages": "none",
  };
  const options = Object.entries(settings).map(([name, value]) => `-o${name}=${value}`);
  const apt = (program: string, args: readonly string[], cwd: string) =>
    run(program, [...options, "-qq", ...args], { cwd });
  await apt("apt-get", ["update"], folder);
  const meta = await apt("apt-cache", ["depends", "linux-image-arm64:arm64"], folder);
  const kernel = /Depends: (linux-image-\S+)/.exec(meta)?.[1];
  if (kernel === undefined) throw new Error("Debian names no kernel for arm64");
  const wanted = [...PACKAGES, kernel.includes(":") ? kernel : `${kernel}:arm64`];
  await apt("apt-get", ["download", ...wanted], at("debs"));
  const versions: string[] = [];
  for await (const { name } of Deno.readDir(at("debs"))) {
    await run("dpkg-deb", ["-x", at(`debs/${name}`), at("root")]);
    const [title = "", version = ""] = name.split("_");
    versions.push(`${title} ${decodeURIComponent(version)}`);
  }
  await apt("apt-get", ["source", "--download-only", FIRMWARE_SOURCE], at("source"));
  const archive = await firstNamed(at("source"), /\.orig\.tar\.\w+$/);
  await run("tar", ["-xf", archive, "-C", at("source")]);
  versions.push(`${FIRMWARE_SOURCE} ${/_([^_]+)\.orig/.exec(archive)?.[1] ?? ""} (source)`);
  const firmware = await firstNamed(at("source"), /^arm-trusted-firmware-[\d.]+$/);
  return { root: at("root"), firmware, versions: versions.sort() };
}

/** @throws {Error} where there is none */
export async function firstNamed(folder: string, pattern: RegExp): Promise<string> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) if (pattern.test(name)) names.push(name);
  const [name] = names.sort();
  if (name === undefined) throw new Error(`nothing in ${folder} is called like ${pattern}`);
  return `${folder}/${name}`;
}
