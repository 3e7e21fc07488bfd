# the newest that is there; or name one: make test PYTHON=/usr/bin/python3.12
PYTHON ?= $(shell for v in 3.13 3.12 3.11; do python$$v -c "" 2>/dev/null && echo python$$v && break; done)
FOUND_PYTHON = $(or $(PYTHON),$(error there is no Python from 3.11 to 3.13; install one, or name it: make PYTHON=/path/to/python))
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# MONAI Label imports distutils, which Python 3.12 no longer has
LABEL_PYTHON ?= python3.11
LABEL_VENV := .venv-label
LABEL_INSTALLED := $(LABEL_VENV)/.installed
BIOIMAGEIO_VENV := .venv-bioimageio
BIOIMAGEIO_INSTALLED := $(BIOIMAGEIO_VENV)/.installed

# make infer IMAGE=scans/new.tif [PIXEL_SIZE=8] [POINTS=clicks.csv] [OUTPUT=masks] [CHECKPOINT=models/model.pt] [RESUME=1]
INFER = "$(or $(IMAGE),$(error name an image or a folder: make infer IMAGE=scans/new.tif PIXEL_SIZE=8))" \
  $(if $(PIXEL_SIZE),--pixel-size $(PIXEL_SIZE)) $(if $(POINTS),--points "$(POINTS)") $(if $(OUTPUT),--output "$(OUTPUT)") \
  $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)") $(if $(RESUME),--resume)

# make demo [RUN=runs/demo] [CHECKPOINT=models/model_synthetic.pt] [SEED=0]
DEMO = $(if $(DATA)$(SOURCE)$(TARGET),$(error domains of your own are compared by: make comparison DATA=DIR SOURCE=NAME TARGET=NAME)) \
  $(if $(RUN),--run "$(RUN)") $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)") $(if $(SEED),--seed $(SEED))

# make comparison DATA=DIR SOURCE=vnc TARGET=lucchi-pp [SOURCE_PIXEL_SIZE=4.6] [TARGET_PIXEL_SIZE=5] [PIXEL_SIZE=20] [SEED=0 | SEEDS="0 1 2"] [RUN=runs/comparison] [DOMAINS=DIR] [WEIGHTS=FILE] [INIT=FILE] [SCHEDULE=FILE] [SPLIT=test] [ROWS="uda wda_15"] [STUDY=1] [ABLATION=1] [BASELINES=1]
# make comparison TASK=mitoem_h_to_lucchi DATA=downloads RUN=runs/mitoem_h_to_lucchi: archives as published, see docs/tasks.md
COMPARISON = $(if $(RUN),--run $(RUN)) $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(PIXEL_SIZE),--pixel-size $(PIXEL_SIZE)) \
  $(if $(DATA),--data $(DATA)) $(if $(TASK),--task $(TASK)) $(if $(SOURCE),--source $(SOURCE)) $(if $(TARGET),--target $(TARGET)) \
  $(if $(SOURCE_PIXEL_SIZE),--source-pixel-size $(SOURCE_PIXEL_SIZE)) \
  $(if $(TARGET_PIXEL_SIZE),--target-pixel-size $(TARGET_PIXEL_SIZE)) $(if $(DOMAINS),--domains $(DOMAINS)) $(if $(WEIGHTS),--weights $(WEIGHTS)) \
  $(if $(INIT),--init $(INIT)) $(if $(SCHEDULE),--schedule $(SCHEDULE)) $(if $(SPLIT),--split $(SPLIT)) $(if $(ROWS),--rows $(ROWS)) \
  $(if $(STUDY),--study) $(if $(ABLATION),--ablation) $(if $(BASELINES),--baselines)

# make annotate DATA=data/target [CHECKPOINT=models/adapted.pt] [CONFIG=configs/presets/cpu.json] [PORT=8000]
PORT ?= 8000

.PHONY: demo infer comparison test lint bench weights fuzz annotate browser-test label label-serve label-test bioimageio bioimageio-test

demo: $(INSTALLED)
	$(BIN)/python -m scripts.demo $(DEMO)

infer: $(INSTALLED)
	$(BIN)/python -m scripts.infer $(INFER)

comparison: $(INSTALLED)
	$(BIN)/python -m scripts.compare $(COMPARISON)

