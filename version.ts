/** The version that the binary, `/health` and `/version` report. */
export const VERSION = "0.1.0";
