// Types of what this project uses of @std/jsonc (npm: deno-std, which ships JavaScript only).
export function parse(text: string): unknown;
