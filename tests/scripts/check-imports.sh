#!/bin/bash
# What the guest's half asks of libc: nothing that allocates, nothing of stdio, no way out of the process.
set -u
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
BUILD=${BUILD:-build/release}
bad=0

allocate='malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign valloc pvalloc cfree strdup
strndup getline asprintf vasprintf open_memstream qsort dlopen dlsym dlerror opendir fdopendir readdir realpath getcwd
setenv putenv pthread_create pthread_atfork backtrace __libc_malloc __libc_calloc __libc_realloc __libc_free'
speak='printf fprintf vprintf vfprintf dprintf vdprintf sprintf snprintf vsnprintf __printf_chk __fprintf_chk
__sprintf_chk __snprintf_chk __vsnprintf_chk puts fputs fputc putc putchar fwrite fread fopen fdopen fclose fflush fgets
getc scanf sscanf perror stdin stdout stderr setlocale strerror strsignal psignal syslog'
leave='exit quick_exit atexit at_quick_exit __cxa_atexit __cxa_thread_atexit_impl system popen'
# The places in libc where a thread may be cancelled: malloc and free, which all this is for, are none.
cancel='open open64 openat creat close read write pread pread64 pwrite pwrite64 readv writev nanosleep clock_nanosleep
usleep sleep poll select pause fallocate fsync msync wait waitpid system getrandom recv send connect accept
pthread_testcancel pthread_join pthread_cond_wait'
throw='_Unwind_Backtrace _Unwind_Resume __cxa_throw _Znwm _ZdlPv'

# What is undefined in a file and defined nowhere in it.
imports() {
    nm "$@" 2>/dev/null | awk 'NF >= 2 && $(NF-1) == "U" {print $NF} ' | sed 's/@.*//' | sort -u
}
defined() {
    nm "$@" 2>/dev/null | awk 'NF == 3 && $2 ~ /[A-TV-Za-z]/ {print $3}' | sed 's/@.*//' | sort -u
}

refuse() { # file, names, sentence, how to read it
    local found
    found=$(comm -12 <(imports $4 "$1") <(printf '%s\n' $2 | sort -u))
    if [ -n "$found" ]; then
        printf '%s imports what %s: %s\n' "$1" "$3" "$(echo $found)"
        bad=1
    fi
}

for file in "$BUILD/libcore.a" "$BUILD/libpoolscope.so"; do
    [ -s "$file" ] || { echo "$file is not built"; exit 1; }
done
[ "$(imports "$BUILD/libcore.a" | wc -l)" -gt 0 ] || { echo 'nm shows no imports'; exit 1; }

refuse "$BUILD/libcore.a" "$allocate" 'allocates' ''
refuse "$BUILD/libcore.a" "$speak" 'is stdio or depends on the locale' ''
refuse "$BUILD/libcore.a" "$leave" 'ends the process or waits for its end' ''
refuse "$BUILD/libcore.a" "$cancel" 'is where a thread may be cancelled' ''
refuse "$BUILD/libcore.a" "$throw" 'belongs to the unwinder of the program' ''
# The face needs dlsym and pthread_atfork, and malloc_info writes to the FILE that it was given.
face=' dlsym pthread_atfork fprintf fputs fwrite __fprintf_chk '
keep() { for name in $1; do case $face in *" $name "*) ;; *) echo "$name" ;; esac; done; }
refuse "$BUILD/libpoolscope.so" "$(keep "$allocate")" 'allocates' -D
refuse "$BUILD/libpoolscope.so" "$(keep "$speak")" 'is stdio or depends on the locale' -D
refuse "$BUILD/libpoolscope.so" "$leave" 'ends the process or waits for its end' -D
refuse "$BUILD/libpoolscope.so" "$cancel" 'is where a thread may be cancelled' -D
refuse "$BUILD/libpoolscope.so" "$throw" 'belongs to the unwinder of the program' -D

needed=$(readelf -d "$BUILD/libpoolscope.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
for library in $needed; do
    case $library in
    libc.so.6 | ld-linux*.so.*) ;;
    *) echo "libpoolscope.so needs $library"; bad=1 ;;
    esac
done

dynamic=$(readelf -d "$BUILD/libpoolscope.so")
echo "$dynamic" | grep -q BIND_NOW || { echo 'libpoolscope.so is bound lazily'; bad=1; }
echo "$dynamic" | grep -q TEXTREL && { echo 'libpoolscope.so has relocations in its text'; bad=1; }
echo "$dynamic" | grep -q STATIC_TLS || echo "$(readelf -lW "$BUILD/libpoolscope.so")" | grep -q '^ *TLS' &&
    { echo "$dynamic" | grep -q STATIC_TLS || { echo 'thread-local storage is not in the static block'; bad=1; }; }
imports -D "$BUILD/libpoolscope.so" | grep -qx __tls_get_addr && { echo 'libpoolscope.so calls __tls_get_addr'; bad=1; }
readelf -lW "$BUILD/libpoolscope.so" | grep -E '^ *GNU_STACK' | grep -q RWE && { echo 'its stack is executable'; bad=1; }
exit $bad
