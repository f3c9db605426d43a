/* Models of traces made by hand. */
#ifndef PSC_TESTS_UNIT_SUPPORT_MODEL_H
#define PSC_TESTS_UNIT_SUPPORT_MODEL_H

#include "report/model.h"
#include "tests/unit/support_trace.h"

/* The model of the trace, for psc_model_close. Ends the test program if there is none. */
struct psc_model *psc_fake_read(const struct psc_fake *fake);
/* How many of its notes are warnings. */
size_t psc_fake_warnings(const struct psc_model *model);

#endif
