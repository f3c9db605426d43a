/* One run of CMD: started, watched until all that it started is gone, and what it used. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "report/array.h"
#include "tools/compare.h"
#include "tools/footprint.h"

/* Short runs are sampled finely, long ones cheaply: every 20th part of the time so far, within these bounds. Where
 * samples cost much (of thousands of processes), they are not to take more than a 50th of a processor. */
#define INTERVAL_LEAST_US 250
#define INTERVAL_MOST_US 10000
#define POINTS_MOST 1000

/* Processes that CMD leaves behind have this long to end by themselves, and then to end when asked to. */
#define GRACE_US 200000
#define ASKED_US 1000000

/* The kernel counts resident pages in batches on each processor. */
#define COUNTED_ROUGHLY_KIB 256

/* What the child tells before it becomes CMD, and again if it cannot. */
struct word {
    int error;
    uint64_t own_kib; /* its peak so far: the kernel's figure for CMD begins with it */
};

struct job {
    const struct psc_compare *compare;
    const struct psc_contender *contender;
    const struct psc_run_places *places;
    sigset_t mask;    /* of CMD */
    sigset_t watched; /* blocked while it runs, and waited for */
};

struct watch {
    const struct job *job;
    struct psc_run *run;
    struct psc_footprint footprint;
    struct psc_loaded_watch loaded;
    struct rusage used; /* of those that have been waited for */
    pid_t child;
    int status;
    bool ended; /* CMD itself */
    bool none_left;
    bool killing;
    uint64_t start_us;
    uint64_t end_us;    /* of CMD itself */
    uint64_t sample_us; /* CPU time of a sample, smoothed */
    uint64_t point_us;  /* time between points */
    size_t point_capacity;
};

/* ---- the child -------------------------------------------------------------------------------------------------- */

static bool redirect(const char *path, int flags, int fd) {
    int opened = open(path, flags, 0666);
    bool good = opened >= 0 && dup2(opened, fd) == fd;
    if (opened >= 0 && opened != fd) {
        close(opened);
    }
    return good;
}

static bool choose_allocator(const struct psc_contender *contender, const char *traces) {
    if (contender->ours) {
        return psc_settings_apply(&contender->settings, traces);
    }
    unsetenv("POOLSCOPE");
    return contender->library[0] == '\0' || psc_settings_preload(contender->library);
}

static void tell(int fd, int error) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    struct word word = {error, (uint64_t)used.ru_maxrss};
    if (write(fd, &word, sizeof(word)) != (ssize_t)sizeof(word)) {
        _exit(125);
    }
}

/* In a session of its own: all of it can be killed, and the terminal is not its own. */
_Noreturn static void become_program(const struct job *job, int fd) {
    const int write_flags = O_WRONLY | O_CREAT | O_TRUNC;
    char **command = job->compare->command;
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_SETMASK, &job->mask, NULL);
    if (redirect(job->compare->stdin_path, O_RDONLY, STDIN_FILENO) &&
        redirect(job->places->out, write_flags, STDOUT_FILENO) &&
        redirect(job->places->err, write_flags, STDERR_FILENO) &&
        choose_allocator(job->contender, job->places->traces)) {
        tell(fd, 0);
        execvp(command[0], command);
    }
    tell(fd, errno);
    _exit(127);
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

static void thin_points(struct watch *watch) {
    struct psc_run *run = watch->run;
    for (size_t i = 0; i < run->point_count / 2; i++) {
        run->points[i] = run->points[2 * i];
    }
    run->point_count /= 2;
    watch->point_us *= 2;
}

static void keep_point(struct watch *watch) {
    struct psc_run *run = watch->run;
    uint64_t time_us = watch->footprint.since_us - watch->start_us;
    uint64_t last_us = run->point_count == 0 ? 0 : (uint64_t)run->points[run->point_count - 1].time_ms * 1000;
    if (watch->footprint.pages == 0 || (run->point_count > 0 && time_us < last_us + watch->point_us)) {
        return;
    }
    if (run->point_count == POINTS_MOST) {
        thin_points(watch);
    }
    run->points = psc_array_reserve(run->points, run->point_count + 1, &watch->point_capacity, sizeof(*run->points));
    run->points[run->point_count++] = (struct psc_rss_point){
        (uint32_t)(time_us / 1000), (uint32_t)(watch->footprint.pages * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024))};
}

