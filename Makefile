# The verbs of the house. Everything is built once, in one configuration.
CONFIGURATION ?= release
SWIFT_BUILD = swift build -c $(CONFIGURATION)
BINARY = .build/$(CONFIGURATION)/holdfast

.PHONY: demo test build check lint format bench bench-hold oracle fuzz crash clean dependencies help

help:
	@echo "make demo     the whole story on a real environment, left running until interrupted (ONCE=1 ends by itself)"
	@echo "make test     builds everything and passes the tests"
	@echo "make build    the holdfast binary"
	@echo "make check    format, arrows, budgets"
	@echo "make format   formats the sources in place"
	@echo "make bench    with restic and borg, about half an hour (QUICK=1: two)"
	@echo "make bench-hold  how long requests are held, by files, database and file system (ARGS=\"--files 1000 --n 5\": one row)"
	@echo "make oracle   consistent backups of every service under full load, each restored and judged (ROUNDS=200, LIVE=10, OUTPUT=FILE)"
	@echo "make fuzz     hostile bytes for every parser of the engine, for SECONDS=120"
	@echo "make crash    the long versions of the proofs, by estimate an hour"
	@echo "A first build takes about ten minutes on two cores; later ones seconds."

dependencies:
	@Scripts/install-dependencies

build: dependencies
	@[ -x $(BINARY) ] || echo "Building; the first time this takes about ten minutes on two cores."
	$(SWIFT_BUILD) --product holdfast

demo: build
	$(BINARY) demo $(if $(ONCE),--once) $(if $(HOME_DIRECTORY),--home $(HOME_DIRECTORY))

# One build for binary and tests; the tests start the binary, so both are built before any of them runs. One test at a
# time: many of them start servers, and measure what a hold does to requests. What failed is said again at the end.
test: dependencies lint
	@[ -x $(BINARY) ] || echo "Building; the first time this takes about ten minutes on two cores."
	$(SWIFT_BUILD) --build-tests
	HOLDFAST_BINARY=$(abspath $(BINARY)) Scripts/repeat-failures \
		swift test -c $(CONFIGURATION) --skip-build --no-parallel

check: dependencies lint
	swift build -c $(CONFIGURATION) --explicit-target-dependency-import-check error
	swift test -c $(CONFIGURATION) --filter TidyTests

lint:
	swift format lint --strict --recursive Sources Tests Package.swift

format:
	swift format --in-place --recursive Sources Tests Package.swift

bench:
	@Scripts/install-dependencies bench
	$(MAKE) -C Benchmarks bench

# Without ARGS all rows on images of ext4, XFS and btrfs, which takes root, mkfs of each, and hours; ARGS=--resume goes
# on with a run that was cut.
bench-hold: build
	@Scripts/install-dependencies bench
	$(SWIFT_BUILD) --product HoldfastProof
	.build/$(CONFIGURATION)/HoldfastProof bench-hold $(ARGS) \
		$(if $(filter-out --resume,$(ARGS)),,--output Benchmarks/hold.json)

oracle: build
	$(SWIFT_BUILD) --product HoldfastProof
	.build/$(CONFIGURATION)/HoldfastProof oracle --rounds $(or $(ROUNDS),200) --live $(or $(LIVE),10) \
		$(if $(OUTPUT),--output $(OUTPUT))

# Findings, and the input at hand if a parser crashes, are in fuzz-findings/.
fuzz: dependencies
	$(SWIFT_BUILD) --product HoldfastProof
	.build/$(CONFIGURATION)/HoldfastProof fuzz --seconds $(or $(SECONDS),120) --keep fuzz-findings

# Every crash point, restic asked at every seventh; hundreds of rounds of killed and meeting processes; the server, the
# supervisor and every service killed at every phase of a backup; a cron that takes one.
crash: dependencies
	$(SWIFT_BUILD) --build-tests
	HOLDFAST_LONG_TESTS=1 HOLDFAST_BINARY=$(abspath $(BINARY)) swift test -c $(CONFIGURATION) --skip-build --no-parallel \
		--filter 'HoldfastRepositoryTests|HoldKills|ServiceKills|Crons'

clean:
	rm -rf .build
