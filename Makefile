# Everything a contributor runs. `make demo` and `make test` work on a fresh machine: they make .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= build
WORKERS ?= 2
SEED ?= $(shell date +%s)
COUNT ?= 1000000
# one thread for each test process: they run side by side
TEST := OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: help setup demo test smoke test-all lowest flips kills fuzz fuzz-long fuzz-guided lint pages docs dist format \
	bench bench-large check-results results tensors clean

help:
	@echo "make demo      train on the data that ships with the repository, write build/demo/report.html"
	@echo "make smoke     one walk through every room, in less than a minute"
	@echo "make test      the test-suite; make test-all adds the slow physics and random examples"
	@echo "make lowest    tests of the rooms with the lowest versions of all packages: PYTHON=python3.10"
	@echo "make flips     2000 flipped bits of a model file; make kills: commands killed at random moments"
	@echo "make fuzz      random damage to files, configurations, models and words of commands"
	@echo "make fuzz-long COUNT=1000000: the same for hours; goes on where it was interrupted"
	@echo "make fuzz-guided COUNT=50000: inputs that follow coverage (atheris), of each of six borders"
	@echo "make lint      ruff (format and rules) and pyright; make format repairs what it can"
	@echo "make pages     write docs/equations.md (which function computes which formula), all settings, all commands"
	@echo "make docs      the same, and the site of the documents with its gallery: build/site/index.html"
	@echo "make dist      both distributions, looked into, installed and run without the repository: build/dist"
	@echo "make bench     benchmarks beside the peers, write benchmarks/results/summary.json"
	@echo "make bench-large  the long ones: 8 GB of memory, ten minutes"
	@echo "make check-results  short forms of three systems of the papers, compared with what is kept"
	@echo "make results   all systems of the papers: docs/results.md (hours; third-party data: MULTILODE_DATA)"
	@echo "make tensors   one of them: tensors of third-party data; leaves out what MULTILODE_DATA lacks"

$(VENV)/.installed: pyproject.toml papers/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]" --editable papers
	@touch $@

setup: $(VENV)/.installed

demo: setup
	$(BIN)/python examples/h2o_co2/demo.py -o $(OUT)/demo

test: setup
	$(TEST)

# one walk through every room, in less than a minute
smoke: setup
	$(TEST) tests/smoke tests/test_layers.py tests/test_equations.py

# with the slow physics, and two hundred random examples of every property
test-all: setup
	$(TEST) -m "not gpu" --hypothesis-profile=random --hypothesis-seed=$(SEED)

# In an environment of its own, with what pyproject.toml admits at least. Types are not checked, and old packages may
# announce what newer ones of theirs leave out. Left out: two bounds of rounding, which is that of another BLAS, and files
# that tests write and these versions of ASE and safetensors cannot.
LOWEST := $(OUT)/lowest
ROOMS := config correlations data datasets equivariants expansion fields models numerics prediction radial report \
	representation structures symmetry testing workflow
NOT_LOWEST := symmetry/test_wigner.py::test_about_the_z_axis numerics/test_chebyshev.py::test_derivatives_of_every_order \
	data/test_formats.py::test_what_a_format_says_is_read[mol- data/test_formats.py::test_what_a_format_says_is_read[sdf- \
	config/test_hostile_models.py::test_what_no_model_needs_is_refused_at_once[complex
lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable ".[test]" --editable papers
	OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n $(WORKERS) --dist loadfile \
		tests/smoke $(ROOMS:%=tests/unit/%) tests/cli/test_commands.py \
		--override-ini "addopts=-q -rfE -m 'not slow and not gpu'" -W ignore::DeprecationWarning \
		$(NOT_LOWEST:%=--deselect "tests/unit/%")

flips: setup
	$(TEST) tests/unit/config/test_hostile_models.py -m slow

kills: setup
	$(TEST) tests/cli/test_faults.py -m slow

# about two minutes; a fault is printed with the command that repeats its input
fuzz: setup
	$(TEST) tests/unit/config/test_odd_yaml.py tests/unit/data/test_xyz_damage.py \
		--hypothesis-profile=random --hypothesis-seed=$(SEED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/campaign.py --count 8000 --seed $(SEED) -o $(OUT)/fuzz-$(SEED)

# as long as one likes: it goes on where it was interrupted
fuzz-long: setup
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/campaign.py --count $(COUNT) --seed 1 -o $(OUT)/fuzz-long

# likewise; needs Linux. A border that is done goes on with new inputs from the files that it has kept
fuzz-guided: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[fuzz]"
	for border in xyz formats yaml models results checkpoints; do \
		OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/guided.py $$border --count $(COUNT) --seed $(SEED) \
			-o $(OUT)/guided-$$border || exit 1; done

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# the pages "equation -> function", "all settings" and "all commands"
pages: setup
	$(BIN)/python docs/equations.py
	$(BIN)/python docs/configuration_reference.py
	$(BIN)/python docs/commands.py

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	@touch $@

# the site; scripts of its gallery run, once each until they change
docs: pages $(VENV)/.docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -b html docs $(OUT)/site
	$(BIN)/python docs/check_site.py $(OUT)/site

$(VENV)/.dist: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dist]"
	@touch $@

# wheels and archives of sources; FETCH=--fetch installs all that they need as well, not only them
dist: $(VENV)/.dist
	rm -rf $(OUT)/dist
	for folder in . papers; do $(BIN)/python -m build --no-isolation --outdir $(OUT)/dist $$folder || exit 1; done
	$(BIN)/python -m twine check --strict $(OUT)/dist/*
	OMP_NUM_THREADS=1 $(BIN)/python packaging/check_distributions.py $(OUT)/dist $(FETCH)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python benchmarks/run.py

bench-large: setup
	$(BIN)/python benchmarks/run.py --large

check-results: setup
	$(BIN)/multilode reproduce water-co2 multipoles point-charges --quick --check -o $(OUT)/quick

results: setup
	$(BIN)/multilode reproduce all -o $(OUT)/results
	$(BIN)/python docs/keep_results.py $(OUT)/results

tensors: setup
	$(BIN)/multilode reproduce tensors -o $(OUT)/tensors

clean:
	rm -rf build docs/generated docs/gallery .pytest_cache .ruff_cache .hypothesis
