# SPDX-License-Identifier: Apache-2.0
# perftop: `make help` lists the targets.

FLAVOUR ?= release
B       := .build/$(FLAVOUR)
V       ?= 0
WERROR  ?= $(if $(CI),1,0)
ARGS    ?=
PREFIX  ?= /usr/local
CC      := $(if $(filter default,$(origin CC)),cc,$(CC))
CLANG   ?= clang
BPFTOOL ?= $(firstword $(shell command -v bpftool 2>/dev/null) /usr/sbin/bpftool)
ARCH    := $(shell uname -m)
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BPF_ARCH  := $(if $(filter aarch64,$(ARCH)),arm64,x86)

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' $(1) $(2);)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wvla -Wno-unused-parameter -Wno-missing-field-initializers $(if $(filter 1,$(WERROR)),-Werror)
# CFLAGS, CPPFLAGS and LDFLAGS are the user's, in the environment or on the command line; what the
# sources need is kept apart from them.
CFLAGS   ?= -O2 -g
NEEDED   := -D_GNU_SOURCE -I. -I$(B)/gen
ALL_CFLAGS   = $(NEEDED) $(CPPFLAGS) $(CFLAGS) -std=gnu11 -fno-omit-frame-pointer -pthread $(WARN) $(SANITIZE)
SANITIZE :=
# Heads and blocks of queries run in parallel. ThreadSanitizer does not see libgomp's barriers, and
# clang would want a library of its own: there the same code runs on one thread.
OPENMP   := $(if $(filter tsan fuzz,$(FLAVOUR)),-fopenmp-simd,-fopenmp)
comma := ,
LINK     = $(CC) $(CFLAGS) $(SANITIZE) $(LDFLAGS)
LDLIBS   := -lbpf -ldw -lelf -lsqlite3 -ljansson -lz -liberty -lck -lm -lpthread $(OPENMP)
TUI_LIBS := -lncursesw -ltinfo

ifeq ($(FLAVOUR),asan)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
endif
ifeq ($(FLAVOUR),tsan)
# CK's own atomics are assembly, which the sanitizer cannot see; the compiler's builtins it can.
SANITIZE := -fsanitize=thread -DCK_USE_CC_BUILTINS
endif
ifeq ($(FLAVOUR),fuzz)
SANITIZE := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
endif

