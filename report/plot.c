#include "report/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/file.h"
#include "report/format.h"
#include "report/plot_figure.h"

#define NO_GNUPLOT_REASON "gnuplot is not installed"

extern char **environ;

enum outcome { DRAWN, FAILED, NO_GNUPLOT };

/* The state of one plot between its data and its picture. */
struct drawing {
    struct psc_figure figure;
    struct psc_plot *plot;
    int dir_fd;
    bool png;
    char *data;
    size_t data_bytes;
    char *script;
    size_t script_bytes;
};

bool psc_figure_leave_out(struct psc_figure *figure, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(figure->reason, figure->reason_room, format, args);
    va_end(args);
    return false;
}

/* A quote would begin a quoted field, a backslash an escape, and = + - @ a formula. */
void psc_figure_field(FILE *data, const char *text) {
    char plain[1024];
    psc_format_plain(plain, sizeof(plain), text);
    if (plain[0] != '\0' && strchr("=+-@", plain[0]) != NULL) {
        fputc('\'', data);
    }
    for (const char *c = plain; *c != '\0'; c++) {
        fputc(*c == '"' ? '\'' : *c == '\\' ? '/' : *c, data);
    }
}

/* Every power of two, or every second, ..., so that their words do not meet. */
void psc_figure_byte_tics(struct psc_figure *figure, char axis, double low, double high) {
    int first = (int)ceil(log2(low < 1 ? 1 : low)), last = (int)floor(log2(high < 2 ? 2 : high) + 1e-9);
    int step = (last - first) / (axis == 'x' ? 7 : 10) + 1;
    fprintf(figure->script, "set %ctics (", axis);
    for (int power = first; power <= last && power < 63; power += step) {
        fprintf(figure->script, "%s'%s' %.0f", power == first ? "" : ", ", psc_format_bytes(1ull << power).s,
                exp2(power));
    }
    fputs(")\n", figure->script);
}

void psc_figure_overlay(struct psc_figure *figure) {
    fputs(
        "unset arrow\nunset label\nunset title\nunset tics\nunset border\nunset xlabel\nunset ylabel\nunset logscale\n"
        "unset grid\nunset key\nset lmargin at screen 0\nset rmargin at screen 1\nset bmargin at screen 0\nset tmargin "
        "at screen 1\nset xrange [0:1]\nset yrange [0:1]\n",
        figure->script);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static int write_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno != EINTR) {
            return -1;
        }
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        }
    }
    return 0;
}

static void file_name(const struct drawing *drawing, const char *suffix, char *name, size_t room) {
    snprintf(name, room, "%s.%s", drawing->plot->name, suffix);
}

static int write_data(const struct drawing *drawing) {
    char name[64];
    file_name(drawing, "tsv", name, sizeof(name));
    int fd = openat(drawing->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return -1;
    }
    int status = write_all(fd, drawing->data, drawing->data_bytes);
    return close(fd) == 0 ? status : -1;
}

/* What an earlier report left under these names would be taken for this one's. */
static void remove_files(const struct drawing *drawing) {
    static const char *const suffixes[] = {"svg", "png", "tsv"};
    char name[64];
    for (size_t i = 0; i < PSC_COUNT_OF(suffixes); i++) {
        file_name(drawing, suffixes[i], name, sizeof(name));
        unlinkat(drawing->dir_fd, name, 0);
    }
}

/* ---- gnuplot ----------------------------------------------------------------------------------------------------- */

/* Between single quotes nothing but the quote itself has a meaning. */
static void write_quoted(FILE *script, const char *text) {
    fputc('\'', script);
    for (const char *c = text; *c != '\0'; c++) {
        fputs(*c == '\'' ? "''" : (char[]){*c, '\0'}, script);
    }
    fputc('\'', script);
}

/* Of a sampled trace every title says so. */
static void write_title(FILE *script, const struct psc_figure *figure) {
    char title[400];
    if (figure->model == NULL || !psc_model_is_sampled(figure->model)) {
        write_quoted(script, figure->title);
        return;
    }
    snprintf(title, sizeof(title), "%s (sampled, one in %s)", figure->title,
             psc_format_bytes(figure->model->sampling.interval_bytes).s);
    write_quoted(script, title);
}

