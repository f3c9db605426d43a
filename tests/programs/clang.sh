#!/bin/bash
# clang: C and C++, with LLVM's threads where it has some, and errors.
set -u
. "$(dirname "$0")/lib"
needs clang
cat >program.cc <<'END'
#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <vector>
template <int N> struct fib { static constexpr long value = fib<N - 1>::value + fib<N - 2>::value; };
template <> struct fib<1> { static constexpr long value = 1; };
template <> struct fib<0> { static constexpr long value = 0; };
int main() {
    std::map<std::string, std::vector<int>> m;
    for (int i = 0; i < 1000; i++) m[std::to_string(i % 7)].push_back(i);
    std::cout << fib<60>::value << ' ' << std::count_if(m.begin(), m.end(), [](auto &p) { return p.second.size() > 142; }) << '\n';
}
END
in_modes 'off sample exact' clang sh -c 'clang++ -std=c++17 -O2 -g -c -o program.o program.cc && sha256sum <program.o &&
    clang++ -o program program.o && ./program; clang -x c -fsyntax-only - 2>&1 <<X
int f(void) { return g; }
X
'
did clang 1 '^1548008755920 6$' 'undeclared identifier'
exit $bad
