#!/bin/bash
# Go: a program without C loads no library and says so through `poolscope run`; one with C has its blocks recorded.
set -u
. "$(dirname "$0")/lib"
needs go gcc
export GOCACHE=$scratch/cache GOPATH=$scratch/path GOTOOLCHAIN=local GO111MODULE=off
mkdir pure with_c
cat >pure/main.go <<'END'
package main
import ("fmt"; "os"; "sort"; "sync")
func main() {
	var group sync.WaitGroup
	sums := make([]int, 8)
	for g := range sums {
		group.Add(1)
		go func(g int) {
			defer group.Done()
			m := map[string][]byte{}
			for i := 0; i < 20000; i++ { k := fmt.Sprint("k", i*(g+7)%977); m[k] = append(m[k], byte(i)) }
			for _, v := range m { sums[g] += len(v) * int(v[0]) }
		}(g)
	}
	group.Wait()
	sort.Ints(sums)
	fmt.Println(sums)
	os.Exit(6)
}
END
cat >with_c/main.go <<'END'
package main
/*
#include <stdlib.h>
#include <string.h>
static char *copy(const char *text, int times) {
	char *all = malloc(strlen(text) * times + 1);
	*all = 0;
	for (int i = 0; i < times; i++) strcat(all, text);
	return all;
}
extern int called(int);
static int back(int n) { char *p = strdup("back"); int r = called(n) + (int)strlen(p); free(p); return r; }
*/
import "C"
import ("fmt"; "os"; "os/exec"; "runtime"; "sync"; "unsafe")
//export called
func called(n C.int) C.int { return n * 2 }
func main() {
	var group sync.WaitGroup
	sums := make([]int, 40)
	for g := range sums {
		group.Add(1)
		go func(g int) {
			defer group.Done()
			if g%4 == 0 { runtime.LockOSThread() } // its thread ends with it
			for i := 0; i < 100; i++ {
				text := C.CString(fmt.Sprint("text ", g, " ", i))
				all := C.copy(text, C.int(i%40))
				sums[g] += len(C.GoString(all)) + int(C.back(C.int(i)))
				C.free(unsafe.Pointer(text))
				C.free(unsafe.Pointer(all))
			}
		}(g)
	}
	group.Wait()
	runtime.GC()
	fmt.Println(sums)
	out, err := exec.Command("echo", "from a child").Output()
	fmt.Println(string(out), err)
	defer func() { fmt.Println("caught:", recover()); os.Exit(7) }()
	var none *int
	fmt.Println(*none)
}
END
(cd pure && CGO_ENABLED=0 go build -o ../pure_go main.go) >log 2>&1 || fail "go build: $(cat log)"
(cd with_c && CGO_ENABLED=1 go build -o ../cgo main.go) >log 2>&1 || fail "go build with C: $(cat log)"
for mode in off sample exact; do
    mkdir -p traces
    same pure_go "$(mode_options $mode),out=$traces" ./pure_go
    [ -z "$(ls traces)" ] || fail "a static program left a trace: $(ls traces)"
done
did pure_go 6 '^\['
"$BUILD/poolscope" run -- ./pure_go >out 2>err
[ $? -eq 6 ] || fail 'poolscope run ./pure_go: another status'
cmp -s out pure_go.plain.out || fail 'poolscope run ./pure_go: other output'
grep -q '^poolscope: nothing was recorded of ./pure_go: it is linked statically' err || fail "it said: $(cat err)"

in_all cgo ./cgo
did cgo 7 '^from a child$' '^caught: runtime error'
exit $bad