static uint64_t cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void sample(struct watch *watch) {
    uint64_t before = cpu_us();
    psc_footprint_sample(&watch->footprint);
    watch->sample_us = (3 * watch->sample_us + cpu_us() - before) / 4;
    keep_point(watch);
}

static uint64_t interval(const struct watch *watch) {
    uint64_t us = (psc_footprint_now_us() - watch->start_us) / 20;
    us = us < INTERVAL_LEAST_US ? INTERVAL_LEAST_US : us > INTERVAL_MOST_US ? INTERVAL_MOST_US : us;
    return us > watch->sample_us * 50 ? us : watch->sample_us * 50;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void visit_kill(void *signal, pid_t pid, uint64_t pages) {
    (void)pages;
    kill(pid, *(int *)signal);
}

/* A process may start another one meanwhile: this is called again until none is left. */
static void signal_all(int signal) {
    psc_footprint_walk(true, visit_kill, &signal);
}

static void visit_count(void *count, pid_t pid, uint64_t pages) {
    (void)pid;
    *(uint64_t *)count += pages > 0;
}

static void add_time(struct timeval *sum, struct timeval more) {
    timeradd(sum, &more, sum);
}

/* Waits for all that have ended: CMD, and those whose parent was gone before them. */
static void reap(struct watch *watch) {
    struct rusage used;
    int status;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &used)) > 0) {
        add_time(&watch->used.ru_utime, used.ru_utime);
        add_time(&watch->used.ru_stime, used.ru_stime);
        watch->used.ru_maxrss = used.ru_maxrss > watch->used.ru_maxrss ? used.ru_maxrss : watch->used.ru_maxrss;
        watch->used.ru_minflt += used.ru_minflt;
        watch->used.ru_majflt += used.ru_majflt;
        if (pid == watch->child) {
            watch->ended = true;
            watch->status = status;
            watch->end_us = psc_footprint_now_us();
        }
    }
    watch->none_left = pid < 0 && errno == ECHILD;
}

static void stop(struct watch *watch, enum psc_run_end end, int value) {
    watch->run->end = end;
    watch->run->value = value;
    watch->killing = true;
}

static void check_time(struct watch *watch) {
    uint64_t now = psc_footprint_now_us();
    double timeout_s = watch->job->compare->timeout_s;
    if (!watch->ended) {
        if (timeout_s > 0 && (double)(now - watch->start_us) > timeout_s * 1e6) {
            stop(watch, PSC_RUN_TIMEOUT, 0);
        }
        return;
    }
    uint64_t after = now - watch->end_us;
    uint64_t *left = &watch->run->figures[PSC_RUN_left_behind];
    if (after > GRACE_US && *left == 0) {
        psc_footprint_walk(true, visit_count, left);
        signal_all(SIGTERM);
    }
    watch->killing |= after > GRACE_US + ASKED_US;
}

/* Sleeps until the interval is over or a signal has come. */
static void doze(struct watch *watch) {
    uint64_t us = interval(watch);
    struct timespec time = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    int signal = sigtimedwait(&watch->job->watched, NULL, &time);
    if (signal > 0 && signal != SIGCHLD) {
        stop(watch, PSC_RUN_INTERRUPTED, signal);
    }
}

