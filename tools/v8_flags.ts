/**
 * How V8 is started: garbage of at most half of what is in use. 10,000 workers that entered and beat
 * once, highest RSS and CPU time of an admission (built file, 2 cores, busy machine):
 *
 * | growing percent, semi-space | RSS    | CPU     |
 * | --------------------------- | ------ | ------- |
 * | 50, 8 MB (these)            | 267 MB | 1.35 ms |
 * | 30, 4 MB                    | 258 MB | 1.44 ms |
 */
export const V8_FLAGS = "--heap-growing-percent=50,--max-semi-space-size=8";
