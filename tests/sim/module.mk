# The simulator stands between the gateway and its allocator, and watches what fibers wait for (sim_wrap.c).
SIM_WRAPPED := malloc calloc mmap fiber_wait fiber_wait_any fiber_shield fiber_unshield
$(BUILD)/ringway-sim: LDFLAGS += $(SIM_WRAPPED:%=-Wl,--wrap=%)