static void write_terminal(FILE *script, const struct drawing *drawing, const char *terminal, const char *suffix) {
    const struct psc_figure *figure = &drawing->figure;
    fprintf(script, "reset\nset terminal %s\nset termoption noenhanced\n", terminal);
    fprintf(script, "set output '%s.%s'\n", drawing->plot->name, suffix);
    fputs("set encoding utf8\nset datafile separator tab\nset datafile commentschars ''\n"
          "set datafile columnheaders\nset key noautotitle\nset tics nomirror out\nset border 3 lc rgb '#444444'\n"
          "set grid y lc rgb '#dddddd' lt 1\nset style fill solid 1.0 noborder\nset title ",
          script);
    write_title(script, figure);
    fprintf(script, " font ',15'\n%s\nunset output\n", drawing->script);
}

/* The whole script in memory, at its beginning; -1 on failure. */
static int write_script(const struct drawing *drawing) {
    char terminal[160];
    unsigned width = drawing->figure.width;
    unsigned height = drawing->figure.height;
    int fd = memfd_create("plot", MFD_CLOEXEC);
    FILE *script = fd < 0 ? NULL : fdopen(dup(fd), "we");
    if (script == NULL) {
        return -1;
    }
    snprintf(terminal, sizeof(terminal), "svg size %u,%u dynamic font 'Helvetica,13' background '#ffffff'", width,
             height);
    write_terminal(script, drawing, terminal, "svg");
    if (drawing->png) {
        snprintf(terminal, sizeof(terminal), "pngcairo size %u,%u font 'Sans,10' background '#ffffff'", width, height);
        write_terminal(script, drawing, terminal, "png");
    }
    bool good = ferror(script) == 0;
    good = fclose(script) == 0 && good && lseek(fd, 0, SEEK_SET) == 0;
    if (!good) {
        close(fd);
        return -1;
    }
    return fd;
}

