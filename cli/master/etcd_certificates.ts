/** The certificates of the etcd TCP listener: of the operator's files, or of the CA made in the TEE. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { EtcdAuthority, TlsFiles } from "../../api/etcd/mod.ts";
import { type Config, ConfigError } from "../../config.ts";

/** How often the operator's files are looked at. */
const LOOK_EVERY_MS = 60_000;

/** What the listener shows, and what takes its place while it runs. */
export interface EtcdCertificates {
  readonly first: TlsFiles;
  /**
   * What to show from now on: a new certificate of the own CA after two thirds of the old one's
   * time, or what stands in the operator's files by now. Cheap to ask often.
   * @returns undefined where nothing changed
   * @throws {ConfigError} once for each unusable change of the files; the old ones stay in use
   */
  renewed(): Promise<TlsFiles | undefined>;
}

type Paths = { readonly [part in keyof TlsFiles]: string };

/** @throws {ConfigError} where the files do not make a usable set */
export async function openEtcdCertificates(
  config: Config,
  authority: EtcdAuthority,
  clock: () => number,
): Promise<EtcdCertificates> {
  const paths = filePaths(config);
  return paths === undefined ? ownCertificates(authority, clock) : await fromFiles(paths, clock);
}

function ownCertificates(authority: EtcdAuthority, clock: () => number): EtcdCertificates {
  let current = authority.listenerFiles();
  return {
    first: current,
    renewed() {
      if (clock() < current.renewAtMs) return Promise.resolve(undefined);
      current = authority.listenerFiles();
      return Promise.resolve(current);
    },
  };
}

async function fromFiles(paths: Paths, clock: () => number): Promise<EtcdCertificates> {
  const first = await readTlsFiles(paths);
  checkTlsFiles(first, paths);
  let seen = first;
  let lookAtMs = clock() + LOOK_EVERY_MS;
  return {
    first,
    async renewed() {
      if (clock() < lookAtMs) return undefined;
      lookAtMs = clock() + LOOK_EVERY_MS;
      const found = await readTlsFiles(paths);
      if (sameFiles(found, seen)) return undefined;
      seen = found;
      checkTlsFiles(found, paths);
      return found;
    },
  };
}

function sameFiles(a: TlsFiles, b: TlsFiles): boolean {
  return a.certificate === b.certificate && a.key === b.key &&
    a.clientAuthorities === b.clientAuthorities;
}

/** All three files or none. */
function filePaths(config: Config): Paths | undefined {
  const { etcdCertFile, etcdKeyFile, etcdClientCaFile } = config;
  if (etcdCertFile === undefined && etcdKeyFile === undefined && etcdClientCaFile === undefined) {
    return undefined;
  }
  if (etcdCertFile === undefined || etcdKeyFile === undefined || etcdClientCaFile === undefined) {
    throw new ConfigError(
      "--etcd-cert-file, --etcd-key-file and --etcd-client-ca-file go together",
    );
  }
  return { certificate: etcdCertFile, key: etcdKeyFile, clientAuthorities: etcdClientCaFile };
}

async function readTlsFiles(paths: Paths): Promise<TlsFiles> {
  const read = async (path: string) => {
    try {
      return await Deno.readTextFile(path);
    } catch (cause) {
      throw new ConfigError(`etcd TLS file ${path}: ${(cause as Error).message}`, { cause });
    }
  };
  const [certificate, key, clientAuthorities] = await Promise.all([
    read(paths.certificate),
    read(paths.key),
    read(paths.clientAuthorities),
  ]);
  return { certificate, key, clientAuthorities };
}

/** The TLS server takes anything and then fails at every handshake: so it is looked at here. */
function checkTlsFiles(files: TlsFiles, paths: Paths): void {
  const refuse = (part: keyof TlsFiles, what: string, cause?: unknown) =>
    new ConfigError(`etcd TLS file ${paths[part]}: ${what}`, { cause });
  const parsed = (part: "certificate" | "clientAuthorities") => {
    const blocks = files[part].match(CERTIFICATE_BLOCK) ?? [];
    if (blocks.length === 0) throw refuse(part, "no PEM certificate stands in it");
    return blocks.map((block, index) => {
      try {
        return new X509Certificate(block);
      } catch (cause) {
        throw refuse(part, `certificate ${index + 1} cannot be read`, cause);
      }
    });
  };
  const [leaf] = parsed("certificate");
  parsed("clientAuthorities");
  let key;
  try {
    key = createPrivateKey(files.key);
  } catch (cause) {
    throw refuse("key", "no unencrypted PEM private key stands in it", cause);
  }
  if (leaf?.checkPrivateKey(key) !== true) {
    throw refuse("key", `is not the key of the certificate in ${paths.certificate}`);
  }
}

const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
