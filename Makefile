# `make help` lists the targets. Everything made lies in build/$(MODE)/.

VERSION := 0.1.0
MODE ?= release
MODES := release debug asan ubsan tsan fuzz
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

ifeq ($(filter $(MODE),$(MODES)),)
$(error MODE=$(MODE) is none of: $(MODES))
endif
ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(MODE)),clang,gcc)
endif
ifeq ($(origin CXX),default)
CXX := $(if $(findstring clang,$(notdir $(CC))),clang++,g++)
endif

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

B := build/$(MODE)

# ---- flags ------------------------------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wundef -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings \
        -Wvla -Wformat=2 -Wcast-align -Wimplicit-fallthrough -Werror

MODE_CFLAGS_release := -O2 -DPSC_DEBUG=0
MODE_CFLAGS_debug := -O0 -DPSC_DEBUG=1
MODE_CFLAGS_asan := -O1 -DPSC_DEBUG=1 -fno-omit-frame-pointer -fsanitize=address
MODE_CFLAGS_ubsan := -O1 -DPSC_DEBUG=1 -fsanitize=undefined -fno-sanitize-recover=all
MODE_CFLAGS_tsan := -O1 -DPSC_DEBUG=1 -fsanitize=thread
MODE_CFLAGS_fuzz := -O1 -DPSC_DEBUG=1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

MODE_LDFLAGS_asan := -fsanitize=address
MODE_LDFLAGS_ubsan := -fsanitize=undefined
MODE_LDFLAGS_tsan := -fsanitize=thread
MODE_LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined

# A sanitizer's additions make compilers see overlong strings where there are none: warnings come from the other modes.
MODE_WARN := $(if $(filter release debug,$(MODE)),$(WARN),-w)

PSC_CFLAGS := -std=gnu11 -g -I. -D_GNU_SOURCE -pthread $(MODE_WARN) $(MODE_CFLAGS_$(MODE)) $(CFLAGS)
PSC_LDFLAGS := -pthread $(MODE_LDFLAGS_$(MODE)) $(LDFLAGS)

# The guest's half: hidden names, TLS in the static block, and no call of ours to malloc made up by the compiler
# (it would turn malloc + memset inside our calloc into a call of calloc).
GUEST_CFLAGS := -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-plt -ffunction-sections -fdata-sections \
                -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
# Tests of the malloc family need each call to happen.
VICTIM_CFLAGS := -g -O1 -I. -D_GNU_SOURCE -pthread -Wall -Wno-unused-result -fno-builtin

SO_LDFLAGS := -shared -Wl,-soname,libpoolscope.so -Wl,--version-script=preload/libpoolscope.map -Wl,-Bsymbolic-functions \
              -Wl,--no-undefined -Wl,-z,now,-z,relro -Wl,--gc-sections -Wl,--as-needed
REPORT_LIBS := -ldw -lelf -lz -lstdc++ -lm
TOP_LIBS = $(shell pkg-config --libs ncursesw)
CHECK_LIBS = $(shell pkg-config --libs check)

# ---- what is made of what ---------------------------------------------------------------------------------------

objects = $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard $(1))))

