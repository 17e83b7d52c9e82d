# Every command of the project. None needs an argument; each installs what is missing first.

PYTHON := .venv/bin/python
INSTALLED := .venv/.installed

# Kernels import hundreds of modules when they start, which takes twice as long without bytecode.
unexport PYTHONDONTWRITEBYTECODE

DEMO_ARGS ?=
SERVE_ARGS ?=
BENCH_ARGS ?=
TEST_ARGS ?=

.PHONY: help install demo test faults check format serve bench docs clean

help:
	@echo "make demo      run a real notebook through the HTTP API and keep the server up"
	@echo "make test      run all tests, with the fault campaigns in their short form"
	@echo "make serve     start a server on 127.0.0.1:8080; SERVE_ARGS='--port 9000' changes it"
	@echo "make check     lint, format, types, import rules"
	@echo "make bench     measure against papermill and nbclient"
	@echo "make faults    run the fault campaigns whole"
	@echo "make docs      write the generated tables of docs/ anew"
	@echo "make format    format the code"
	@echo "make install   create .venv (every other target does it too)"
	@echo "make clean     remove what the other targets made"

install: $(INSTALLED)
	@$(PYTHON) -m compileall -q src

$(INSTALLED): pyproject.toml uv.lock scripts/install
	@scripts/install

demo: install
	$(PYTHON) examples/demo.py $(DEMO_ARGS)

test: install
	$(PYTHON) -m pytest -m "not whole" $(TEST_ARGS)

faults: install
	$(PYTHON) -m pytest tests/faults -m whole -s --timeout 7200 $(TEST_ARGS)

check: install
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

format: install
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

serve: install
	.venv/bin/quire serve $(SERVE_ARGS)

bench: install
	$(PYTHON) -m bench.main $(BENCH_ARGS)

docs: install
	$(PYTHON) scripts/write_reference.py

clean:
	rm -rf .venv .tools .bench-venv .demo-data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
