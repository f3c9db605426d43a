/* C++ names made readable. Names are untrusted: a short one can stand for gigabytes of text, so those that could are
 * given to a child process that is killed when it takes too long.
 */
#ifndef PSC_REPORT_DEMANGLE_H
#define PSC_REPORT_DEMANGLE_H

struct psc_demangler;

/* NULL: out of memory. The process must have one thread: names that could be hostile make it fork. */
struct psc_demangler *psc_demangle_open(void);
/* NULL is allowed. */
void psc_demangle_close(struct psc_demangler *demangler);

/* The readable form, to be freed by the caller; NULL if `name` is not a C++ name, or is not worth its cost. */
char *psc_demangle_name(struct psc_demangler *demangler, const char *name);

#endif
