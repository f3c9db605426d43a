/* The kernel, as the rest of core sees it: mappings, clocks, files. The only file of core that includes <sys/mman.h>.
 * No function here allocates, takes a lock or changes errno unless it says so. All sizes are bytes. */
#ifndef PSC_CORE_BASE_OS_H
#define PSC_CORE_BASE_OS_H

#include <sys/uio.h>

#include "core/base/compiler.h"

#define PSC_PAGE_BYTES 4096u

/* Address space without memory behind it, aligned to `alignment` (a power of two >= the page size). NULL: none. */
void *psc_os_reserve(size_t bytes, size_t alignment);
/* The same, and usable at once, zeroed, if `usable`. */
void *psc_os_map_aligned(size_t bytes, size_t alignment, bool usable);
/* Makes reserved pages usable, zeroed. False: no memory. */
bool psc_os_commit(void *address, size_t bytes);
/* Gives memory and commit charge back; the address space stays reserved. */
bool psc_os_decommit(void *address, size_t bytes);
/* Gives the pages back at once; they read as zero afterwards, those of a file as it has them. False: nothing changed. */
bool psc_os_purge(void *address, size_t bytes);
/* The same for many ranges: by one call of the kernel where that has one for it (from 6.15 on) and no sandbox is around.
 * Returns how many of them, from the first on, have gone. One thread at a time. */
size_t psc_os_purge_ranges(const struct iovec *ranges, size_t count);
/* The process is about to forbid itself system calls: from now on only those are made that sandboxes usually allow. Files
 * are neither opened nor looked at any more. */
void psc_os_enter_sandbox(void);
bool psc_os_in_sandbox(void);
/* Brings pages of usable memory in, as touching each would, at a fraction of the cost. False: not all of them (a kernel
 * before 5.14, no memory, a sandbox). */
bool psc_os_populate(void *address, size_t bytes);
/* Reserved and usable at once, page-aligned, zeroed. NULL: none. */
void *psc_os_map(size_t bytes);
/* False: the range is still mapped (no VMA to split). */
bool psc_os_unmap(void *address, size_t bytes);
/* Grows or shrinks a mapping where it is. False: unchanged. */
bool psc_os_resize(void *address, size_t old_bytes, size_t new_bytes);
/* Grows a mapping, where it is or elsewhere. Its new address; NULL: unchanged. */
void *psc_os_grow(void *address, size_t old_bytes, size_t new_bytes);
/* Moves the pages of a mapping over a reserved range of `new_bytes`, and gives it that size. False: both are unchanged.
 */
bool psc_os_move(void *from, size_t old_bytes, void *to, size_t new_bytes);
/* Once, before a second thread is started: notes whether system calls are filtered that we have not been told of. */
void psc_os_look_for_sandbox(void);
/* False in a sandbox: what is resident is not known then. */
bool psc_os_may_ask_resident(void);
/* Of a range of whole pages, the bytes whose pages are in memory. What is not mapped counts for nothing, nor does
 * anything where the kernel may not be asked. Some 10 ns a page. */
uint64_t psc_os_resident(const void *address, size_t bytes);
/* Whether the 8 bytes at a multiple of 8 can be read, as the kernel finds; some 100 ns. False in a sandbox. */
bool psc_os_can_read(const void *address);
/* Zeroed pages that a forked child finds zeroed again. NULL: none. */
void *psc_os_map_wiped_on_fork(size_t bytes);
/* How many mappings the kernel lets a process have, by what it says when first asked. */
uint64_t psc_os_mappings_limit(void);
/* The soft limit on address space, SIZE_MAX if none. */
size_t psc_os_address_space_limit(void);

/* Nanoseconds of CLOCK_MONOTONIC / CLOCK_REALTIME. */
uint64_t psc_os_monotonic_ns(void);
/* Processor time of the calling thread, for differences: where other programs have the processor, a piece of work does not
 * seem longer than it is. In a sandbox that of the clock. */
uint64_t psc_os_thread_cpu_ns(void);
/* Milliseconds of CLOCK_MONOTONIC_COARSE: a few ms behind, and read within a few ns. */
uint64_t psc_os_monotonic_ms(void);
uint64_t psc_os_realtime_ns(void);
/* How often the calling thread has waited for something in the kernel, other than for a processor; in a sandbox
 * PSC_OS_WAITS_UNKNOWN. */
#define PSC_OS_WAITS_UNKNOWN UINT64_MAX
uint64_t psc_os_waits(void);

/* Creates a new regular file of `bytes` (a hole), mode 0600, never through a link, and maps it shared: over `at` if
 * that is not NULL (replacing what is there), else anywhere. Returns the address, or NULL with errno set (EEXIST among
 * others); no descriptor stays open. */
void *psc_os_create_mapped(const char *path, size_t bytes, void *at);
/* Gets disk space for a range of a file mapping before it is touched, so that touching it cannot raise SIGBUS. `path`
 * names the file for kernels that need a descriptor (before 5.14). 0 or an errno value. */
int psc_os_back_with_space(void *address, size_t bytes, const char *path, size_t file_offset);
struct psc_os_file_id {
    uint64_t device;
    uint64_t inode;
};
bool psc_os_file_id(const char *path, struct psc_os_file_id *id);
/* Gets disk space for a part of a file, but no memory, if `path` still names the file of that id. False: not done. */
bool psc_os_back_ahead(const char *path, const struct psc_os_file_id *id, size_t offset, size_t bytes);
/* Cuts the file down to `bytes` if `path` still names the file of that id. Not in a sandbox. */
void psc_os_truncate(const char *path, const struct psc_os_file_id *id, size_t bytes);

#endif
