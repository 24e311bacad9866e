/*
 * nautilus, form (b): this launcher, the official Deno and the bundled program in one file.
 *
 *   [launcher ELF][pad to 64 KiB][Deno ELF, unchanged][pad to 4 KiB]
 *   [program][code cache][thread program][loader][footer, 96 bytes]
 *
 * The launcher maps Deno's segments straight from this file, as execve would, and jumps into its
 * dynamic loader: nothing is copied or written, the page cache is shared between starts, and
 * /proc/self/exe stays this file. Deno needs a path for the module it starts: that is the loader, a
 * few lines in a sealed memfd, which reads the program from /proc/self/exe.
 * README.md beside this file says what the program may rely on.
 */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "elf_map.h"
#include "environment.h"
#include "syscalls.h"

enum {
  AT_FDCWD_ = -100, O_RDONLY_ = 0, O_CLOEXEC_ = 02000000, SEEK_END_ = 2,
  MFD_CLOEXEC_ = 1, MFD_ALLOW_SEALING_ = 2, MFD_NOEXEC_SEAL_ = 8,
  F_DUPFD_CLOEXEC_ = 1030, F_ADD_SEALS_ = 1033,
  F_SEAL_SEAL_ = 1, F_SEAL_SHRINK_ = 2, F_SEAL_GROW_ = 4, F_SEAL_WRITE_ = 8,
  PR_SET_DUMPABLE_ = 4, PR_SET_NO_NEW_PRIVS_ = 38, RLIMIT_CORE_ = 4, EINVAL_ = 22,
  SIG_BLOCK_ = 0, SIGUSR1_ = 10
};

static const char MAGIC[16] = "nautilus-tee-b1\n";

#define FIRST_OWN_FD 10

/* How Deno is started; the program's own arguments follow the loader's path. */
static const char *const DENO_ARGUMENTS[] = {
    "nautilus", "run", "--quiet", "--allow-all", "--no-config", "--no-lock", "--no-remote",
    "--no-npm", "--node-modules-dir=none", "--no-code-cache", "--ext=js",
};

/*
 * By itself V8 lets garbage grow to several times what is in use: with 10,000 workers that was
 * 300 MB which nothing referred to. The code cache is made under the same
 * flags (build.ts), for V8 takes none that was made under others.
 */
#ifndef V8_FLAGS
#error "build.ts says V8_FLAGS"
#endif

/*
 * The only DENO_* it sees. No cache folder: a code cache that the host can write would be code that
 * the host can write. SIGUSR2 trims the heap, which the program asks for after boot.
 */
static const char *const SETTINGS[] = {
    "DENO_NO_UPDATE_CHECK=1", "DENO_NO_PROMPT=1", "DENO_NO_PACKAGE_JSON=1",
    "DENO_DIR=/dev/null/none", "DENO_USR2_MEMORY_TRIM=1",
    "DENO_V8_FLAGS=" V8_FLAGS,
    /* Else each of V8's helper threads keeps megabytes that it has freed. */
    "MALLOC_ARENA_MAX=2",
};

struct footer {
  char magic[16];
  /* In bytes, little endian. */
  uint64_t runtime_offset, runtime_size, program_offset, program_size;
  uint64_t code_cache_offset, code_cache_size, thread_program_offset, thread_program_size;
  uint64_t loader_offset, loader_size;
};

/* gcc may call these for copies and initializers even in freestanding code. */
void *memcpy(void *to, const void *from, size_t size) {
  char *t = to;
  const char *f = from;
  while (size--) *t++ = *f++;
  return to;
}
void *memset(void *at, int value, size_t size) {
  char *a = at;
  while (size--) *a++ = (char)value;
  return at;
}

static void print(const char *text) {
  size_t size = 0;
  while (text[size]) size++;
  SYSCALL(write, 2, text, size);
}

static char *decimal(char *end, unsigned long value) {
  *--end = 0;
  do *--end = (char)('0' + value % 10); while (value /= 10);
  return end;
}

