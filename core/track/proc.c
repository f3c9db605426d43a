#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/call.h"
#include "core/track/types.h"

/* Descriptors below are left to the program; where limits allow less, down to the second. */
#define DESCRIPTOR_FLOOR 1000
#define DESCRIPTOR_FLOOR_LOW 64

static int statm = -1;
static struct psc_os_file_id statm_id;

size_t psc_track_proc_read(const char *path, char *buffer, size_t bytes) {
    size_t length = 0;
    int fd = psc_call_open(path,
                           O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe that is named as rules has no end */
    while (fd >= 0 && length < bytes - 1) {
        ssize_t got = psc_call_read(fd, buffer + length, bytes - 1 - length);
        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            break;
        }
        length += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0) {
        psc_call_close(fd);
    }
    buffer[length] = '\0';
    return length;
}

static const char *skip_fields(const char *text, unsigned count) {
    while (count > 0 && text != NULL) {
        text = strchr(text, ' ');
        text = text != NULL ? text + 1 : NULL;
        count--;
    }
    return text;
}

static uint64_t read_number(const char *text) {
    uint64_t number = 0;
    for (; text != NULL && *text >= '0' && *text <= '9'; text++) {
        number = number * 10 + (uint64_t)(*text - '0');
    }
    return number;
}

/* Field 22 of /proc/self/stat; the second one is a name in brackets that may hold blanks and brackets. */
static uint64_t start_ticks(void) {
    char text[1024];
    psc_track_proc_read("/proc/self/stat", text, sizeof text);
    return read_number(skip_fields(strrchr(text, ')'), 20));
}

void psc_track_proc_describe(struct psc_wire_header *header) {
    ssize_t length = readlink("/proc/self/exe", header->exe, sizeof header->exe - 1);
    header->exe[length > 0 ? length : 0] = '\0';
    header->argv_bytes = (uint32_t)psc_track_proc_read("/proc/self/cmdline", header->argv, sizeof header->argv);
    header->start_ticks = start_ticks();
}

static bool identify(int fd, struct psc_os_file_id *id) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return false;
    }
    *id = (struct psc_os_file_id){.device = status.st_dev, .inode = status.st_ino};
    return true;
}

static bool is_ours(int fd) {
    struct psc_os_file_id id;
    return fd >= 0 && identify(fd, &id) && id.device == statm_id.device && id.inode == statm_id.inode;
}

static int move_up(int fd) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_FLOOR);
    if (high < 0) {
        high = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_FLOOR_LOW);
    }
    psc_call_close(fd);
    return high;
}

void psc_track_proc_open(void) {
    if (is_ours(statm)) { /* in a child: this one tells of the parent */
        psc_call_close(statm);
    }
    int fd = psc_call_open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    statm = fd >= 0 ? move_up(fd) : -1;
    if (statm >= 0 && !identify(statm, &statm_id)) {
        psc_call_close(statm);
        statm = -1;
    }
}

struct psc_track_rss psc_track_proc_rss(void) {
    char text[128];
    if (psc_os_in_sandbox() || !is_ours(statm)) {
        return (struct psc_track_rss){0};
    }
    ssize_t length = psc_call_pread(statm, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    uint64_t page_bytes = getauxval(AT_PAGESZ);
    return (struct psc_track_rss){
        .all = read_number(skip_fields(text, 1)) * page_bytes,
        .shared = read_number(skip_fields(text, 2)) * page_bytes,
    };
}
