/** The programs of Kubernetes, which build.sh makes, and the tests that wait for them. */
import { hasKubectl } from "../fakes/kubectl.ts";

export interface Programs {
  readonly apiServer: string;
  readonly controllerManager: string;
  readonly scheduler: string;
}

/** What NAUTILUS_TEST_KUBE_APISERVER names, and what lies beside it; or why there is nothing. */
async function findPrograms(): Promise<Programs | string> {
  const apiServer = Deno.env.get("NAUTILUS_TEST_KUBE_APISERVER");
  if (apiServer === undefined) {
    return "NAUTILUS_TEST_KUBE_APISERVER names no kube-apiserver; make test-kube builds one";
  }
  const beside = (name: string) => apiServer.replace(/[^/]*$/, name);
  const programs = {
    apiServer,
    controllerManager: beside("kube-controller-manager"),
    scheduler: beside("kube-scheduler"),
  };
  for (const path of Object.values(programs)) {
    try {
      await Deno.stat(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      return `${path} is not there; make test-kube builds it`;
    }
  }
  return await hasKubectl() ? programs : "no kubectl, or one that is too old";
}

const found = await findPrograms();

/** A test that wants them; skipped, and saying why, where they are not there. */
export function withKubernetes(name: string, fn: (programs: Programs) => Promise<void>): void {
  const why = typeof found === "string" ? ` (skipped: ${found})` : "";
  Deno.test({
    name: `a real kube-apiserver: ${name}${why}`,
    ignore: typeof found === "string",
    fn: async () => {
      if (typeof found !== "string") await fn(found);
    },
  });
}
