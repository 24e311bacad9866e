/** Commands of several actions, the first argument saying which. */
import { nearest } from "../config.ts";
import { type CommandIo, type ExitCode, UsageError } from "./command.ts";

export type Action = (io: CommandIo) => Promise<ExitCode>;

/** Each loaded when it is asked for. */
export type Actions = Readonly<Record<string, () => Action | Promise<Action>>>;

/** Runs the action that the first argument names, with the rest. @throws {UsageError} for none, or another */
export async function runAction(actions: Actions, io: CommandIo): Promise<ExitCode> {
  const [name, ...args] = io.args;
  const load = actionOf(actions, name);
  if (load === undefined) throw unknownAction(name, Object.keys(actions));
  return await (await load())({ ...io, args });
}

/** Undefined for a name that is no action. */
export function actionOf<T>(
  actions: Readonly<Record<string, T>>,
  name: string | undefined,
): T | undefined {
  return name !== undefined && Object.hasOwn(actions, name) ? actions[name] : undefined;
}

export function unknownAction(name: string | undefined, valid: readonly string[]): UsageError {
  const guess = nearest(name ?? "", valid);
  return new UsageError(
    (name === undefined
      ? "an action is missing"
      : `unknown action "${name}"${guess === undefined ? "" : `; did you mean "${guess}"?`}`) +
      `; valid are: ${valid.join(", ")}`,
  );
}
