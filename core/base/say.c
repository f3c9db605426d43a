#include "core/base/say.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/call.h"
#include "core/base/os.h"

struct sink {
    char *buffer;
    size_t room; /* bytes that may still be written, the NUL not counted */
    size_t length;
};

static void put(struct sink *sink, char c) {
    if (sink->room > 0) {
        sink->buffer[sink->length++] = c;
        sink->room--;
    }
}

static void put_text(struct sink *sink, const char *text) {
    for (const char *c = text != NULL ? text : "(null)"; *c != '\0'; c++) {
        put(sink, *c);
    }
}

static void put_number(struct sink *sink, uint64_t value, unsigned base) {
    char digits[24];
    size_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (count > 0) {
        put(sink, digits[--count]);
    }
}

static void put_signed(struct sink *sink, int64_t value) {
    if (value < 0) {
        put(sink, '-');
    }
    put_number(sink, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

static uint64_t take_unsigned(va_list *args, int longs) {
    return longs > 0 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
}

static void put_argument(struct sink *sink, char kind, int longs, va_list *args) {
    switch (kind) {
    case 's': put_text(sink, va_arg(*args, const char *)); break;
    case 'c': put(sink, (char)va_arg(*args, int)); break;
    case 'd': put_signed(sink, longs > 0 ? va_arg(*args, long) : va_arg(*args, int)); break;
    case 'u': put_number(sink, take_unsigned(args, longs), 10); break;
    case 'x': put_number(sink, take_unsigned(args, longs), 16); break;
    case 'p':
        put_text(sink, "0x");
        put_number(sink, (uintptr_t)va_arg(*args, void *), 16);
        break;
    default: put(sink, kind); break;
    }
}

static void format_into(struct sink *sink, const char *format, va_list *args) {
    for (const char *c = format; *c != '\0'; c++) {
        if (*c != '%') {
            put(sink, *c);
            continue;
        }
        int longs = 0;
        for (c++; *c == 'l' || *c == 'z'; c++) {
            longs++;
        }
        if (*c == '\0') {
            return;
        }
        put_argument(sink, *c, longs, args);
    }
}

size_t psc_format(char *buffer, size_t bytes, const char *format, ...) {
    if (bytes == 0) {
        return 0;
    }
    struct sink sink = {.buffer = buffer, .room = bytes - 1};
    va_list args;
    va_start(args, format);
    format_into(&sink, format, &args);
    va_end(args);
    buffer[sink.length] = '\0';
    return sink.length;
}

/* ---- stderr ----------------------------------------------------------------------------------------------------- */

static struct {
    bool known;
    dev_t device;
    ino_t inode;
} begun; /* fixed after start */

void psc_say_begin(void) {
    struct stat status;
    int saved = errno;
    begun.known = fstat(STDERR_FILENO, &status) == 0;
    if (begun.known) {
        begun.device = status.st_dev;
        begun.inode = status.st_ino;
    }
    errno = saved;
}

bool psc_say_may_disturb(void) {
    struct stat status;
    int saved = errno;
    bool same = begun.known && !psc_os_in_sandbox() && fstat(STDERR_FILENO, &status) == 0 &&
                status.st_dev == begun.device && status.st_ino == begun.inode;
    errno = saved;
    return same;
}

/* 0 or an errno value. */
static int write_all(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = psc_call_write(STDERR_FILENO, text, length);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? errno : EIO;
        }
        text += written;
        length -= (size_t)written;
    }
    return 0;
}

/* A pipe that nobody reads raises SIGPIPE, the limit on file sizes SIGXFSZ: what our write has raised is taken back before
 * it is delivered. In a sandbox that may be forbidden. */
static void write_quietly(const char *text, size_t length) {
    sigset_t ours, before, pending;
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    sigaddset(&ours, SIGXFSZ);
    if (psc_os_in_sandbox() || sigpending(&pending) != 0 || pthread_sigmask(SIG_BLOCK, &ours, &before) != 0) {
        write_all(text, length);
        return;
    }
    int error = write_all(text, length);
    int raised = error == EPIPE ? SIGPIPE : error == EFBIG ? SIGXFSZ : 0;
    if (raised != 0 && sigismember(&pending, raised) == 0) {
        sigdelset(&ours, raised == SIGPIPE ? SIGXFSZ : SIGPIPE);
        psc_call_take_signal(&ours);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void psc_say(const char *format, ...) {
    int saved = errno;
    char line[1024];
    struct sink sink = {.buffer = line, .room = sizeof line - 1};
    put_text(&sink, "poolscope: ");
    va_list args;
    va_start(args, format);
    format_into(&sink, format, &args);
    va_end(args);
    line[sink.length++] = '\n';
    write_quietly(line, sink.length);
    errno = saved;
}

const char *psc_errno_text(int error, char *buffer, size_t bytes) {
    static const struct {
        int error;
        const char *text;
    } known[] = {
        {ENOENT, "no such file or directory"},
        {EACCES, "permission denied"},
        {EPERM, "operation not permitted"},
        {EROFS, "read-only file system"},
        {ENOSPC, "no space left on device"},
        {EDQUOT, "disk quota exceeded"},
        {ENOMEM, "no memory"},
        {EEXIST, "file exists"},
        {ENOTDIR, "not a directory"},
        {EISDIR, "is a directory"},
        {EFBIG, "file size limit reached"},
        {EMFILE, "too many open files"},
        {ENFILE, "too many open files"},
        {ELOOP, "too many symbolic links"},
        {ENAMETOOLONG, "file name too long"},
        {EINVAL, "invalid argument"},
        {EIO, "input/output error"},
    };
    for (size_t i = 0; i < PSC_COUNT_OF(known); i++) {
        if (known[i].error == error) {
            return known[i].text;
        }
    }
    psc_format(buffer, bytes, "error %d", error);
    return buffer;
}
