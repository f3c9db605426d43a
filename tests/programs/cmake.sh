#!/bin/bash
# cmake, ninja and make build a project of many files in parallel.
set -u
. "$(dirname "$0")/lib"
needs cmake ninja make gcc
mkdir source
for i in $(seq 12); do
    printf 'int f%d(int x) { return x * %d + 1; }\n' "$i" "$i" >"source/f$i.c"
done
{
    seq 12 | sed 's/.*/int f&(int);/'
    printf '#include <stdio.h>\nint main(void) {\n int s = 0;\n'
    seq 12 | sed 's/.*/ s += f&(s);/'
    printf ' printf("%%d\\n", s);\n}\n'
} >source/main.c
cat >source/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.10)
project(many C)
file(GLOB files f*.c)
add_library(parts STATIC ${files})
add_executable(main main.c)
target_link_libraries(main parts)
foreach(i RANGE 1000)
  set(name_${i} "value ${i}")
  string(REGEX REPLACE "[0-4]" "x" name_${i} "${name_${i}}")
  list(APPEND names ${name_${i}})
endforeach()
string(SHA256 sum "${names}")
message(STATUS "sum ${sum}")
END
in_modes 'off sample exact' cmake sh -c 'rm -rf build; cmake -G Ninja -DCMAKE_BUILD_TYPE=Release -S source -B build 2>&1 | grep sum;
    ninja -C build -j 3 -d stats 2>&1 | grep -c "^path->node"; build/main; ninja -C build -t targets all | sort | sha256sum'
in_modes exact make sh -c 'rm -rf build2; cmake -G "Unix Makefiles" -S source -B build2 >/dev/null && make -C build2 -j3 2>&1 | grep -c Built; build2/main'
did cmake 0 '^-- sum ' '^177788590$'
did make 0 '^2$' '^177788590$'
exit $bad
