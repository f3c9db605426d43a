#!/bin/bash
# gdb under the library, which its inferior inherits: breakpoints, frames, Python, a crash, and the heap of a core file.
set -u
. "$(dirname "$0")/lib"
needs gdb gcc
cat >program.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { struct node *next; char name[20]; };
static struct node *prepend(struct node *list, int i) {
    struct node *n = malloc(sizeof *n);
    n->next = list;
    snprintf(n->name, sizeof n->name, "node %d", i);
    return n;
}
int main(void) {
    struct node *list = NULL;
    for (int i = 0; i < 100; i++) list = prepend(list, i);
    char *last = list->name;
    while (list) { struct node *next = list->next; if (list->name != last) free(list); list = next; }
    puts(last);
    fflush(stdout);
    *(volatile int *)0 = 1;
}
END
gcc -g -O0 -o program program.c || fail gcc
cat >commands <<'END'
set confirm off
set pagination off
set debuginfod enabled off
set startup-with-shell off
set width 200
break prepend if i == 42
run
backtrace
print *list
python print(sum(len(str(i)) for i in range(10000)), gdb.selected_frame().name())
finish
info locals
ptype struct node
delete
continue
print last
backtrace 1
print sizeof(struct node) * 3
info functions ^prepend
info types node
kill
quit
END
# Addresses differ between runs.
in_modes 'off sample exact' gdb sh -c 'gdb -nx -q -batch -x commands ./program 2>gdb.err |
    sed -E "s/0x[0-9a-f]+/ADDRESS/g; s/process [0-9]+/process N/; s/Thread [^)]*\)//"; grep "^poolscope" gdb.err'
did gdb 1 '^38890 prepend$' '^node 99$' 'signal SIGSEGV' # 1: grep found no word of the library
exit $bad
