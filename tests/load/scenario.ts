/** What every load has in common. */
import type { Master } from "./master.ts";
import { cpuPercent, processFigures } from "./process_figures.ts";
import type { Row } from "./report.ts";
import { wrk, type WrkOptions, type WrkResult } from "./wrk.ts";

export interface LoadContext {
  /** Started when it is first asked for, and shared. */
  master(): Promise<Master>;
  /** One that nobody else has used, with settings of its own; the caller ends it. */
  freshMaster(env?: Readonly<Record<string, string>>): Promise<Master>;
  readonly hasWrk: boolean;
  /** Of one measurement. */
  readonly seconds: number;
  /** Workers of the large population. */
  readonly workers: number;
  /** In which all of them beat once. */
  readonly periods: number;
  /** For files; removed at the end. */
  readonly directory: string;
  say(text: string): void;
}

export interface Scenario {
  readonly name: string;
  run(context: LoadContext): Promise<readonly Row[]>;
}

/** wrk against the master, and what the master needed meanwhile. */
export async function wrkRow(
  name: string,
  pid: number,
  options: WrkOptions,
  more: Partial<Row> & { readonly atLeast?: number } = {},
): Promise<Row> {
  const before = processFigures(pid);
  const result = await wrk(options);
  const after = processFigures(pid);
  const { atLeast, ...rest } = more;
  return {
    name,
    perSecond: result.perSecond,
    medianMs: result.medianMs,
    p99Ms: result.p99Ms,
    cpuPercent: cpuPercent(before, after),
    residentMB: after.residentMB,
    ...(atLeast === undefined ? {} : {
      target: {
        text: `>= ${atLeast.toLocaleString("en")}/s`,
        met: result.perSecond >= atLeast && flaws(result) === undefined,
      },
    }),
    note: flaws(result),
    ...rest,
  };
}

/** What was not as it should be; undefined: nothing. */
export function flaws({ refused, errors }: WrkResult): string | undefined {
  return refused + errors === 0 ? undefined : `${refused} refused, ${errors} broken`;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
