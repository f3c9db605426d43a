/* By which command lines on stderr begin: "poolscope report: ...". */
#ifndef PSC_REPORT_PREFIX_H
#define PSC_REPORT_PREFIX_H

/* `command` is kept by reference. */
void psc_prefix_set(const char *command);
/* "report" until another was set. */
const char *psc_prefix_name(void);

#endif
