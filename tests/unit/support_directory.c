#include "tests/unit/support_directory.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

void psc_test_remove_directory(const char *directory) {
    char path[512];
    DIR *dir = opendir(directory);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        unlink(path);
    }
    closedir(dir);
    rmdir(directory);
}
