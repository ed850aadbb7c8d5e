# The vendors' SDKs for Python stand beside those of the end-to-end tests, those for Node in a folder of their own; without npm
# the matrix says that they were not tested.
.PHONY: matrix
MATRIX_VENV := build/venv
MATRIX_NODE := build/matrix-node
$(MATRIX_VENV)/.matrix: tests/matrix/requirements.txt $(MATRIX_VENV)/.ready
	$(Q)$(MATRIX_VENV)/bin/pip install -q --disable-pip-version-check -r $<
	$(Q)touch $@
$(MATRIX_NODE)/.ready: tests/matrix/package.json
	$(Q)mkdir -p $(@D) && cp $< $(@D)/
	$(Q)cd $(@D) && npm install --silent --no-audit --no-fund --ignore-scripts --no-package-lock
	$(Q)touch $@
MATRIX_NPM := $(shell command -v npm)
matrix: $(MATRIX_VENV)/.matrix all $(if $(MATRIX_NPM),$(MATRIX_NODE)/.ready) ## the vendors' SDKs and providers of every dialect
	$(if $(MATRIX_NPM),,@echo "matrix: there is no npm; the SDKs for Node: NOT TESTED")
	$(Q)RINGWAY_BIN=$(abspath $(RINGWAY)) $(MATRIX_VENV)/bin/python tests/matrix/run.py \
	    $(if $(MATRIX_NPM),--node $(MATRIX_NODE)) $(if $(MATRIX),$(MATRIX),--doc packaging/doc/matrix.md)
