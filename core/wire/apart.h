/* The file that the option `apart` names: which sites get pools of their own. poolscope-apart(5) describes it; poolscope
 * run writes it, libpoolscope.so reads it. */
#ifndef PSC_CORE_WIRE_APART_H
#define PSC_CORE_WIRE_APART_H

#define PSC_APART_MAGIC "poolscope-apart 1" /* the first line */

#define PSC_APART_GROUPS_MAX 7u
#define PSC_APART_MODULES_MAX 256u
#define PSC_APART_RANGES_MAX 8192u
#define PSC_APART_STACKS_MAX 64u
#define PSC_APART_BYTES_MAX (1u << 20) /* of the file */

/* A site is a function's if one of so many innermost return addresses of its stack lies in the function. */
#define PSC_APART_FRAMES 8u

#endif
