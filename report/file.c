#include "report/file.h"

#include <errno.h>
#include <unistd.h>

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
