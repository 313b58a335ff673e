# Two commands for users (make bench, make test), one for developers (make check). Each makes the links first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LINKS := .links/fewshot_bench
PAGES := .links/pages

.DEFAULT_GOAL := help
.PHONY: help bench test benchmark benchmark-data benchmark-growth picture docs package soak gpu check format lint types links clean

help:
	@echo "make bench       set up, run the full grid at the quick budget, render out/report.html"
	@echo "make test        set up, run all tests"
	@echo "make benchmark   ours against other libraries, for docs/measurements.md"
	@echo "make benchmark-data   how fast images are prepared and episodes come, for docs/measurements.md"
	@echo "make benchmark-growth  how seconds and memory grow with the size of the work, for docs/measurements.md"
	@echo "make picture     README's picture, docs/results.md and docs/answer.md, from the results in the package"
	@echo "make docs        these pages, and the reference of Python and of the command line, as a site: .build/site/index.html"
	@echo "make soak        kills, full disks, damaged files, servers that stop: half an hour, for docs/reliability.md"
	@echo "make gpu         a grid on a GPU: GRID=full BUDGET=paper DATA=folder OUT=folder MINUTES=9.5; PROBE=1: only its speed"
	@echo "make package     wheel and sdist, built without a warning and installed in an empty environment"
	@echo "make check       format, lint, types and tests, as for a change"

bench: $(VENV)/.ready
	@$(BIN)/bench run --grid full; code=$$?; \
	case $$code in 0|4) $(BIN)/bench report --grid full || exit $$?;; esac; \
	exit $$code

# on all cores, a thread a process; torch is compiled to bytecode once, not in each of a hundred processes
test: export PYTHONDONTWRITEBYTECODE =
test: export OMP_NUM_THREADS = 1
test: $(VENV)/.ready
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

# other libraries go to environments of their own; BENCH_REAL_DATA names photographs to compare gradients on, too
benchmark: $(VENV)/.ready
	$(BIN)/python -m benchmarks.peers --write

# 1 GB in the temporary folder while it runs
benchmark-data: $(VENV)/.ready
	$(BIN)/python -m benchmarks.data --write

# one core is kept busy; on an idle machine
benchmark-growth: $(VENV)/.ready
	$(BIN)/python -m benchmarks.growth --write

picture: $(VENV)/.ready
	$(BIN)/python -m benchmarks.measured

# a warning is an error; nothing is fetched
docs: $(VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# both cores are kept busy; as root full disks are tried too, with Debian's faketime wrong clocks
soak: $(VENV)/.ready
	$(BIN)/python -m benchmarks.soak --write

# needs a GPU and the python with torch that PYTHON names, no environment; see docs/performance.md
gpu: links
	$(PYTHON) benchmarks/gpu.py --data "$(or $(DATA),strokes)" --out "$(or $(OUT),out/gpu)" \
		--grid "$(or $(GRID),full)" --budget "$(or $(BUDGET),paper)" --minutes "$(or $(MINUTES),9.5)" \
		--jobs "$(or $(JOBS),3)" $(if $(WHEELS),--wheels "$(WHEELS)") $(if $(PROBE),--probe)

# as a user gets it: with its dependencies, in an environment that has nothing else
package:
	rm -rf .build/package
	$(PYTHON) -m venv .build/package/tools
	.build/package/tools/bin/python -m pip install --quiet --disable-pip-version-check build uv
	.build/package/tools/bin/python -W error -m build --outdir .build/package/dist . 2>&1 | tee .build/package/log
	@! grep -i warning .build/package/log
	@for file in .build/package/dist/*; do \
		.build/package/tools/bin/uv venv --quiet --clear --python $(PYTHON) .build/package/empty && \
		.build/package/tools/bin/uv pip install --quiet --python .build/package/empty/bin/python $$file && \
		(cd .build/package/empty && bin/bench --version && bin/bench list methods >methods.txt) || exit $$?; \
	done

check: format lint types test

format: $(VENV)/.ready
	$(BIN)/ruff format --check .

lint: $(VENV)/.ready
	$(BIN)/ruff check .

types: $(VENV)/.ready
	$(BIN)/mypy
	$(BIN)/pyright

# The package as tools see it: `bench` is `fewshot_bench`, the other folders are in it. A link a folder, so that a new
# file in one is there at once; .links is on the environment's path and in the settings of mypy and pyright. Beside it
# the pages as the site has them: a link between two of them is the same there and in the repository.
links:
	@mkdir -p $(LINKS)
	@ln -sfn $(addprefix ../../,$(filter-out %/__pycache__,$(wildcard bench/*)) methods tables reports) $(LINKS)/
	@mkdir -p $(PAGES)
	@ln -sfn $(addprefix ../../,$(wildcard *.md) CITATION.cff docs) $(PAGES)/
	@find $(LINKS) $(PAGES) -xtype l -delete

# uv where it is installed, else pip; both check the lock file's hashes
$(VENV)/.ready: requirements.lock pyproject.toml | links
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@if command -v uv >/dev/null; then \
		uv venv --quiet --seed --clear --python $(PYTHON) $(VENV) && \
		uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
		$(PYTHON) -m venv --clear $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) .build .links dist