_Noreturn void die(const char *what, const char *why, long negative_errno) {
  char digits[24];
  print("nautilus: cannot start: ");
  print(what);
  print(" ");
  print(why);
  if (negative_errno < 0) {
    print(" (errno ");
    print(decimal(digits + sizeof digits, (unsigned long)-negative_errno));
    print(")");
  }
  print("\n");
  SYSCALL(exit_group, 3);
  __builtin_unreachable();
}

/*
 * No core files and no reading by processes of the same user: the memory holds keys. SIGUSR1, which
 * would make Deno open its inspector on port 9229, stays blocked in every thread.
 */
static void protect_process(void) {
  const uint64_t none[2] = {0, 0};
  SYSCALL(prlimit64, 0, RLIMIT_CORE_, none, 0);
  long result = SYSCALL(prctl, PR_SET_DUMPABLE_, 0);
  if (result < 0) die("the process", "cannot be made undumpable", result);
  result = SYSCALL(prctl, PR_SET_NO_NEW_PRIVS_, 1);
  if (result < 0) die("the process", "cannot give up gaining privileges", result);
  const uint64_t sigusr1 = 1ull << (SIGUSR1_ - 1);
  result = SYSCALL(rt_sigprocmask, SIG_BLOCK_, &sigusr1, 0, sizeof sigusr1);
  if (result < 0) die("SIGUSR1", "cannot be blocked", result);
}

/* Opens this very file (not whatever has its name by now) and reads where its parts lie. */
static int open_self(struct footer *footer) {
  int exe = (int)SYSCALL(openat, AT_FDCWD_, "/proc/self/exe", O_RDONLY_ | O_CLOEXEC_);
  if (exe < 0) die("/proc/self/exe", "cannot be opened: is /proc mounted?", exe);
  long size = SYSCALL(lseek, exe, 0, SEEK_END_);
  if (size < (long)sizeof *footer ||
      SYSCALL(pread64, exe, footer, sizeof *footer, size - (long)sizeof *footer) !=
          (long)sizeof *footer) {
    die("the program file", "is cut short", size);
  }
  for (size_t i = 0; i < sizeof MAGIC; i++) {
    if (footer->magic[i] != MAGIC[i]) die("the program file", "is damaged: it has no footer", 0);
  }
  return exe;
}

/*
 * Copies the loader into memory that nobody can change any more and returns its descriptor, moved
 * up so that 3 and the next stay free for descriptors a service manager hands over.
 */
static int make_loader_fd(int exe, const struct footer *footer) {
  unsigned flags = MFD_CLOEXEC_ | MFD_ALLOW_SEALING_;
  int fd = (int)SYSCALL(memfd_create, "nautilus", flags | MFD_NOEXEC_SEAL_);
  if (fd == -EINVAL_) fd = (int)SYSCALL(memfd_create, "nautilus", flags); /* Linux < 6.3 */
  if (fd < 0) die("memory for the loader", "cannot be had (memfd_create)", fd);
  int64_t from = (int64_t)footer->loader_offset;
  uint64_t left = footer->loader_size;
  while (left > 0) {
    long n = SYSCALL(sendfile, fd, exe, &from, left);
    if (n <= 0) die("the loader", "cannot be copied into memory", n);
    left -= (uint64_t)n;
  }
  long sealed = SYSCALL(fcntl, fd, F_ADD_SEALS_,
                        F_SEAL_SEAL_ | F_SEAL_SHRINK_ | F_SEAL_GROW_ | F_SEAL_WRITE_);
  if (sealed < 0) die("the loader", "cannot be sealed against changes", sealed);
  int moved = (int)SYSCALL(fcntl, fd, F_DUPFD_CLOEXEC_, FIRST_OWN_FD);
  if (moved < 0) die("the loader", "cannot be given a descriptor", moved);
  SYSCALL(close, fd);
  return moved;
}

#if defined(__x86_64__)
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call launch\n");

static _Noreturn void jump(uintptr_t entry, const uintptr_t *stack) {
  /* rdx = 0: no function for the loader to register with atexit. */
  __asm__ volatile("mov %0, %%rsp\n xor %%edx, %%edx\n xor %%ebp, %%ebp\n jmp *%1"
                   :
                   : "r"(stack), "r"(entry)
                   : "memory", "rdx");
  __builtin_unreachable();
}
#else
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  mov x29, #0\n"
    "  mov x30, #0\n"
    "  mov x0, sp\n"
    "  and sp, x0, #-16\n"
    "  bl launch\n");

