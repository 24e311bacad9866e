/** The status page at `/`. */
import { raw } from "@hono/hono/html";
import type { TeeFacts } from "../deps.ts";
import type { RollbackProtection } from "../deps.ts";
import { SCRIPT, STYLE } from "./assets.ts";
import { COVERS_TEXT, type LiveStatus, ROLLBACK_TEXT } from "./view.ts";

export interface PageFacts {
  readonly version: string;
  readonly tee: TeeFacts;
  readonly enclaveId: string;
  readonly rollback: RollbackProtection["level"];
  readonly chainTrust: string;
  readonly admission: "configured" | "not_configured";
  /** Scheme, host and port as the reader's browser has them. */
  readonly origin: string;
  readonly live: LiveStatus;
}

type Rendered = ReturnType<typeof Live>;

function Live({ name, live }: { readonly name: keyof LiveStatus; readonly live: LiveStatus }) {
  return <span data-live={name}>{live[name]}</span>;
}

const CHAIN_TRUST: Readonly<Record<string, string>> = {
  none: "no chain is configured",
  single: "one endpoint is believed",
  quorum: "several endpoints must agree",
  verified: "answers are checked",
};

export function StatusPage(facts: PageFacts): Rendered {
  const { tee, live, version } = facts;
  const simulated = tee.kind === "SIMULATION";
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Nautilus TEE</title>
        <style>{raw(STYLE)}</style>
      </head>
      <body>
        {simulated
          ? (
            <div class="banner" role="alert">
              Simulation: nothing here is protected. For development only.
            </div>
          )
          : ""}
        <header>
          <h1>Nautilus TEE</h1>
          <span class={`pill ${live.status}`} data-live="status">{live.status}</span>
          <span class="version">{version}</span>
        </header>
        <main>
          <p class="problems" data-live="problems">{live.problems}</p>
          <div class="grid">
            <section>
              <h2>Trusted execution</h2>
              <dl>
                <dt>TEE</dt>
                <dd>{simulated ? "none (simulation)" : tee.kind}</dd>
                <dt>Covers</dt>
                <dd>{tee.covers}</dd>
                <dt>Security level</dt>
                <dd>{String(tee.securityLevel)}</dd>
                <dt>Measurement</dt>
                <dd>
                  <code>{tee.measurement.toHex()}</code>
                </dd>
              </dl>
              <p class="soft">{COVERS_TEXT[tee.covers]}</p>
            </section>
            <section>
              <h2>Store</h2>
              <dl>
                <dt>Sequence</dt>
                <dd>
                  <Live name="sequence" live={live} />
                </dd>
                <dt>Head</dt>
                <dd>
                  <code>
                    <Live name="digest" live={live} />…
                  </code>
                </dd>
                <dt>Sealed records</dt>
                <dd>
                  <Live name="records" live={live} />
                </dd>
                <dt>Rollback protection</dt>
                <dd>
                  <Live name="rollback" live={live} />
                </dd>
              </dl>
              <p class="soft">{ROLLBACK_TEXT[facts.rollback]}</p>
            </section>
            <section class="wide">
              <h2>Do not take this page's word for it</h2>
              <div class="command">
                <code id="command">
                  {`nautilus verify ${facts.origin} --policy policy.jsonc`}
                </code>
                <button type="button" hidden>Copy</button>
              </div>
              <p class="soft">
                Checks the evidence against your policy{facts.origin.startsWith("https:")
                  ? " and compares the TLS key with it"
                  : "; over plain HTTP nothing ties the connection to the node"}. Node{" "}
                <code>{facts.enclaveId}</code>, <a href="/api/v1/attestation">attestation</a>.
              </p>
            </section>
            <section>
              <h2>Workers</h2>
              <dl class="counts">
                {(["active", "ready", "lost", "refused"] as const).map((state) => (
                  <div>
                    <dt>{state}</dt>
                    <dd>
                      <Live name={state} live={live} />
                    </dd>
                  </div>
                ))}
              </dl>
              <p class="soft">
                {facts.admission === "configured"
                  ? "Admitted by their Seal token on the chain."
                  : "Admission is not configured: nobody can register."}
              </p>
            </section>
            <section>
              <h2>Chain</h2>
              <dl>
                <dt>State</dt>
                <dd>
                  <Live name="chain" live={live} />
                </dd>
                <dt>Detail</dt>
                <dd>
                  <Live name="chainDetail" live={live} />
                </dd>
                <dt>Trust</dt>
                <dd>{CHAIN_TRUST[facts.chainTrust] ?? facts.chainTrust}</dd>
                <dt>Events applied</dt>
                <dd>
                  <Live name="chainEvents" live={live} />
                </dd>
                <dt>Last event</dt>
                <dd>
                  <Live name="chainLast" live={live} />
                </dd>
              </dl>
            </section>
          </div>
          <footer>
            <Live name="time" live={live} /> · <span id="connection">as of loading</span>
          </footer>
        </main>
        <script>{raw(SCRIPT)}</script>
      </body>
    </html>
  );
}
