#include "report/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/prefix.h"

static void die(void) {
    fprintf(stderr, "poolscope %s: out of memory\n", psc_prefix_name());
    exit(1);
}

void *psc_array_new(size_t count, size_t size) {
    void *memory = calloc(count != 0 ? count : 1, size);
    if (memory == NULL) {
        die();
    }
    return memory;
}

void *psc_array_reserve(void *array, size_t count, size_t *capacity, size_t size) {
    if (count <= *capacity) {
        return array;
    }
    size_t wanted = count < 16 ? 16 : count + count / 2;
    /* not realloc: large zeroed memory from the kernel stays untouched until it is used */
    void *bigger = psc_array_new(wanted, size);
    if (array != NULL) {
        memcpy(bigger, array, *capacity * size);
    }
    free(array);
    *capacity = wanted;
    return bigger;
}

char *psc_array_text(const char *text) {
    char *copy = strdup(text);
    if (copy == NULL) {
        die();
    }
    return copy;
}