static _Noreturn void jump(uintptr_t entry, const uintptr_t *stack) {
  __asm__ volatile("mov sp, %0\n mov x0, #0\n mov x29, #0\n mov x30, #0\n br %1"
                   :
                   : "r"(stack), "r"(entry)
                   : "memory", "x0");
  __builtin_unreachable();
}
#endif

static Elf64_auxv_t *find_aux(Elf64_auxv_t *aux, uint64_t type) {
  for (; aux->a_type != AT_NULL; aux++) {
    if (aux->a_type == type) return aux;
  }
  die("the kernel", "passed no auxiliary vector entry the launcher needs", 0);
}

/* Called by _start with the initial stack: argc, argv, 0, environment, 0, auxiliary vector. */
_Noreturn __attribute__((used)) void launch(uintptr_t *initial) {
  size_t argc = initial[0];
  char **argv = (char **)&initial[1];
  char **environment = argv + argc + 1;
  char **end = environment;
  while (*end) end++;
  size_t environment_count = (size_t)(end - environment);
  Elf64_auxv_t *aux = (Elf64_auxv_t *)(end + 1);
  size_t aux_count = 1;
  while (aux[aux_count - 1].a_type != AT_NULL) aux_count++;
  size_t page_size = find_aux(aux, AT_PAGESZ)->a_un.a_val;

  protect_process();
  struct footer footer;
  int exe = open_self(&footer);
  int module = make_loader_fd(exe, &footer);
  char module_path[48] = "/proc/self/fd/";
  char digits[24];
  const char *number = decimal(digits + sizeof digits, (unsigned long)module);
  memcpy(module_path + 14, number, (size_t)(digits + sizeof digits - number));

  struct mapped_elf deno, loader;
  map_elf(exe, footer.runtime_offset, page_size, "the runtime", &deno);
  int loader_fd = (int)SYSCALL(openat, AT_FDCWD_, deno.interpreter, O_RDONLY_ | O_CLOEXEC_);
  if (loader_fd < 0) die(deno.interpreter, "cannot be opened: this needs glibc", loader_fd);
  map_elf(loader_fd, 0, page_size, deno.interpreter, &loader);
  SYSCALL(close, loader_fd);
  SYSCALL(close, exe);

  find_aux(aux, AT_PHDR)->a_un.a_val = deno.headers;
  find_aux(aux, AT_PHENT)->a_un.a_val = deno.header_size;
  find_aux(aux, AT_PHNUM)->a_un.a_val = deno.header_count;
  find_aux(aux, AT_ENTRY)->a_un.a_val = deno.entry;
  find_aux(aux, AT_BASE)->a_un.a_val = loader.base;

  /* The new initial stack, below this frame; Deno finds the stack's end by it. */
  size_t fixed = sizeof DENO_ARGUMENTS / sizeof DENO_ARGUMENTS[0];
  size_t settings = sizeof SETTINGS / sizeof SETTINGS[0];
  size_t words = 1 + fixed + 1 + argc + 1 + environment_count + settings + 1 + 2 * aux_count;
  uintptr_t *stack = __builtin_alloca_with_align((words + 1) * sizeof(uintptr_t), 128);
  uintptr_t *p = stack + 1;
  for (size_t i = 0; i < fixed; i++) *p++ = (uintptr_t)DENO_ARGUMENTS[i];
  *p++ = (uintptr_t)module_path;
  for (size_t i = 1; i < argc; i++) *p++ = (uintptr_t)argv[i];
  stack[0] = (uintptr_t)(p - stack - 1);
  *p++ = 0;
  for (size_t i = 0; i < environment_count; i++) {
    if (environment_keeps(environment[i])) *p++ = (uintptr_t)environment[i];
  }
  for (size_t i = 0; i < settings; i++) *p++ = (uintptr_t)SETTINGS[i];
  *p++ = 0;
  memcpy(p, aux, aux_count * sizeof *aux);
  jump(loader.entry, stack);
}
