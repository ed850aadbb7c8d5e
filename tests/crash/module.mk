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

.PHONY: test-sum
REQUESTS ?= 1000000
test-sum: all $(BUILD)/crash/records $(BUILD)/instr/client ## what was billed = settled = counted = recorded (REQUESTS=1000000, a few minutes)
	$(Q)$(DEPS) test
	$(Q)RINGWAY_BIN=$(abspath $(RINGWAY)) RINGWAY_MOCK_BIN=$(abspath $(MOCK)) \
	    RINGWAY_RECORDS_BIN=$(abspath $(BUILD)/crash/records) RINGWAY_CLIENT_BIN=$(abspath $(BUILD)/instr/client) \
	    $(PYTHON) tests/crash/sum.py --requests $(REQUESTS)
