# The gateway with its allocations and its driver led through inject.c, the supervisor of its system calls, and `make torture`.
TORTURE_WRAPPED := malloc calloc realloc aligned_alloc strdup strndup fopen fopen64 opendir asprintf io_uring_open io_epoll_open
$(BUILD)/torture/ringway: $(call objects,$(MAIN) tests/torture/inject.c) $(LIBS)
	$(call link,$(TORTURE_WRAPPED:%=-Wl$(comma)--wrap=%))
$(BUILD)/torture/syscalls: $(call objects,tests/torture/syscalls.c)
	$(call link)
comma := ,

.PHONY: torture torture-programs
torture-programs: $(BUILD)/torture/ringway $(BUILD)/torture/syscalls
torture: ## the k-th allocation, operation and system call fails, for every k (TORTURE_ARGS="--only drain --kind memory")
	$(Q)$(DEPS) build test
	$(Q)$(MAKE) all torture-programs
	$(Q)$(MAKE) FLAVOUR=asan torture-programs
	$(Q)$(PYTHON) tests/torture/run.py build-asan build $(TORTURE_ARGS)
