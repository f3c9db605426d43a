/* export --to=collapsed: a line for each site, outermost frame first, as flame graphs are made of. */
#include <inttypes.h>

#include "report/export_part.h"

struct collapsed {
    enum psc_export_figure figure;
    FILE *out;
};

/* Of a line, ';' parts the frames and the last space the number. */
static bool write_stack(void *context, const struct psc_export_stack *stack) {
    const struct collapsed *collapsed = context;
    uint64_t value = stack->values[collapsed->figure];
    for (size_t i = stack->count; value != 0 && i > 0; i--) {
        psc_export_put(collapsed->out, stack->frames[i - 1].function, ";", ":");
        fputc(i > 1 ? ';' : ' ', collapsed->out);
    }
    if (value != 0) {
        fprintf(collapsed->out, "%" PRIu64 "\n", value);
    }
    return !ferror(collapsed->out);
}

bool psc_export_collapsed(struct psc_model *model, const struct psc_export_options *options, FILE *out) {
    struct collapsed collapsed = {options->figure, out};
    if (collapsed.figure == PSC_EXPORT_FIGURE_COUNT) {
        collapsed.figure = PSC_EXPORT_LIVE;
    }
    psc_export_each(model, write_stack, &collapsed);
    return !ferror(out);
}
