#include "elf_map.h"

#include <elf.h>

#include "syscalls.h"

/* From <sys/mman.h>, which drags in the C library's declarations. */
enum { PROT_READ_ = 1, PROT_WRITE_ = 2, PROT_EXEC_ = 4 };
enum { MAP_PRIVATE_ = 2, MAP_FIXED_ = 0x10, MAP_ANONYMOUS_ = 0x20, MAP_NORESERVE_ = 0x4000 };

#define HEADERS_MAX 32

#if defined(__x86_64__)
#define THIS_MACHINE EM_X86_64
#else
#define THIS_MACHINE EM_AARCH64
#endif

static void read_exactly(int fd, void *into, size_t size, uint64_t offset, const char *name) {
  size_t done = 0;
  while (done < size) {
    long n = SYSCALL(pread64, fd, (char *)into + done, size - done, offset + done);
    if (n <= 0) die(name, "cannot be read", n);
    done += (size_t)n;
  }
}

static uintptr_t map(uintptr_t at, size_t size, int prot, int flags, int fd, uint64_t offset,
                     const char *name) {
  long result = SYSCALL(mmap, at, size, prot, flags, fd, offset);
  if (result < 0 && result > -4096) die(name, "cannot be mapped", result);
  return (uintptr_t)result;
}

static int protection(const Elf64_Phdr *segment) {
  return ((segment->p_flags & PF_R) ? PROT_READ_ : 0) |
         ((segment->p_flags & PF_W) ? PROT_WRITE_ : 0) |
         ((segment->p_flags & PF_X) ? PROT_EXEC_ : 0);
}

/* Maps one PT_LOAD; what p_memsz has beyond p_filesz becomes zeroes. */
static void map_segment(const Elf64_Phdr *segment, uintptr_t base, int fd, uint64_t offset,
                        size_t page_size, const char *name) {
  uintptr_t mask = page_size - 1;
  uintptr_t start = base + segment->p_vaddr;
  uintptr_t page = start & ~mask;
  size_t slack = start - page;
  if (segment->p_filesz > 0) {
    map(page, segment->p_filesz + slack, protection(segment), MAP_PRIVATE_ | MAP_FIXED_, fd,
        offset + segment->p_offset - slack, name);
  }
  if (segment->p_memsz <= segment->p_filesz) return;
  uintptr_t file_end = start + segment->p_filesz;
  uintptr_t zero_pages = (file_end + mask) & ~mask;
  uintptr_t memory_end = (start + segment->p_memsz + mask) & ~mask;
  if (segment->p_filesz > 0 && (segment->p_flags & PF_W)) {
    for (volatile char *p = (char *)file_end; p < (char *)zero_pages; p++) *p = 0;
  }
  if (memory_end > zero_pages) {
    map(zero_pages, memory_end - zero_pages, protection(segment),
        MAP_PRIVATE_ | MAP_FIXED_ | MAP_ANONYMOUS_, -1, 0, name);
  }
}

void map_elf(int fd, uint64_t offset, size_t page_size, const char *name, struct mapped_elf *out) {
  Elf64_Ehdr file;
  Elf64_Phdr segments[HEADERS_MAX];
  read_exactly(fd, &file, sizeof file, offset, name);
  if (*(uint32_t *)file.e_ident != 0x464c457f || file.e_ident[EI_CLASS] != ELFCLASS64 ||
      file.e_machine != THIS_MACHINE || file.e_type != ET_DYN ||
      file.e_phentsize != sizeof(Elf64_Phdr) || file.e_phnum == 0 || file.e_phnum > HEADERS_MAX) {
    die(name, "is not a position-independent ELF program for this machine", 0);
  }
  read_exactly(fd, segments, file.e_phnum * sizeof(Elf64_Phdr), offset + file.e_phoff, name);

  uintptr_t low = UINTPTR_MAX, high = 0, alignment = page_size;
  out->interpreter[0] = 0;
  out->headers = 0;
  for (size_t i = 0; i < file.e_phnum; i++) {
    const Elf64_Phdr *segment = &segments[i];
    if (segment->p_type == PT_INTERP) {
      if (segment->p_filesz > INTERPRETER_PATH_MAX) die(name, "names too long an interpreter", 0);
      read_exactly(fd, out->interpreter, segment->p_filesz, offset + segment->p_offset, name);
      out->interpreter[INTERPRETER_PATH_MAX - 1] = 0;
    }
    if (segment->p_type != PT_LOAD) continue;
    if (segment->p_vaddr < low) low = segment->p_vaddr;
    if (segment->p_vaddr + segment->p_memsz > high) high = segment->p_vaddr + segment->p_memsz;
    if (segment->p_align > alignment) alignment = segment->p_align;
  }
  if (low >= high) die(name, "has nothing to load", 0);
  low &= ~(alignment - 1);

  /* One reservation at an address the kernel randomizes; the segments go over it. */
  size_t span = high - low;
  uintptr_t reserved = map(0, span + alignment, 0,
                           MAP_PRIVATE_ | MAP_ANONYMOUS_ | MAP_NORESERVE_, -1, 0, name);
  out->base = ((reserved + alignment - 1) & ~(alignment - 1)) - low;
  for (size_t i = 0; i < file.e_phnum; i++) {
    const Elf64_Phdr *segment = &segments[i];
    if (segment->p_type == PT_LOAD) {
      map_segment(segment, out->base, fd, offset, page_size, name);
      if (file.e_phoff >= segment->p_offset &&
          file.e_phoff < segment->p_offset + segment->p_filesz) {
        out->headers = out->base + segment->p_vaddr + (file.e_phoff - segment->p_offset);
      }
    }
  }
  out->entry = out->base + file.e_entry;
  out->header_count = file.e_phnum;
  out->header_size = file.e_phentsize;
}
