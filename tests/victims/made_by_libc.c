/* Blocks that libc makes and the program frees. */
#include <dirent.h>
#include <regex.h>
#include <unistd.h>
#include <wchar.h>

#include "tests/victims/expect.h"

static void check_streams(void) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    for (int i = 0; i < 5000; i++) {
        fprintf(memory, "line %d\n", i);
    }
    fclose(memory);
    EXPECT(bytes == strlen(text));
    FILE *again = fmemopen(text, bytes, "r");
    char *line = NULL;
    size_t room = 0;
    int lines = 0;
    while (getline(&line, &room, again) > 0) {
        lines++;
    }
    EXPECT(lines == 5000 && strcmp(line, "line 4999\n") == 0);
    fclose(again);
    free(line);
    free(text);
}

int main(void) {
    char *text = NULL;
    EXPECT(asprintf(&text, "%0*d", 5000, 7) == 5000);
    char *copy = strndup(text, 4000);
    EXPECT(strlen(copy) == 4000);
    free(copy);
    free(text);
    free(wcsdup(L"wide"));
    char *path = realpath(".", NULL);
    char *here = getcwd(NULL, 0);
    EXPECT(path != NULL && here != NULL && strcmp(path, here) == 0);
    free(path);
    free(here);
    struct dirent **entries = NULL;
    int count = scandir("/", &entries, NULL, alphasort);
    EXPECT(count > 2);
    for (int i = 0; i < count; i++) {
        free(entries[i]);
    }
    free(entries);
    regex_t pattern;
    EXPECT(regcomp(&pattern, "^(a|b)*c+[0-9]{2,5}$", REG_EXTENDED) == 0);
    EXPECT(regexec(&pattern, "ababcc123", 0, NULL, 0) == 0);
    regfree(&pattern);
    EXPECT(setenv("VICTIM", "value", 1) == 0 && unsetenv("VICTIM") == 0);
    check_streams();
    return expect_end();
}
