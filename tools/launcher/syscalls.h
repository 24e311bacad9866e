/*
 * The few Linux system calls the launcher needs, without a C library: a C library would set up
 * thread state (TLS, rseq, robust lists) that the program it hands over to sets up again.
 */
#ifndef NAUTILUS_SYSCALLS_H
#define NAUTILUS_SYSCALLS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

enum {
  NR_write = 1, NR_close = 3, NR_lseek = 8, NR_mmap = 9, NR_rt_sigprocmask = 14, NR_pread64 = 17,
 
  NR_sendfile = 40, NR_fcntl = 72, NR_prctl = 157, NR_exit_group = 231, NR_openat = 257,
  NR_prlimit64 = 302, NR_memfd_create = 319
};

static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__)

enum {
  NR_fcntl = 25, NR_openat = 56, NR_close = 57, NR_lseek = 62, NR_write = 64, NR_pread64 = 67,
  NR_sendfile = 71, NR_exit_group = 94, NR_rt_sigprocmask = 135, NR_prctl = 167, NR_mmap = 222, NR_prlimit64 = 261, NR_memfd_create = 279
};

static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = nr;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory", "cc");
  return x0;
}

#else
#error "the launcher knows x86-64 and aarch64 Linux"
#endif

#define SYSCALL(name, ...) SYSCALL_PAD(NR_##name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYSCALL_PAD(nr, a, b, c, d, e, f, ...) \
  syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/** Prints `nautilus: cannot start: WHAT: WHY (errno N)` to stderr and exits 3; never returns. */
_Noreturn void die(const char *what, const char *why, long negative_errno);

#endif
