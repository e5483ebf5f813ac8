# Everything runs in .venv, which `make setup` builds from pyproject.toml alone.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.up-to-date
IN_RANGE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.PHONY: setup demo test test-long test-vm test-versions coverage mutants mutants-verifier instruments golden proofs stress wild hunt test-pure lint types docs/policies.md docs/verifier-precision.md clean

setup: $(STAMP)

# The verifier and the native machine's core are compiled, so their sources count too.
$(STAMP): pyproject.toml setup.py $(wildcard src/bpfheap/verifier/*.py src/bpfheap/verifier/*/*.py) \
		$(wildcard src/bpfheap/machine/native/*.[ch])
	@found=; if ! $(BIN)/python -c '$(IN_RANGE)' 2>/dev/null; then \
		for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
			if $$python -c '$(IN_RANGE)' 2>/dev/null; then found=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "bpfheap needs Python 3.11, 3.12 or 3.13; give one with PYTHON=..." >&2; exit 1; \
		fi; \
		echo "creating $(VENV) with $$found"; \
		$$found -m venv --clear $(VENV) || { \
			echo "its venv module is incomplete (Debian: apt-get install python3-venv)" >&2; exit 1; \
		}; \
	fi
	@echo "installing bpfheap and its tools into $(VENV)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
		--root-user-action ignore --editable '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/python examples/three_programs/story.py

PYTEST = $(BIN)/python -m pytest -n auto --dist worksteal

# With the slowest tests at the end.
test: setup
	@$(PYTEST) -m "not long" --durations 15 --durations-min 1

# The rest of the tests: those that take long.
test-long: setup
	@$(PYTEST) -m long --durations 15 --durations-min 1

# What other kernels say: those that live in an image. It also loads what this one may refuse.
VMLINUZ ?= $(firstword $(wildcard build/kernel/boot/vmlinuz-*))
test-vm: setup
	@if [ -z "$(VMLINUZ)" ]; then \
		echo "left out: there is no image in build/kernel/boot, and no VMLINUZ=... (docs/kernels.md)"; \
	elif ! command -v qemu-system-x86_64 >/dev/null; then \
		echo "left out: there is no qemu-system-x86_64"; \
	else \
		$(BIN)/python -m pytest -n 2 --dist worksteal --oracle "vm:$(VMLINUZ)" \
			tests/kernel tests/cli/test_check_against.py tests/oracle/test_oracle.py::test_kernel; \
	fi

# That tests notice when a guard is taken out (tools/mutants.yaml).
mutants: setup
	@$(BIN)/python tools/mutants.py

# The same for many small faults of the verifier; takes half an hour.
mutants-verifier: setup
	@$(BIN)/python tools/mutants.py tools/mutants-verifier.yaml

# Which of them the instruments notice that look for faults of the verifier; takes hours for all,
# or MUTANTS="--only NAME ...".
MUTANTS ?=
instruments: setup
	@$(BIN)/python tools/mutants.py --instruments all $(MUTANTS)

# What a user may meet first, on the other versions of Python that are here.
test-versions: setup
	@tools/test_versions.sh tests/cli tests/isa tests/btf tests/elf tests/runtime tests/testing \
		tests/verifier tests/machine/model tests/machine/native/test_native_api.py \
		tests/machine/native/test_compiled_programs.py tests/test_api.py tests/test_callbacks.py

# The verifier's tests once more, uncompiled.
test-pure: setup
	@BPFHEAP_PURE=1 $(PYTEST) tests/verifier

# The same with those of policies, runtime and explorer, and which of their lines no test runs: none
# may be left. Of other tests those that ask them for more.
coverage: setup
	@BPFHEAP_PURE=1 $(PYTEST) -m "not long" --cov --cov-report term-missing:skip-covered \
		tests/verifier tests/lifetime tests/runtime tests/explore \
		tests/oracle/test_oracle.py::test_ours tests/oracle/test_licenses.py::test_ours \
		tests/oracle/test_kfunc_arguments.py::test_ours_of_a_few \
		tests/machine/test_kernel_kptrs.py tests/machine/test_foreign.py \
		tests/machine/test_net.py tests/played tests/oracle/test_limits.py \
		tests/elf/test_elf_legacy.py tests/fuzz/test_against_unpruned.py \
		tests/cli/test_explore_command.py tests/cli/test_replay_command.py

# That the verifier's arithmetic loses no value, for all 64-bit numbers; takes minutes.
proofs: setup
	@$(PYTEST) tests/proofs

# Threads and signals on the native heap and its maps, ten minutes under each sanitizer.
STRESS_SECONDS ?= 600
stress: setup
	@BPFHEAP_STRESS=$(STRESS_SECONDS) $(BIN)/python -m pytest -n auto tests/machine/native/test_heap_stress.py

# Random programs that nobody verified, on a hardened machine.
WILD ?= 200000
wild: setup
	@$(BIN)/python tests/machine/native/wild.py both 0 $(WILD)

# All instruments that look for faults of the verifier, in turn; goes on where the last one ended.
HUNT_SECONDS ?= 3600
HUNT_OPTIONS ?=
hunt: setup
	@$(BIN)/bpfheap fuzz hunt --seconds $(HUNT_SECONDS) --into build/hunt $(HUNT_OPTIONS)

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: setup
	@$(BIN)/mypy

# What `bpfheap check` says of each mistake in tests/verifier/golden, written anew.
golden: setup
	@$(BIN)/python tools/golden_errors.py

# Explores every scenario of examples/ under every policy; takes minutes.
docs/policies.md: setup
	@$(BIN)/python tools/policies_page.py

# Compares numbers with those of the kernel that this runs on; needs bpf(2).
docs/verifier-precision.md: setup
	@$(BIN)/python tools/precision_page.py

clean:
	find src -name '*.so' -delete
	rm -rf $(VENV) $(VENV)-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name '*.egg-info' -prune -exec rm -rf {} +