CORE_OBJ := $(call objects,core/*/*.c)
PRELOAD_OBJ := $(call objects,preload/*.c)
REPORT_OBJ := $(call objects,report/*.c)
TOOLS_OBJ := $(call objects,tools/*.c)
SUPPORT_OBJ := $(call objects,tests/unit/support*.c)
UNIT_OBJ := $(call objects,tests/unit/test_*.c)
FUZZ_OBJ := $(call objects,tests/fuzz/*.c)
VERIFY_OBJ := $(call objects,tests/verify/*.c)

UNIT := $(patsubst tests/unit/%.c,$(B)/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
FUZZ := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(sort $(wildcard tests/fuzz/*.c)))
VICTIM_LIBS := $(patsubst tests/victims/%.c,$(B)/victims/%.so,$(sort $(wildcard tests/victims/lib*.c)))
VICTIMS := $(patsubst tests/victims/%.c,$(B)/victims/%,\
               $(sort $(filter-out tests/victims/lib%.c,$(wildcard tests/victims/*.c)))) \
           $(patsubst tests/victims/%.cc,$(B)/victims/%,$(sort $(wildcard tests/victims/*.cc)))

LIBCORE := $(if $(CORE_OBJ),$(B)/libcore.a)
LIBREPORT := $(if $(REPORT_OBJ),$(B)/libreport.a)
PRELOAD := $(if $(PRELOAD_OBJ),$(B)/libpoolscope.so)
LAUNCHER := $(if $(TOOLS_OBJ),$(B)/poolscope)
VERIFY := $(B)/verify/libpoolscope-verify.so

# Tests of a mode: programs under the preload make sense only where it is not built with a sanitizer.
ifneq ($(filter $(MODE),release debug),)
TESTS := $(PRELOAD) $(LAUNCHER) $(UNIT) $(VICTIMS) $(VICTIM_LIBS) $(VERIFY)
else ifeq ($(MODE),fuzz)
TESTS := $(FUZZ)
else
TESTS := $(UNIT)
endif

MAN := $(sort $(wildcard */*.[1-8] */*/*.[1-8]))

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all tests deps deps-check demo check check-programs check-long install clean help FORCE
.SECONDARY:

all: $(PRELOAD) $(LAUNCHER)

tests: $(TESTS)

# ---- compile ----------------------------------------------------------------------------------------------------

$(CORE_OBJ) $(PRELOAD_OBJ) $(VERIFY_OBJ): private PSC_CFLAGS += $(GUEST_CFLAGS)
$(TOOLS_OBJ): private PSC_CFLAGS += -DPSC_VERSION='"$(VERSION)"'

# Changes when compiler or flags do, so that objects are made anew.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(CXX) $(PSC_CFLAGS) $(GUEST_CFLAGS) $(PSC_LDFLAGS) $(VICTIM_CFLAGS)' >$@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv $@.new $@

$(B)/obj/%.o: %.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PSC_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/report/page_assets.o: $(wildcard report/page*.css report/page*.html report/page*.js)

# ---- link -------------------------------------------------------------------------------------------------------

$(B)/libcore.a: $(CORE_OBJ)
$(B)/libreport.a: $(REPORT_OBJ)
$(B)/%.a:
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/libpoolscope.so: $(PRELOAD_OBJ) $(LIBCORE) preload/libpoolscope.map
	$(call say,LD,$@)
	$(Q)$(CC) $(PSC_LDFLAGS) $(SO_LDFLAGS) -o $@ $(PRELOAD_OBJ) $(LIBCORE)

# The same library, and a second walker beside its own: see tests/verify/verify.c.
$(VERIFY): $(VERIFY_OBJ) $(PRELOAD_OBJ) $(LIBCORE) preload/libpoolscope.map
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PSC_LDFLAGS) $(SO_LDFLAGS) -Wl,--wrap=psc_unwind_follow,--wrap=psc_track_end -o $@ \
	    $(VERIFY_OBJ) $(PRELOAD_OBJ) $(LIBCORE)

# Of core the launcher needs the option parser alone.
$(B)/poolscope: $(TOOLS_OBJ) $(LIBREPORT) $(LIBCORE)
	$(call say,LD,$@)
	$(Q)$(CC) $(PSC_LDFLAGS) -Wl,--gc-sections -o $@ $^ $(REPORT_LIBS) $(TOP_LIBS)

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(SUPPORT_OBJ) $(LIBREPORT) $(LIBCORE)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PSC_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(LIBREPORT) $(LIBCORE) -Wl,--end-group \
	    $(CHECK_LIBS) $(UNIT_LIBS) $(REPORT_LIBS)

$(B)/unit/test_top: $(filter-out %/top.o %/top_screen.o,$(call objects,tools/top*.c))
$(B)/unit/test_stress: $(B)/obj/guest.o $(B)/obj/guest_stress.o
$(B)/obj/guest_stress.o: tests/victims/stress.c tests/unit/support_guest.h $(B)/flags
	$(call say,CC,$<)
	$(Q)$(CC) $(PSC_CFLAGS) -DPSC_GUEST_CALLS -include tests/unit/support_guest.h -Dmain=psc_guest_stress -c -o $@ $<
$(B)/unit/test_unwind: UNIT_LIBS = $(shell pkg-config --libs libunwind)
# Between core and libc the test puts functions of its own, which fail when it says so.
INJECTED := mmap munmap mremap mprotect madvise mincore readlink fstat fchmod ftruncate syscall
$(B)/unit/test_inject: UNIT_LIBS = $(INJECTED:%=-Wl,--wrap=%)

# The preload under names of its own, for tests that have another malloc: see tests/unit/support_guest.h.
GUEST_NAMES := $(shell sed -n 's/^ *\([a-zA-Z0-9_]*\);$$/\1/p' preload/libpoolscope.map) dlsym getauxval
$(B)/obj/guest.o: $(PRELOAD_OBJ) preload/libpoolscope.map Makefile
	$(call say,LD,$@)
	$(Q)$(LD) -r -o $@ $(PRELOAD_OBJ)
	$(Q)objcopy $(foreach name,$(GUEST_NAMES),--redefine-sym $(name)=psc_guest_$(name)) $@

$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(SUPPORT_OBJ) $(LIBREPORT) $(LIBCORE)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PSC_LDFLAGS) -o $@ $^ $(REPORT_LIBS)

# A victim may say in a comment how it wants to be built: victim-flags: -O2 -static
victim_flags = $(shell sed -n 's,^.*victim-flags: *\(.*[^ ]\) *\*/.*,\1,p' $<)

$(B)/victims/%.so: tests/victims/%.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(VICTIM_CFLAGS) -fPIC -shared -o $@ $< $(victim_flags)

$(B)/victims/%: tests/victims/%.c $(B)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(VICTIM_CFLAGS) -o $@ $< $(victim_flags)

$(B)/victims/%: tests/victims/%.cc $(B)/flags
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=gnu++17 $(VICTIM_CFLAGS) -o $@ $< $(victim_flags)

-include $(patsubst %.o,%.d,$(CORE_OBJ) $(PRELOAD_OBJ) $(REPORT_OBJ) $(TOOLS_OBJ) $(SUPPORT_OBJ) $(UNIT_OBJ) $(FUZZ_OBJ) $(VERIFY_OBJ))

include $(wildcard tools/bench/bench.mk)

# ---- what a person types ----------------------------------------------------------------------------------------

deps:
	@tools/deps.sh build demo

deps-check:
	@tools/deps.sh build demo check

# Jobs for a make that is started here, unless the caller has said how many.
jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

demo: deps
	@$(MAKE) --no-print-directory $(jobs) MODE=release all
	@tools/demo/demo.sh build/release build/demo

# In order: packages, all builds, then the tests of each.
check: deps-check
	@for mode in $$(tests/run --modes); do \
	    $(MAKE) --no-print-directory $(jobs) MODE=$$mode tests || exit 1; done
	@tests/run

# What takes too long, or too many packages, for each change: real programs; long and large runs.
check-programs check-long: check-%:
	@tools/deps.sh build demo check $*
	@$(MAKE) --no-print-directory $(jobs) MODE=release tests
	@tests/run -j 1 --only $(CHECK_KIND_$*) $(ONLY)

CHECK_KIND_programs := program
CHECK_KIND_long := long

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)
	install -m 755 $(B)/poolscope $(DESTDIR)$(PREFIX)/bin/poolscope
	install -m 755 $(B)/libpoolscope.so $(DESTDIR)$(LIBDIR)/libpoolscope.so
	for page in $(MAN); do \
	    dir=$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}; \
	    install -d $$dir && install -m 644 $$page $$dir/ || exit 1; done

clean:
	rm -rf build

help:
	@echo 'make            build/$(MODE)/libpoolscope.so and build/$(MODE)/poolscope'
	@echo 'make deps       installs the packages that are missing (Debian, Ubuntu)'
	@echo 'make demo       a program whose heap fragments, its summary and its page; all in build/demo/'
	@echo 'make check      installs what the tests need, builds, runs every test'
	@echo 'make check-programs  real programs, each with and without the library; installs them. ONLY=NAME for one'
	@echo 'make check-long   long and large runs, for an hour or two. ONLY=NAME for one'
	@echo 'make tests      builds the tests of one MODE without running them; tests/run runs them'
	@echo 'make bench      time and memory under poolscope and other allocators, side by side'
	@echo 'make bench-track  what tracking costs, beside heaptrack'
	@echo 'make bench-misuse who notices programs that misuse the heap'
	@echo 'make bench-report what reading traces of up to 10^7 live blocks costs'
	@echo 'make install    into PREFIX=$(PREFIX), below DESTDIR'
	@echo 'make clean      removes build/'
	@echo 'MODE=release|debug|asan|ubsan|tsan|fuzz, CC=gcc|clang, CFLAGS and LDFLAGS are added, V=1 shows the commands'
