# The reader of the ledger that tests compare with what clients got, what damages a store, and `make test-crash`.
$(BUILD)/crash/records $(BUILD)/crash/hurt: $(BUILD)/crash/%: $(BUILD)/obj/tests/crash/%.c.o $(LIBS)
	$(call link)

.PHONY: test-crash
KILLS ?= 1000
test-crash: all $(BUILD)/crash/records ## kill -9 under load: ledger and budgets stay exact (KILLS=1000, 10 minutes; SEED=7)
	$(Q)$(DEPS) test
	$(Q)RINGWAY_BIN=$(abspath $(RINGWAY)) RINGWAY_MOCK_BIN=$(abspath $(MOCK)) \
	    RINGWAY_RECORDS_BIN=$(abspath $(BUILD)/crash/records) \
	    $(PYTHON) tests/crash/run.py --kills $(KILLS) $(if $(SEED),--seed $(SEED))
