/* Maps ELF programs the way execve does, but from any page-aligned offset of a file. */
#ifndef NAUTILUS_ELF_MAP_H
#define NAUTILUS_ELF_MAP_H

#include <stddef.h>
#include <stdint.h>

#define INTERPRETER_PATH_MAX 256

struct mapped_elf {
  uintptr_t base;        /* load bias: address = base + p_vaddr */
  uintptr_t entry;       /* address of e_entry */
  uintptr_t headers;     /* address of the program headers */
  size_t header_count;   /* e_phnum */
  size_t header_size;    /* e_phentsize */
  char interpreter[INTERPRETER_PATH_MAX]; /* PT_INTERP, or empty */
};

/**
 * Maps the 64-bit position-independent ELF file that lies at `offset` (a multiple of the page size)
 * of `fd`. Dies with `name` in the message when it is not one or cannot be mapped.
 */
void map_elf(int fd, uint64_t offset, size_t page_size, const char *name, struct mapped_elf *out);

#endif
