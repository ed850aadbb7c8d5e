# Unit tests that take longer than the others when they are told so.
.PHONY: tls-differential
tls-differential: $(BUILD)/unit/test_tls ## TLS records beside BearSSL's engine: CASES=1000000 of any length, all suites: minutes
	$(Q)TLS_CASES=$(or $(CASES),1000000) $<
