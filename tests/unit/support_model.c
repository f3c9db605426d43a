#include "tests/unit/support_model.h"

#include <stdlib.h>
#include <unistd.h>

struct psc_model *psc_fake_read(const struct psc_fake *fake) {
    const char *error = NULL;
    int fd = psc_fake_open(fake->bytes, psc_fake_bytes(fake));
    struct psc_model *model = psc_model_open_fd(fd, "test", &error);
    close(fd);
    if (model == NULL) {
        fprintf(stderr, "the trace cannot be read: %s\n", error);
        exit(2);
    }
    return model;
}

size_t psc_fake_warnings(const struct psc_model *model) {
    size_t count = 0;
    for (size_t i = 0; i < model->note_count; i++) {
        count += model->notes[i].warning;
    }
    return count;
}