# ---- sources: a file in its folder is built, no list to keep ---------------------------------
srcs_in = $(sort $(wildcard $(1)/*.c) $(wildcard $(1)/*/*.c))
HEAP_SRCS      := $(wildcard probes/heap_*.c)
CALLS_SRCS     := $(wildcard probes/calls_*.c)
PROBE_SRCS     := $(filter-out %.bpf.c $(HEAP_SRCS) $(CALLS_SRCS),$(call srcs_in,probes))
KERNEL_SRCS    := $(call srcs_in,kernels)
COLLECTOR_SRCS := $(call srcs_in,collectors)
TUI_SRCS       := $(call srcs_in,tui)
UNIT_SRCS      := $(sort $(wildcard tests/unit/test_*.c))
TESTLIB_SRCS   := $(sort $(wildcard tests/lib/*.c))
TARGET_SO_SRCS := $(sort $(wildcard tests/targets/*_so.c))
TARGET_SRCS    := $(filter-out $(TARGET_SO_SRCS),$(sort $(wildcard tests/targets/*.c)))
TARGET_CXX_SRCS := $(if $(shell command -v g++),$(sort $(wildcard tests/targets/*.cc)))
BENCH_SRCS     := $(sort $(wildcard tests/bench/*.c))
FUZZ_SRCS      := $(sort $(wildcard tests/fuzz/fuzz_*.c))
# Variants of instruction sets that this CPU lacks, by loops: for the tests of the kernels alone
# that go through their table.
EMUL_SRCS      := $(if $(filter x86_64,$(ARCH)),$(shell grep -L '"tui/\|"collectors/' \
	$$(grep -lE 'kernels_supported|attention_problem.h' $(UNIT_SRCS))))
ifeq ($(FLAVOUR),emul)
NEEDED    += -DKERNELS_EMULATED
UNIT_SRCS := $(EMUL_SRCS)
endif
obj = $(patsubst %.c,$(B)/%.o,$(1))

PROBE_OBJS     := $(call obj,$(PROBE_SRCS))
HEAP_OBJS      := $(call obj,$(HEAP_SRCS))
CALLS_OBJS     := $(call obj,$(CALLS_SRCS))
KERNEL_OBJS    := $(call obj,$(KERNEL_SRCS))
COLLECTOR_OBJS := $(call obj,$(COLLECTOR_SRCS))
TUI_OBJS       := $(call obj,$(TUI_SRCS))
TUI_LIB_OBJS   := $(filter-out $(B)/tui/main.o,$(TUI_OBJS))
UNIT_BINS      := $(patsubst %.c,$(B)/%,$(UNIT_SRCS))
TARGET_BINS    := $(patsubst %.c,$(B)/%,$(TARGET_SRCS))
TARGET_SOS     := $(patsubst %_so.c,$(B)/%.so,$(TARGET_SO_SRCS))
TARGET_CXX_BINS := $(patsubst %.cc,$(B)/%,$(TARGET_CXX_SRCS))
BENCH_BINS     := $(patsubst %.c,$(B)/%,$(BENCH_SRCS))
FUZZ_BINS      := $(patsubst %.c,$(B)/%,$(FUZZ_SRCS))
SKEL           := $(B)/gen/perftop.skel.h
SYSNAMES       := $(B)/gen/syscall_names.inc
LIBS           := $(B)/libcollectors.a $(B)/libkernels.a $(B)/libperftop.a

.PHONY: all programs watch test deps deps-bench bench bench-peers lint format asan tsan fuzz install uninstall \
	help clean tests unit-tests fuzz-targets FORCE
all: programs compile_commands.json
	@ln -sfn $(B)/perftop perftop
programs: $(B)/perftop $(B)/libperftop.so $(B)/libperftop_heap.so $(B)/libperftop_calls.so
# As many jobs as cores, unless make was given a number itself.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# ---- rules -----------------------------------------------------------------------------------
$(B)/%.o: %.c $(B)/flags | $(B)/ready
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(FILE_CFLAGS) -MMD -MP -c $< -o $@

# Rewritten when they change: other flags build everything anew.
FLAGS = '$(subst ','"'"',$(CC) $(filter-out -Werror,$(ALL_CFLAGS)) $(LDFLAGS) $(CLANG)$(if $(EMUL_CFLAGS), $(EMUL_CFLAGS)))'
$(B)/flags: FORCE
	@mkdir -p $(@D); printf '%s\n' $(FLAGS) | cmp -s - $@ || printf '%s\n' $(FLAGS) >$@

# ISA variants carry their instruction set in the file name and are compiled for it alone.
ISAS           := avx2 f16c avxvnni avx512 avx512vnni avx512bf16
ISA_avx2       := -mavx2 -mfma
ISA_f16c       := $(ISA_avx2) -mf16c
ISA_avxvnni    := $(ISA_avx2) -mavxvnni
ISA_avx512     := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mprefer-vector-width=512
ISA_avx512vnni := $(ISA_avx512) -mavx512vnni
ISA_avx512bf16 := $(ISA_avx512) -mavx512bf16
isa_of = $(if $(filter x86_64,$(ARCH)),$(ISA_$(lastword $(subst _, ,$(basename $(notdir $(1)))))))
# A sanitizer's checks in unrolled loops take the compiler minutes a file at -O3.
$(B)/kernels/%.o: FILE_CFLAGS = $(if $(SANITIZE),-O1,-O3) $(OPENMP) $(call isa_of,$@)
ifeq ($(FLAVOUR),emul)
# The loops use what the CPU has. The variants get <immintrin.h> and <arm_neon.h> from tests/emul.
EMUL_HERE := $(if $(shell grep -m1 -w avx2 /proc/cpuinfo),$(ISA_f16c))
EMUL_X86  := $(filter %_avxvnni.c %_avx512.c %_avx512vnni.c %_avx512bf16.c,$(KERNEL_SRCS))
EMUL_NEON := $(filter %_neon.c,$(KERNEL_SRCS))
EMUL_CFLAGS := -Og -g0 $(OPENMP) -Wno-psabi $(EMUL_HERE) -Itests/emul
$(call obj,$(EMUL_X86)):  FILE_CFLAGS = $(EMUL_CFLAGS)/x86
$(call obj,$(EMUL_NEON)): FILE_CFLAGS = $(EMUL_CFLAGS)/neon
endif
$(PROBE_OBJS): FILE_CFLAGS = -fPIC
$(COLLECTOR_OBJS) $(call obj,$(TESTLIB_SRCS) $(BENCH_SRCS) $(FUZZ_SRCS)): | $(SKEL) $(SYSNAMES)
ifneq ($(FLAVOUR),emul)
$(call obj,$(UNIT_SRCS)): | $(SKEL) $(SYSNAMES)
endif

$(B)/libperftop.a: $(PROBE_OBJS)
$(B)/libkernels.a: $(KERNEL_OBJS)
$(B)/libcollectors.a: $(COLLECTOR_OBJS)
$(B)/libtui.a: $(TUI_LIB_OBJS)
$(B)/lib%.a:
	@mkdir -p $(@D)
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $^

$(B)/libperftop.so: $(PROBE_OBJS)
	$(call say,LD,$@)$(LINK) -shared -Wl,-soname,libperftop.so.1 -Wl,-z,nodelete $^ -o $@ -pthread

# It stands in front of malloc: no sanitizer, whose own would come behind it; every call bound when
# it is loaded; and it never leaves, since threads end in it.
$(HEAP_OBJS): ALL_CFLAGS = $(NEEDED) $(CPPFLAGS) $(CFLAGS) -std=gnu11 -pthread $(WARN)
$(HEAP_OBJS): FILE_CFLAGS = -fPIC -fno-builtin -fvisibility=hidden -fno-sanitize=all
$(B)/libperftop_heap.so: $(HEAP_OBJS)
	$(call say,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libperftop_heap.so -Wl,-z,now \
		-Wl,-Bsymbolic -Wl,-z,nodelete $^ -o $@ -pthread

# It runs between a call and the function, whose arguments may be in any register but the integer
# ones that its stubs save.
$(CALLS_OBJS): ALL_CFLAGS = $(NEEDED) $(CPPFLAGS) $(CFLAGS) -std=gnu11 -pthread $(WARN)
$(CALLS_OBJS): FILE_CFLAGS = -O2 -fPIC -fvisibility=hidden -fno-sanitize=all -fno-stack-protector \
	$(if $(filter x86_64,$(ARCH)),-mgeneral-regs-only)
$(B)/libperftop_calls.so: $(CALLS_OBJS)
	$(call say,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libperftop_calls.so -Wl,-z,now \
		-Wl,-Bsymbolic -Wl,-z,nodelete $^ -o $@ -pthread

$(B)/perftop: $(B)/tui/main.o $(B)/libtui.a $(LIBS)
	$(call say,LD,$@)$(LINK) $^ -o $@ $(LDLIBS) $(TUI_LIBS)

# The kernel side: one object, linked into the program as a skeleton.
$(B)/gen/perftop.bpf.o: probes/perftop.bpf.c $(B)/flags | $(B)/ready
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(CLANG) -g -O2 -mcpu=v3 -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -Wall -Werror \
		-Wno-unused-function -I. -I/usr/include/$(MULTIARCH) -MMD -MP -MF $(@:.o=.d) -MT $@ \
		-c $< -o $@.tmp
	$(Q)$(BPFTOOL) gen object $@ $@.tmp && rm -f $@.tmp
$(SKEL): $(B)/gen/perftop.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name perftop_bpf > $@.tmp && mv $@.tmp $@
$(SYSNAMES): | $(B)/ready
	@mkdir -p $(@D)
	$(call say,GEN,$@)printf '#include <asm/unistd.h>\n' | $(CC) -E -dM - | \
		sed -n 's/^#define __NR_\([a-z0-9_]*\) \([0-9][0-9]*\)$$/[\2] = "\1",/p' | sort -t[ -k2n > $@

ALL_SRCS := $(PROBE_SRCS) $(HEAP_SRCS) $(CALLS_SRCS) $(KERNEL_SRCS) $(COLLECTOR_SRCS) $(TUI_SRCS) $(UNIT_SRCS) $(TESTLIB_SRCS) \
	$(TARGET_SRCS) $(TARGET_SO_SRCS) $(BENCH_SRCS) $(FUZZ_SRCS) tests/fuzz/corpus_main.c
# A folder changes when a file comes or goes.
compile_commands.json: Makefile $(sort $(dir $(ALL_SRCS))) | $(SKEL)
	@{ printf '['; sep=''; for f in $(ALL_SRCS); do isa=''; \
	for i in $(foreach i,$(ISAS),'$(i) $(ISA_$(i))'); do \
	case $$f in *_$${i%% *}.c) isa="$${i#* } ";; esac; done; \
	printf '%s\n{"directory":"%s","file":"%s","command":"%s"}' "$$sep" "$(CURDIR)" $$f \
	"$(CC) $(NEEDED) -std=gnu11 -Wall -Wextra $$isa-c $$f"; sep=,; done; \
	printf ',\n{"directory":"%s","file":"%s","command":"%s"}\n]\n' "$(CURDIR)" probes/perftop.bpf.c \
	"$(CLANG) -g -O2 -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -I. -I/usr/include/$(MULTIARCH) -c probes/perftop.bpf.c"; \
	} >$@.tmp && mv $@.tmp $@

# ---- tests -----------------------------------------------------------------------------------
$(B)/libtestlib.a: $(call obj,$(TESTLIB_SRCS))
UNIT_PARTS := $(if $(filter emul,$(FLAVOUR)),$(B)/libkernels.a $(B)/libperftop.a,\
	$(B)/libtestlib.a $(B)/libtui.a $(LIBS))
$(UNIT_BINS): $(B)/%: $(B)/%.o $(UNIT_PARTS)
	$(call say,LD,$@)$(LINK) $^ -o $@ -lcmocka $(LDLIBS) $(TUI_LIBS)
$(B)/tests/unit/test_allocation: LDLIBS += $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc aligned_alloc strdup \
	mmap munmap free)
$(BENCH_BINS): $(B)/%: $(B)/%.o $(B)/libtestlib.a $(LIBS)
	$(call say,LD,$@)$(LINK) $^ -o $@ $(LDLIBS)
# Programs that the tests watch: built as users build theirs, at -O2 with no frame pointer. Under a
# sanitizer they stay plain, and so does the library in them.
TARGET_LIB := $(B)/libperftop$(if $(filter asan tsan,$(FLAVOUR)),-plain).a
PLAIN_OBJS := $(patsubst %.c,$(B)/plain/%.o,$(PROBE_SRCS))
$(call obj,$(TARGET_SRCS) $(TARGET_SO_SRCS)) $(PLAIN_OBJS): ALL_CFLAGS := $(NEEDED) -O2 -g -std=gnu11 -pthread $(WARN)
$(PLAIN_OBJS) $(call obj,$(TARGET_SO_SRCS)): FILE_CFLAGS = -fPIC
$(B)/plain/%.o: %.c $(B)/flags | $(B)/ready
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(FILE_CFLAGS) -MMD -MP -c $< -o $@
$(B)/libperftop-plain.a: $(PLAIN_OBJS)
$(TARGET_BINS): $(B)/%: $(B)/%.o $(TARGET_LIB)
	$(call say,LD,$@)$(CC) $^ -o $@ -lm -lpthread -ldl -l:libck.a
$(TARGET_CXX_BINS): $(B)/%: %.cc $(B)/flags | $(B)/ready
	@mkdir -p $(@D)
	$(call say,CXX,$<)g++ -O2 -g -std=c++17 -Wall -Wextra $< -o $@
# X_so.c becomes X.so, a library that tests load.
$(TARGET_SOS): $(B)/%.so: $(B)/%_so.o
	$(call say,LD,$@)$(CC) -shared $^ -o $@
# Fuzz targets: a plain driver replays the corpus in `make test`; `make fuzz` explores.
$(FUZZ_BINS): $(B)/%: $(B)/%.o $(if $(filter fuzz,$(FLAVOUR)),,$(B)/tests/fuzz/corpus_main.o) $(LIBS)
	$(call say,LD,$@)$(LINK) $(if $(filter fuzz,$(FLAVOUR)),-fsanitize=fuzzer) $^ -o $@ $(LDLIBS)
fuzz-targets: $(FUZZ_BINS)

unit-tests: $(UNIT_BINS)
tests: programs $(UNIT_BINS) $(TARGET_BINS) $(TARGET_SOS) $(TARGET_CXX_BINS) $(FUZZ_BINS)

test: deps
	$(Q)$(MAKE) --no-print-directory $(JOBS) tests
	$(Q)$(MAKE) --no-print-directory $(JOBS) FLAVOUR=emul unit-tests
	$(Q)BUILD=$(B) tests/run

asan tsan: deps
	$(Q)$(MAKE) --no-print-directory FLAVOUR=$@ $(JOBS) tests
	$(Q)BUILD=.build/$@ FLAVOUR=$@ tests/run unit fuzz

bench: deps-bench
	$(Q)$(MAKE) --no-print-directory $(JOBS) tests $(BENCH_BINS)
	$(Q)BUILD=$(B) tests/bench/run $(ARGS)

# The same work by OpenBLAS, oneDNN, hnswlib and faiss, in one process with ours: never linked into
# the product. The second line of each program names its libraries.
PEER_SRCS := $(sort $(wildcard tests/bench/peers/peers_*.cc))
PEER_BINS := $(patsubst %.cc,$(B)/%,$(PEER_SRCS))
$(PEER_BINS): $(B)/%: %.cc $(LIBS) $(B)/flags
	@mkdir -p $(@D)
	$(call say,CXX,$<)g++ -O3 -march=native -g -std=c++17 -fopenmp -I. $(WARN_CXX) $< -o $@ \
		$(B)/libkernels.a $(B)/libperftop.a $$(sed -n '2s|^// LIBS:||p' $<) -lck -lm -lpthread
WARN_CXX := -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
bench-peers: deps
	$(Q)tests/deps $(DEPS_PEERS)
	$(Q)$(MAKE) --no-print-directory $(JOBS) $(PEER_BINS)
	$(Q)BUILD=$(B) tests/bench/run_peers $(ARGS)

FUZZ_SECONDS ?= 60
fuzz: deps
	$(Q)tests/deps $(DEPS_FUZZ)
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) CLANG=$(CLANG) tests/fuzz/explore

watch: deps
	$(Q)$(MAKE) --no-print-directory $(JOBS) all
	$(Q)./perftop --watch $(ARGS)

# ---- dependencies ----------------------------------------------------------------------------
DEPS := clang llvm bpftool libbpf-dev libck-dev libncurses-dev libdw-dev libelf-dev libiberty-dev \
	libsqlite3-dev libjansson-dev zlib1g-dev libcap2-bin ncurses-term
DEPS_TEST := libcmocka-dev libsimde-dev g++ tmux redis-server redis-tools sqlite3 jq python3 strace procps \
	libtcmalloc-minimal4 libmimalloc-dev libjemalloc-dev nodejs postgresql qemu-system-x86 busybox-static cpio
DEPS_PEERS := g++ libopenblas-dev libdnnl-dev libhnswlib-dev libfaiss-dev
DEPS_BENCH := bpftrace libbpf-tools htop linux-perf
DEPS_LINT := clang-format clang-tidy cppcheck gcc-aarch64-linux-gnu libc6-dev-arm64-cross
DEPS_FUZZ := libclang-rt-dev

deps:
	$(Q)tests/deps $(DEPS) $(DEPS_TEST)
deps-bench: deps
	$(Q)tests/deps $(DEPS_BENCH)
# One clear word before the first compiler error: what is missing, and what to type.
HEADERS := bpf/libbpf.h ck_ring.h curses.h elfutils/libdw.h libelf.h libiberty/demangle.h sqlite3.h \
	jansson.h zlib.h
$(B)/ready:
	@missing=; command -v $(firstword $(CC)) >/dev/null || missing=" a C compiler"; \
	for t in $(CLANG) $(BPFTOOL); do command -v $$t >/dev/null || missing="$$missing $$t"; done; \
	! command -v $(firstword $(CC)) >/dev/null || for h in $(HEADERS); do \
	printf '#include <stdio.h>\n#include <%s>\n' $$h | $(CC) $(NEEDED) $(CPPFLAGS) -E - >/dev/null 2>&1 || \
	missing="$$missing <$$h>"; done; \
	[ -z "$$missing" ] || { echo "perftop: missing:$$missing" >&2; \
	echo "perftop: 'make deps' installs them on Debian; elsewhere install the like of: $(DEPS)" >&2; exit 1; }
	@mkdir -p $(@D) && touch $@

# ---- housekeeping ----------------------------------------------------------------------------
lint: deps
	$(Q)tests/deps $(DEPS_LINT)
	$(Q)$(MAKE) --no-print-directory $(JOBS) all
	$(Q)BUILD=$(B) tests/lint
format:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

CAPS := cap_bpf,cap_perfmon,cap_sys_ptrace=ep
install: programs
	install -Dm755 $(B)/perftop $(DESTDIR)$(PREFIX)/bin/perftop
	install -d $(DESTDIR)$(PREFIX)/include
	sed -e '/#include "probes\/bucket.h"/{r probes/bucket.h' -e 'd}' probes/perftop.h \
		>$(DESTDIR)$(PREFIX)/include/perftop.h
	install -Dm644 $(B)/libperftop.a $(DESTDIR)$(PREFIX)/lib/libperftop.a
	install -Dm755 $(B)/libperftop.so $(DESTDIR)$(PREFIX)/lib/libperftop.so.1
	ln -sfn libperftop.so.1 $(DESTDIR)$(PREFIX)/lib/libperftop.so
	install -Dm755 $(B)/libperftop_heap.so $(DESTDIR)$(PREFIX)/lib/libperftop_heap.so
	install -Dm755 $(B)/libperftop_calls.so $(DESTDIR)$(PREFIX)/lib/libperftop_calls.so
	install -d $(DESTDIR)$(PREFIX)/share/perftop/themes
	install -m644 themes/*.theme $(DESTDIR)$(PREFIX)/share/perftop/themes
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || :
	@PATH=$$PATH:/usr/sbin:/sbin; setcap $(CAPS) $(DESTDIR)$(PREFIX)/bin/perftop 2>/dev/null || \
	echo "perftop: to attach without root: sudo setcap $(CAPS) $(DESTDIR)$(PREFIX)/bin/perftop"
uninstall:
	rm -rf $(DESTDIR)$(PREFIX)/bin/perftop $(DESTDIR)$(PREFIX)/include/perftop.h \
		$(DESTDIR)$(PREFIX)/lib/libperftop.* $(DESTDIR)$(PREFIX)/lib/libperftop_heap.so \
		$(DESTDIR)$(PREFIX)/lib/libperftop_calls.so \
		$(DESTDIR)$(PREFIX)/share/perftop
clean:
	rm -rf .build perftop compile_commands.json

help:
	@printf '%s\n' \
	'make            build ./perftop (needs the packages of make deps)' \
	'make watch      install what is missing, build, run perftop --watch; ARGS="-p PID" attaches' \
	'make test       install, build, run every test' \
	'make deps       install the Debian packages that building and testing need' \
	'make bench      measured costs and comparisons, side by side; ARGS="name…" picks' \
	'make bench-peers kernels beside OpenBLAS, oneDNN, hnswlib and faiss; ARGS="lora patterns=kmeans" picks' \
	'make lint       format, clang-tidy, cppcheck, and the rules of the house' \
	'make format     apply clang-format' \
	'make asan|tsan  the tests under AddressSanitizer+UBSan, or ThreadSanitizer' \
	'make fuzz       explore the fuzz targets for FUZZ_SECONDS (60) each' \
	'make install    to PREFIX (/usr/local), with the capabilities that attaching needs' \
	'variables       V=1 (commands), WERROR=1, FLAVOUR=release|asan|tsan|emul, PREFIX, DESTDIR'

-include $(shell find $(B) -name '*.d' 2>/dev/null)
