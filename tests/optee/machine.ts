/** One boot: QEMU's virt machine with the secure world, our files as its initial RAM filesystem. */
import { type Fetched, firstNamed, run } from "./packages.ts";
import { type Entry, writeInitramfs } from "./initramfs.ts";

const BOOT_LIMIT_MS = 900_000;
const LIBRARIES = [
  "libc.so.6",
  "libm.so.6",
  "libdl.so.2",
  "libpthread.so.0",
  "libgcc_s.so.1",
  "libteec.so.2",
];

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin LD_LIBRARY_PATH=/usr/lib HOME=/tmp DENO_DIR=/tmp/deno DENO_NO_UPDATE_CHECK=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
ifconfig lo 127.0.0.1 up
insmod /modules/tee.ko
insmod /modules/optee.ko
/bin/tee-supplicant -d
/deno run -A /nautilus.js detect
/deno run -A /guest.js
echo "guest ended with $?"
poweroff -f
`;

/** Files of Debian's own that the guest needs. */
async function system({ root }: Fetched): Promise<Entry[]> {
  const libraries = `${root}/usr/lib/aarch64-linux-gnu`;
  const modules = await firstNamed(`${root}/usr/lib/modules`, /arm64$/);
  const module = async (path: string): Promise<Uint8Array> => {
    const { stdout, success } = await new Deno.Command("xz", {
      args: ["-dc", `${modules}/kernel/drivers/tee/${path}.ko.xz`],
    }).output();
    if (!success) throw new Error(`cannot unpack ${path}`);
    return stdout;
  };
  const folders = ["bin", "dev", "proc", "sys", "tmp", "modules", "lib", "lib/optee_armtz", "usr"];
  return [
    ...[...folders, "usr/lib", "var", "var/lib", "var/lib/tee"].map((path): Entry => ({
      path,
      content: "folder",
    })),
    { path: "init", content: new TextEncoder().encode(INIT), mode: 0o755 },
    { path: "bin/busybox", content: await Deno.readFile(`${root}/usr/bin/busybox`), mode: 0o755 },
    {
      path: "bin/tee-supplicant",
      content: await Deno.readFile(`${root}/usr/sbin/tee-supplicant`),
      mode: 0o755,
    },
    {
      path: "lib/ld-linux-aarch64.so.1",
      content: await Deno.readFile(`${libraries}/ld-linux-aarch64.so.1`),
      mode: 0o755,
    },
    ...await Promise.all(LIBRARIES.map(async (name): Promise<Entry> => ({
      path: `usr/lib/${name}`,
      content: await Deno.readFile(`${libraries}/${name}`),
    }))),
    { path: "modules/tee.ko", content: await module("tee") },
    { path: "modules/optee.ko", content: await module("optee/optee") },
  ];
}

/** Boots with `files` added, gives each line of the console to `line`, waits for the power-off. */
export async function boot(options: {
  readonly fetched: Fetched;
  readonly firmware: string;
  readonly folder: string;
  readonly files: readonly Entry[];
  readonly line: (text: string) => Promise<void>;
}): Promise<void> {
  const { fetched, firmware, folder } = options;
  const initramfs = `${folder}/initramfs.cpio`;
  await writeInitramfs(initramfs, [...await system(fetched), ...options.files]);
  const kernel = await firstNamed(`${fetched.root}/boot`, /^vmlinuz-/);
  const child = new Deno.Command("qemu-system-aarch64", {
    cwd: firmware,
    args: [
      ...["-machine", "virt,secure=on,gic-version=3", "-cpu", "cortex-a57", "-smp", "2"],
      ...["-m", "2048", "-nographic", "-no-reboot", "-nic", "none"],
      ...["-semihosting-config", "enable=on,target=native", "-bios", "bl1.bin"],
      ...["-kernel", kernel, "-initrd", initramfs],
      ...["-append", "console=ttyAMA0 quiet panic=-1"],
      // The normal world's console, then the secure world's.
      ...["-serial", "stdio", "-serial", `file:${folder}/secure.log`, "-monitor", "none"],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const limit = setTimeout(() => child.kill("SIGKILL"), BOOT_LIMIT_MS);
  try {
    let rest = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = `${rest}${text}`.split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const one of lines) await options.line(one);
    }
    await child.status;
  } finally {
    clearTimeout(limit);
  }
}

/** The layouts that the binding relies on, against Debian's own header. */
export async function checkLayouts({ root }: Fetched): Promise<string> {
  const path = new URL("../../backends/ffi/libteec_test.ts", import.meta.url).pathname;
  const out = await run(Deno.execPath(), ["test", "-P", "--filter", "tee_client_api.h", path], {
    cwd: new URL("../..", import.meta.url).pathname,
    env: { CPATH: `${root}/usr/include`, NO_COLOR: "1" },
  });
  return out.split("\n").find((line) => line.includes("tee_client_api.h")) ?? out;
}
