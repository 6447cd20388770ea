# One verb per command. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := .peers
AUDIT := .audit

.DEFAULT_GOAL := help
.PHONY: help setup serve test check audit docs bench bench-peers format clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

setup: $(INSTALLED) ## make a virtual environment with everything in it

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

serve: setup ## start the service on 127.0.0.1:8000, in the foreground
	exec $(BIN)/uwe-serve

test: setup ## run the tests
	$(BIN)/pytest

check: setup ## lint, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# In an environment of its own, since it must not change what it looks at. `--strict`: a package that the database cannot
# be asked about is no package without faults. A report is written where something was found, and nowhere else.
audit: ## look for known vulnerabilities in the pinned packages; asks pypi.org
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && \
	    $(AUDIT)/bin/pip install --quiet --disable-pip-version-check pip-audit; } || \
	    { echo "pip-audit cannot be installed here: nothing was checked"; exit 2; }
	@rm -f $(AUDIT)/report.txt
	@$(AUDIT)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off \
	    --format columns --output $(AUDIT)/report.txt 2>$(AUDIT)/log.txt; status=$$?; \
	if [ -e $(AUDIT)/report.txt ]; then cat $(AUDIT)/report.txt $(AUDIT)/log.txt; exit $$status; fi; \
	if [ $$status -eq 0 ]; then cat $(AUDIT)/log.txt; exit 0; fi; \
	tail -n 1 $(AUDIT)/log.txt; echo "the database of vulnerabilities could not be asked: this says nothing"; exit 2

docs: setup ## build the documentation site into site/, from nothing outside
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: setup ## latency and FLOPs per query, on the data that UWE_DATA_DIR names, else on the sample
	$(BIN)/uwe benchmark paper --model embedded --model embedded:pooled_cosine --model bm25

# Each in an environment of its own: what they pin excludes what this project needs. One that fails leaves its log.
bench-peers: setup ## install other people's scorers and servers, for `uwe benchmark compare`
	@mkdir -p $(PEERS)
	@grep '^torch==' constraints.txt >$(PEERS)/torch.txt
	@for peer in faiss-cpu maxsim-cpu pylate litserve 'infinity-emb[torch,server]'; do \
	    name=$${peer%%[*}; \
	    $(PYTHON) -m venv $(PEERS)/$$name && $(PEERS)/$$name/bin/pip install --quiet --disable-pip-version-check \
	        -c $(PEERS)/torch.txt "$$peer" torch transformers fastapi uvicorn >$(PEERS)/$$name.log 2>&1 \
	        && echo "$$name: installed" || echo "$$name: not installed, $(PEERS)/$$name.log says why"; \
	done

format: setup ## put the code in its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environments, the site and caches
	rm -rf $(VENV) $(PEERS) $(AUDIT) site .mypy_cache .pytest_cache .ruff_cache .hypothesis