/* posix_spawnp gives an error number; 127 is a shell's word for a program that is not there. */
static enum outcome run_gnuplot(const struct drawing *drawing, int script, int talk) {
    char *const arguments[] = {(char[]){"gnuplot"}, (char[]){"-d"}, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    int status = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, script, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, talk, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, talk, STDERR_FILENO);
    posix_spawn_file_actions_addfchdir_np(&actions, drawing->dir_fd);
    int error = posix_spawnp(&child, "gnuplot", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        return error == ENOENT || error == EACCES ? NO_GNUPLOT : FAILED;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return !WIFEXITED(status) ? FAILED : WEXITSTATUS(status) == 127 ? NO_GNUPLOT : WEXITSTATUS(status) ? FAILED : DRAWN;
}

/* gnuplot's own words, without the script line and the pointer under it. */
static void keep_words(int talk, struct psc_plot *plot) {
    char words[512] = "";
    ssize_t length = pread(talk, words, sizeof(words) - 1, 0);
    words[length < 0 ? 0 : length] = '\0';
    const char *line = strstr(words, "line ");
    line = line == NULL ? words : line;
    char plain[160];
    char first[160];
    snprintf(first, sizeof(first), "%.*s", (int)strcspn(line, "\n"), line);
    psc_format_plain(plain, sizeof(plain), first);
    snprintf(plot->reason, sizeof(plot->reason), "gnuplot failed: %s", plain);
}

/* gnuplot does not tell of a disk that is full: its picture then has no end. */
static bool is_whole(const struct drawing *drawing, const char *suffix, const char *end) {
    char name[64], tail[32] = "";
    struct stat status;
    file_name(drawing, suffix, name, sizeof(name));
    int fd = openat(drawing->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0 && status.st_size >= (off_t)sizeof(tail)) {
        psc_file_read(fd, tail, sizeof(tail), (uint64_t)status.st_size - sizeof(tail));
    }
    if (fd >= 0) {
        close(fd);
    }
    return memmem(tail, sizeof(tail), end, strlen(end)) != NULL;
}

static enum outcome check_pictures(struct drawing *drawing) {
    if (is_whole(drawing, "svg", "</svg>") && (!drawing->png || is_whole(drawing, "png", "IEND"))) {
        return DRAWN;
    }
    psc_figure_leave_out(&drawing->figure, "gnuplot did not write all of it: is the disk full?");
    return FAILED;
}

static enum outcome run_script(struct drawing *drawing) {
    enum outcome outcome = FAILED;
    int script = write_script(drawing);
    int talk = memfd_create("talk", MFD_CLOEXEC);
    if (script >= 0 && talk >= 0) {
        outcome = run_gnuplot(drawing, script, talk);
    }
    if (outcome == FAILED) {
        keep_words(talk, drawing->plot);
    }
    close(script);
    close(talk);
    return outcome;
}

/* ---- the plots --------------------------------------------------------------------------------------------------- */

/* -1: a file could not be written. */
static int finish(struct drawing *drawing, bool *gnuplot_missing) {
    if (write_data(drawing) != 0) {
        int error = errno;
        remove_files(drawing);
        errno = error;
        return -1;
    }
    enum outcome outcome = run_script(drawing);
    outcome = outcome == DRAWN ? check_pictures(drawing) : outcome;
    drawing->plot->drawn = outcome == DRAWN;
    if (outcome == NO_GNUPLOT) {
        *gnuplot_missing = true;
        psc_figure_leave_out(&drawing->figure, NO_GNUPLOT_REASON);
    }
    if (outcome != DRAWN) {
        remove_files(drawing);
    }
    return 0;
}

static int draw(struct drawing *drawing, bool *gnuplot_missing, bool (*make)(struct psc_figure *)) {
    int status = -1;
    drawing->figure.data = open_memstream(&drawing->data, &drawing->data_bytes);
    drawing->figure.script = open_memstream(&drawing->script, &drawing->script_bytes);
    remove_files(drawing);
    if (drawing->figure.data != NULL && drawing->figure.script != NULL) {
        bool made = make(&drawing->figure);
        bool good = fflush(drawing->figure.data) == 0 && fflush(drawing->figure.script) == 0;
        status = !good ? -1 : made ? finish(drawing, gnuplot_missing) : 0;
    }
    if (drawing->figure.data != NULL) {
        fclose(drawing->figure.data);
    }
    if (drawing->figure.script != NULL) {
        fclose(drawing->figure.script);
    }
    free(drawing->data);
    free(drawing->script);
    return status;
}

static struct drawing drawing_of(struct psc_plot *plot, int dir_fd, bool png) {
    return (struct drawing){
        .figure = {.name = plot->name,
                   .title = plot->title,
                   .width = 1000,
                   .height = 440,
                   .reason = plot->reason,
                   .reason_room = sizeof(plot->reason)},
        .plot = plot,
        .dir_fd = dir_fd,
        .png = png,
    };
}

static void close_keeping_errno(int fd) {
    int error = errno;
    close(fd);
    errno = error;
}

int psc_figure_draw(struct psc_plot *plot, bool (*make)(struct psc_figure *), const void *subject, const char *dir,
                    bool png) {
    bool gnuplot_missing = false;
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return -1;
    }
    struct drawing drawing = drawing_of(plot, dir_fd, png);
    drawing.figure.subject = subject;
    int status = draw(&drawing, &gnuplot_missing, make);
    close_keeping_errno(dir_fd);
    return status;
}

#define PLOT_ROW(file, heading, sentence)                                                                              \
    {.name = #file, .title = heading, .shows = sentence, .drawn = false, .reason = ""},
#define PLOT_MAKER(file, heading, sentence) psc_figure_##file,

int psc_plot_draw(struct psc_model *model, const char *dir, bool png, struct psc_plots *plots) {
    static const struct psc_plot rows[] = {PSC_PLOTS(PLOT_ROW)};
    static bool (*const makers[])(struct psc_figure *) = {PSC_PLOTS(PLOT_MAKER)};
    int status = 0;
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    memset(plots, 0, sizeof(*plots));
    memcpy(plots->items, rows, sizeof(rows));
    for (size_t i = 0; dir_fd >= 0 && status == 0 && i < PSC_PLOT_COUNT; i++) {
        struct psc_plot *plot = &plots->items[i];
        struct drawing drawing = drawing_of(plot, dir_fd, png);
        drawing.figure.model = model;
        if (plots->gnuplot_missing) {
            psc_figure_leave_out(&drawing.figure, NO_GNUPLOT_REASON);
            remove_files(&drawing);
        } else {
            status = draw(&drawing, &plots->gnuplot_missing, makers[i]);
            if (plots->gnuplot_missing) {
                fputs("poolscope report: gnuplot not found: plots are left out; install it with: apt-get install "
                      "gnuplot-nox\n",
                      stderr);
            }
        }
    }
    if (dir_fd < 0) {
        return -1;
    }
    close_keeping_errno(dir_fd);
    return status;
}
