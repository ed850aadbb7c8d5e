# The assembler takes the list of prices in by itself; make has to be told.
$(BUILD)/obj/providers/prices_data.S.o: providers/prices.json
