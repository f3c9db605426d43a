/* The part of the stack walker that knows the processor. Each file unwind_<architecture>.h offers
 *
 *   struct psc_unwind_start, psc_unwind_capture     where a walk starts
 *   PSC_REG_*                                       the registers that a callee keeps, the stack pointer and the pc
 *   psc_arch_register, psc_arch_thread_pointer
 *   struct psc_unwind_cursor                        the registers of one frame
 *   psc_row_pack, psc_row_step                      a table's row in PSC_ROW_BITS bits, and the step that it describes
 */
#ifndef PSC_CORE_TRACK_UNWIND_ARCH_H
#define PSC_CORE_TRACK_UNWIND_ARCH_H

#ifdef __x86_64__
#include "core/track/unwind_x86_64.h"
#else
#error "the stack walker needs a file unwind_<architecture>.h"
#endif

#endif
