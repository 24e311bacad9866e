/* Times a call `count` times and prints the median, in nanoseconds: what a binding is compared with. */
#ifndef NAUTILUS_LOOP_H
#define NAUTILUS_LOOP_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double loop_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int loop_compare(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

/* `call` gives 0 where it went well. The first tenth warms up. */
static int loop_run(int count, int (*call)(void *context), void *context) {
  int warm = count / 10 + 1;
  double *took = calloc((size_t)count, sizeof *took);
  if (took == NULL || count < 1) return 1;
  for (int i = -warm; i < count; i++) {
    double start = loop_now();
    if (call(context) != 0) return 1;
    if (i >= 0) took[i] = loop_now() - start;
  }
  qsort(took, (size_t)count, sizeof *took, loop_compare);
  printf("%.0f\n", took[count / 2]);
  free(took);
  return 0;
}

#endif
