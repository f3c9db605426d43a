#include "report/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/array.h"

size_t psc_file_read(int fd, void *buffer, size_t bytes, uint64_t offset) {
    size_t got = 0;
    while (got < bytes) {
        ssize_t n = pread(fd, (char *)buffer + got, bytes - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        got += (size_t)n;
    }
    return got;
}

mode_t psc_file_user_mode(void) {
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

bool psc_file_begin(struct psc_file_new *file, const char *path, mode_t mode) {
    file->temporary = psc_array_new(strlen(path) + sizeof(".XXXXXX"), 1);
    sprintf(file->temporary, "%s.XXXXXX", path);
    int fd = mkostemp(file->temporary, O_CLOEXEC);
    file->out = fd >= 0 && fchmod(fd, mode) == 0 ? fdopen(fd, "w") : NULL;
    if (file->out != NULL) {
        return true;
    }
    int saved = errno;
    if (fd >= 0) {
        close(fd);
        unlink(file->temporary);
    }
    free(file->temporary);
    errno = saved;
    return false;
}

bool psc_file_end(struct psc_file_new *file, const char *path, bool keep) {
    bool done = keep && fflush(file->out) == 0 && !ferror(file->out) && fsync(fileno(file->out)) == 0;
    int saved = errno;
    if (fclose(file->out) != 0 && done) {
        saved = errno;
        done = false;
    }
    if (done && rename(file->temporary, path) != 0) {
        saved = errno;
        done = false;
    }
    if (!done) {
        unlink(file->temporary);
        errno = saved;
    }
    free(file->temporary);
    return done;
}
