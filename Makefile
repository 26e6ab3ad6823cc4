# SPDX-License-Identifier: Apache-2.0
# The front door: everything behind it is Meson and the programs in scripts/.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PORT ?= 8080
BUILD = build-release

.PHONY: help run test bench build asan tsan fmt clean

help:
	@echo 'make run    install what is missing, build, serve examples/quickstart with two httpbins'
	@echo 'make test   every test: gcc release, ASan+UBSan, TSan, a short fuzz session'
	@echo 'make bench  nginx and HAProxy side by side with Sluicegate: bench/RESULTS.md'
	@echo 'make build  $(BUILD)/src/cli/sluicegate'
	@echo 'make asan   build-asan: address and undefined-behaviour sanitizers'
	@echo 'make tsan   build-tsan: thread sanitizer'
	@echo 'make fmt    clang-format on all C files'
	@echo 'make clean  remove the build folders'

run:
	@scripts/deps.sh build run
	@scripts/build.sh release $(JOBS)
	@setpriv --pdeathsig TERM /usr/bin/python3 scripts/run.py --binary $(BUILD)/src/cli/sluicegate --port $(PORT)

test:
	@scripts/deps.sh build run test
	@/usr/bin/python3 scripts/test.py --jobs $(JOBS)

bench:
	@scripts/deps.sh build bench
	@scripts/build.sh release $(JOBS)
	@/usr/bin/python3 bench/run.py --binary $(BUILD)/src/cli/sluicegate

build:
	@scripts/deps.sh build
	@scripts/build.sh release $(JOBS)

asan tsan:
	@scripts/deps.sh build test
	@scripts/build.sh $@ $(JOBS)

fmt:
	@scripts/deps.sh fmt
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build-release build-asan build-tsan build-fuzz .run
