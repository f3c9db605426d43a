#include "report/prefix.h"

static const char *command_at_work = "report";

void psc_prefix_set(const char *command) {
    command_at_work = command;
}

const char *psc_prefix_name(void) {
    return command_at_work;
}
