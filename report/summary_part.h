/* What the files of the summary share. */
#ifndef PSC_REPORT_SUMMARY_PART_H
#define PSC_REPORT_SUMMARY_PART_H

#include <stdio.h>

#include "report/model.h"

/* Where the memory is: the heap's parts, what is pinned, the resident memory of the process. */
void psc_summary_memory(const struct psc_model *model, FILE *out);
/* The size classes that hold most beyond what is requested. */
void psc_summary_classes(const struct psc_model *model, FILE *out);

#endif