static uint64_t us_of(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

/* `own_kib`: what the largest process may have had before it became CMD. */
static void sum_up(struct watch *watch, uint64_t own_kib) {
    uint64_t *figures = watch->run->figures;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t wall = watch->end_us - watch->start_us;
    uint64_t largest_kib = (uint64_t)watch->used.ru_maxrss;
    figures[PSC_RUN_user_us] = us_of(watch->used.ru_utime);
    figures[PSC_RUN_system_us] = us_of(watch->used.ru_stime);
    figures[PSC_RUN_cpu_us] = figures[PSC_RUN_user_us] + figures[PSC_RUN_system_us];
    figures[PSC_RUN_wall_us] = wall;
    figures[PSC_RUN_minor_faults] = (uint64_t)watch->used.ru_minflt;
    figures[PSC_RUN_major_faults] = (uint64_t)watch->used.ru_majflt;
    figures[PSC_RUN_samples] = watch->footprint.samples;
    figures[PSC_RUN_sampled_peak_bytes] = watch->footprint.peak_pages * page;
    figures[PSC_RUN_largest_process_bytes] = largest_kib > own_kib ? largest_kib * 1024 : 0;
    figures[PSC_RUN_peak_bytes] = figures[PSC_RUN_sampled_peak_bytes] > figures[PSC_RUN_largest_process_bytes]
                                      ? figures[PSC_RUN_sampled_peak_bytes]
                                      : figures[PSC_RUN_largest_process_bytes];
    figures[PSC_RUN_average_bytes] = wall == 0 ? 0 : (uint64_t)(watch->footprint.page_us / (double)wall * (double)page);
    figures[PSC_RUN_end_bytes] = watch->footprint.last_pages * page;
    watch->run->kib_with = watch->loaded.kib_with;
    watch->run->kib_without = watch->loaded.kib_without;
}

/* Memory is sampled until CMD itself has ended, CPU time counts until the last of its processes has. */
static void watch_run(struct watch *watch) {
    for (;;) {
        reap(watch);
        if (watch->none_left) {
            break;
        }
        if (!watch->ended) {
            sample(watch);
        }
        check_time(watch);
        if (watch->killing) {
            signal_all(SIGKILL);
        }
        doze(watch);
    }
    if (watch->run->end == PSC_RUN_EXIT && WIFSIGNALED(watch->status)) {
        watch->run->end = PSC_RUN_SIGNAL;
        watch->run->value = WTERMSIG(watch->status);
    } else if (watch->run->end == PSC_RUN_EXIT) {
        watch->run->value = WEXITSTATUS(watch->status);
    }
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

/* SIGINT and the like, unless this process was told to ignore them; and the end of a child. */
static void choose_signals(struct job *job) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigemptyset(&job->watched);
    sigaddset(&job->watched, SIGCHLD);
    signal(SIGCHLD, SIG_DFL); /* ignored, as we may have inherited it, children would go without their status */
    for (size_t i = 0; i < PSC_COUNT_OF(numbers); i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(&job->watched, numbers[i]);
        }
    }
}

/* Waits until the child has become CMD or is gone. */
static struct word listen_to_child(int fd) {
    struct word heard, word = {EPIPE, 0};
    for (;;) {
        ssize_t got = read(fd, &heard, sizeof(heard));
        if (got == (ssize_t)sizeof(heard)) {
            word = heard;
        } else if (got >= 0 || errno != EINTR) {
            return word;
        }
    }
}

static void begin(struct watch *watch, struct psc_run *run, const struct job *job) {
    *watch = (struct watch){.job = job, .run = run, .loaded.library = job->contender->library};
    watch->footprint.all_threads = true;
    watch->footprint.visit = psc_loaded_visit;
    watch->footprint.context = &watch->loaded;
    watch->start_us = psc_footprint_now_us();
    watch->footprint.since_us = watch->start_us;
}

static void run_job(struct job *job, struct psc_run *run) {
    struct watch watch;
    int ends[2];
    *run = (struct psc_run){.end = PSC_RUN_NOT_STARTED};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        run->value = errno;
        return;
    }
    begin(&watch, run, job);
    watch.child = fork();
    run->value = errno;
    if (watch.child == 0) {
        become_program(job, ends[1]);
    }
    close(ends[1]);
    if (watch.child > 0) {
        struct word word = listen_to_child(ends[0]);
        run->end = word.error != 0 ? PSC_RUN_NOT_STARTED : PSC_RUN_EXIT;
        run->value = word.error;
        watch_run(&watch);
        sum_up(&watch, word.own_kib + COUNTED_ROUGHLY_KIB);
    }
    close(ends[0]);
}

struct psc_run psc_run_once(const struct psc_compare *compare, const struct psc_contender *contender,
                            const struct psc_run_places *places) {
    struct job job = {.compare = compare, .contender = contender, .places = places};
    struct psc_run run;
    choose_signals(&job);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigprocmask(SIG_BLOCK, &job.watched, &job.mask);
    run_job(&job, &run);
    sigprocmask(SIG_SETMASK, &job.mask, NULL);
    return run;
}
