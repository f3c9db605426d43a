# Included by the Makefile. BENCH, ALLOC, TRACK: names by commas. RUNS, SCALE: numbers. LONG=1: ten times the events.
# tools/bench/README.md explains.

SCALE ?= 1

# Each call of malloc is to happen, and the flags are those of nobody's sanitizer.
BENCH_CFLAGS := -std=gnu11 -O2 -g -I. -D_GNU_SOURCE -pthread $(WARN) \
                -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
BENCH_SOURCES := $(sort $(wildcard tools/bench/workloads/*.c))
BENCH_PROGRAMS := $(B)/bench/workloads $(B)/bench/measure $(B)/bench/count

$(B)/bench/workloads: $(BENCH_SOURCES) $(wildcard tools/bench/workloads/*.h) tools/bench/bench.mk
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) -o $@ $(BENCH_SOURCES)

$(B)/bench/measure: tools/bench/measure.c tools/footprint.c tools/footprint.h tools/bench/bench.mk
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) -static -o $@ tools/bench/measure.c tools/footprint.c

$(B)/bench/count: tools/bench/count.c tools/bench/workloads/depth.h tools/bench/bench.mk
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) -o $@ $<

$(B)/bench/expressions: tools/bench/workloads/expressions.cc tools/bench/bench.mk
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=gnu++17 -O2 -g -Wall -Wextra -Wshadow -Werror -o $@ $<

.PHONY: bench bench-instructions bench-misuse bench-programs bench-report bench-track

runs = $(if $(RUNS),--runs=$(RUNS))

bench-programs: $(BENCH_PROGRAMS)

bench:
	@$(MAKE) --no-print-directory MODE=release all bench-programs
	@tools/bench/run --build=build/release --bench='$(BENCH)' --alloc='$(ALLOC)' $(runs) --scale=$(SCALE)

bench-instructions:
	@$(MAKE) --no-print-directory MODE=release all bench-programs
	@tools/bench/instructions --build=build/release --alloc='$(ALLOC)'

bench-misuse:
	@$(MAKE) --no-print-directory MODE=release all build/release/victims/misuses
	@tools/bench/misuse --build=build/release --alloc='$(ALLOC)' --options='$(OPTIONS)'

bench-track:
	@$(MAKE) --no-print-directory MODE=release all bench-programs build/release/bench/expressions
	@tools/bench/track --build=build/release --bench='$(TRACK)' $(runs) --scale=$(SCALE) $(if $(LONG),--long)

bench-report:
	@$(MAKE) --no-print-directory MODE=release all bench-programs
	@tools/bench/report --build=build/release $(runs) --scale=$(SCALE)
