# The simulator stands between the gateway and its allocator, and watches what fibers wait for (sim_wrap.c).
SIM_WRAPPED := malloc calloc mmap fiber_wait fiber_wait_any fiber_shield fiber_unshield
$(BUILD)/ringway-sim: LDFLAGS += $(SIM_WRAPPED:%=-Wl,--wrap=%)

.PHONY: sim-cov mutants
SIM_COV_SEEDS := $(if $(filter command% environment%,$(origin SEEDS)),$(SEEDS),1500)
# No simulated provider speaks TLS: tls_stream.c is shown, and not counted.
sim-cov: ## branches of src/gateway and src/net that the simulator alone takes; fails below 85 % (SEEDS=1500)
	$(Q)[ ! -d build-simcov ] || find build-simcov -name '*.gcda' -delete
	$(Q)$(MAKE) FLAVOUR=cov BUILD=build-simcov build-simcov/ringway-sim
	$(Q)build-simcov/ringway-sim --seeds $(SIM_COV_SEEDS) --scenario exchange >build-simcov/sim.log
	$(Q)head -1 build-simcov/sim.log
	$(Q)$(PYTHON) tests/lib/branches.py build-simcov src/gateway src/net --least 85 --missing build-simcov/missing.txt \
	    --apart src/net/tls_stream.c; \
	    status=$$?; echo "the arms that were never taken: build-simcov/missing.txt"; exit $$status
mutants: ## break the gateway on purpose, one bug at a time: all must be caught (M="early_recycle"; minutes, not in CI)
	$(Q)$(DEPS) build test
	$(Q)$(PYTHON) tests/sim/mutants/run.py $(M)
