#include "report/page_part.h"

/* The files themselves, so that editors and checks take them for what they are. Paths are from the root, where the
 * compiler runs; the Makefile knows that this depends on them. */
#define ASSET(name, files)                                                                                             \
    __asm__(".pushsection .rodata\n.global " #name "\n.type " #name ", %object\n" #name ":\n" files                    \
            ".byte 0\n.size " #name ", . - " #name "\n.popsection\n")
#define PIECE(path) ".incbin \"report/" path "\"\n"

ASSET(psc_page_style, PIECE("page.css"));
ASSET(psc_page_widgets, PIECE("page.html"));
ASSET(psc_page_script,
      PIECE("page_data.js") PIECE("page_tree.js") PIECE("page_flame.js") PIECE("page_sites.js") PIECE("page.js"));
