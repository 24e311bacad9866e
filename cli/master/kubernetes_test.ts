import { assertRejects } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { ConfigError, loadConfig } from "../../config.ts";
import { testApi } from "../../tests/fakes/api.ts";
import { createSteps } from "../node/steps.ts";
import { sealedPart } from "../node/sealed_config.ts";
import { openUpstreamCluster } from "./kubernetes.ts";

// That the client is closed, the sanitizer of resources says.
Deno.test("openUpstreamCluster() closes the upstream's client when K3s tokens cannot be made", async () => {
  await using api = await testApi();
  const folder = await Deno.makeTempDir();
  try {
    const credential = `${folder}/token`;
    await Deno.writeTextFile(credential, "a-token-of-the-upstream-0123456789");
    const config = loadConfig({
      flags: {
        k8sApiEndpoint: "https://127.0.0.1:6443",
        k8sApiCredential: credential,
        k3sServerUrl: "https://127.0.0.1:6443",
      },
      env: {},
      isRoot: false,
      hostName: "test",
    });
    const sealed = await sealedPart(config, []);
    const { store, workers } = api;
    await assertRejects(
      () =>
        openUpstreamCluster({
          step: createSteps({ info() {} }, () => 0, () => false),
          node: { store, sealed },
          workers,
          config,
          log: getLogger(["test"]),
        }),
      ConfigError,
      "--k8s-api-ca",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