# make test FAST=1 leaves out the slow tests; COVERAGE=1 says what is not run, and fails below the floor in pyproject.toml.
# A worker takes whole files, since tests of one file share trained networks.
WORKERS ?= 2
test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(if $(FAST),-m "not slow") $(if $(COVERAGE),--cov)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m scripts.benchmark decode --json runs/decode.json
	$(BIN)/python -m scripts.benchmark steps --json runs/steps.json
	$(BIN)/python -m scripts.benchmark click --json runs/click.json --threads 2
	$(BIN)/python -m scripts.benchmark memory --json runs/memory.json

# make weights [DATA=DIR [DATA_PIXEL_SIZE=4.6]]: hours; interrupted, it goes on where it was
weights: $(INSTALLED)
	$(BIN)/python -m scripts.make_weights $(if $(DATA),--data $(DATA)) $(if $(DATA_PIXEL_SIZE),--pixel-size $(DATA_PIXEL_SIZE))

# damaged files and hostile requests, in child processes; what is found goes to runs/fuzz
SECONDS ?= 600
fuzz: $(INSTALLED)
	$(BIN)/python -m scripts.fuzz --seconds $(SECONDS)

annotate: $(INSTALLED)
	$(BIN)/python -m scripts.annotate --data $(DATA) $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT)) --port $(PORT) $(if $(CONFIG),--config $(CONFIG))

# the annotation page in a real browser: Chromium, such as Debian's package; screenshots go to runs/browser
browser-test: $(INSTALLED)
	$(BIN)/pip install --quiet ".[browser]"
	$(BIN)/python -m pytest tests/browser -v

# MONAI Label in an environment of its own, for it holds numpy below 2
label: $(LABEL_INSTALLED)

# make label-serve STUDIES=data/studies [CHECKPOINT=models/adapted.pt] [CONFIG=configs/presets/cpu.json] [PIXEL_SIZE=NM] [PORT=8000]
label-serve: $(LABEL_INSTALLED)
	$(LABEL_VENV)/bin/python -m scripts.label_server --studies $(STUDIES) $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT)) --port $(PORT) $(if $(CONFIG),--config $(CONFIG)) $(if $(PIXEL_SIZE),--image-pixel-size $(PIXEL_SIZE))

label-test: $(LABEL_INSTALLED)
	$(LABEL_VENV)/bin/python -m pytest tests/label

# bioimageio.core in an environment of its own, for it holds pydantic below 2.14
bioimageio: $(BIOIMAGEIO_INSTALLED)

bioimageio-test: $(BIOIMAGEIO_INSTALLED)
	$(BIOIMAGEIO_VENV)/bin/python -m pytest tests/bioimageio

# torch first: of the packages that want it, some would pull a larger build.
$(INSTALLED): pyproject.toml constraints.txt
	$(FOUND_PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt ".[dev]"
	touch $@

# See the extra `label`. The stub is found behind what is installed, so a torchvision that is there is used.
$(LABEL_INSTALLED): pyproject.toml
	$(LABEL_PYTHON) -m venv $(LABEL_VENV)
	$(LABEL_VENV)/bin/pip install --quiet "torch>=2.8,<2.14"
	$(LABEL_VENV)/bin/pip install --quiet ".[label]"
	$(LABEL_VENV)/bin/pip install --quiet --no-deps monailabel==0.8.5 pydicom-seg==0.4.1
	echo "$(CURDIR)/scripts/label_app/no_torchvision" > $$(echo $(LABEL_VENV)/lib/python3*/site-packages)/no_torchvision.pth
	touch $@

# The versions of constraints.txt, but for pydantic.
$(BIOIMAGEIO_INSTALLED): pyproject.toml constraints.txt
	$(FOUND_PYTHON) -m venv $(BIOIMAGEIO_VENV)
	sed "/^pydantic_core==/d; s/^pydantic==.*/pydantic==2.13.5/" constraints.txt > $(BIOIMAGEIO_VENV)/constraints.txt
	$(BIOIMAGEIO_VENV)/bin/pip install --quiet -c $(BIOIMAGEIO_VENV)/constraints.txt torch
	$(BIOIMAGEIO_VENV)/bin/pip install --quiet -c $(BIOIMAGEIO_VENV)/constraints.txt ".[bioimageio]"
	touch $@
