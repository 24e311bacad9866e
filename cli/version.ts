/** `nautilus version`. */
import { VERSION } from "../version.ts";
import { type Command, EXIT } from "./command.ts";
import { parseFlags } from "./flags.ts";
import { programForm } from "./program_form.ts";

export const version: Command = {
  name: "version",
  summary: "Print the version; --verbose adds the runtime and the crypto provider.",
  usage: "Usage: nautilus version [--verbose] [--json]",
  async run(io) {
    const { switches } = parseFlags(io.args, { switches: ["verbose", "json"] });
    const facts: Record<string, string> = { version: VERSION };
    if (switches.has("verbose")) {
      const { selectAead } = await import("../store/mod.ts");
      const aead = selectAead();
      facts["aead"] = `${aead.provider.name} (${aead.detail})`;
      facts["form"] = programForm();
      facts["deno"] = Deno.version.deno;
      facts["v8"] = Deno.version.v8;
      facts["target"] = Deno.build.target;
    }
    io.stdout(
      switches.has("json")
        ? JSON.stringify(facts) + "\n"
        : switches.has("verbose")
        ? Object.entries(facts).map(([name, value]) => `${name.padEnd(8)} ${value}\n`).join("")
        : `nautilus ${VERSION}\n`,
    );
    return EXIT.done;
  },
};
