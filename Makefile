# Everything here needs Go; the race detector also needs a C compiler, and the lab root
# or a kernel that allows user namespaces. `make` alone prints the targets.

RACE      ?= -race
SIMHOURS  ?= 2
# Of inputs and not of time: go test takes an end in the midst of an input for a failure.
FUZZTIME  ?= 10000x
BENCHTIME ?= 1s
BENCHRUNS ?= 5
SOAK      ?= 30m
GOFMT      = $$(go env GOROOT)/bin/gofmt
# Every fuzz target in the tree, as ./folder:FuzzName.
FUZZ       = $$(grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's|/[^/]*:func |:|' | sort)

.PHONY: help test build fmt vet lint race cc sim sim-search fuzz fuzz-long lab soak bench
.NOTPARALLEL:

help: ## print this
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

test: fmt vet lint race sim fuzz lab ## all checks, under 15 minutes on 2 cores

build: ## static bin/vippyd and bin/vippyctl
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

fmt: ## fail where a file is not formatted
	@out=$$($(GOFMT) -l .); test -z "$$out" || { echo "not formatted (run gofmt -w):"; echo "$$out"; exit 1; }

vet: ## go vet
	go vet ./...

lint: ## staticcheck, at the version in tools.mod
	go tool -modfile=tools.mod staticcheck ./...

race: $(if $(RACE),cc) ## all tests but those of `make sim` under the race detector; the longest first
	all=$$(go list ./...) && CGO_ENABLED=$(if $(RACE),1,0) go test $(RACE) -timeout 12m ./internal/lab $$(echo "$$all" | grep -vE '/(cluster|sim)$$')

cc:
	@command -v "$$(go env CC)" >/dev/null || { echo "NO C COMPILER ($$(go env CC)): the race detector needs one, so this is no full test." >&2; echo "Install gcc, or run without the race detector: make test RACE=" >&2; exit 1; }

# The core has no goroutines (internal/imports tests that), and each of the worlds is one
# thread, so there are no races.
sim: ## the core and its simulation: kept seeds, planted bugs, fresh seeds for SIMHOURS
	go test ./cluster
	go test ./internal/sim -count=1 -v -timeout 12m -sim.workers=2 -sim.hours=$(SIMHOURS)

sim-search: ## fresh seeds for long: make sim-search SIMHOURS=200
	go test ./internal/sim -count=1 -v -timeout 0 -run TestFresh -sim.workers=2 -sim.hours=$(SIMHOURS)

fuzz: ## every fuzz target with 10,000 inputs each
	@set -e; for f in $(FUZZ); do echo "$$f"; go test -run '^$$' -fuzz "^$${f#*:}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x "$${f%:*}"; done

fuzz-long: ## every fuzz target for ten minutes each
	@$(MAKE) fuzz FUZZTIME=10m

lab: ## real daemons in network namespaces: the drill, and those of a majority with 3 and 2 nodes
	go run ./cmd/vippyd lab --runs 1
	go run ./cmd/vippyd lab --runs 1 --partition single
	go run ./cmd/vippyd lab --runs 1 --partition single --nodes 2

soak: ## random faults on real daemons for SOAK; SEED=N repeats one
	go run ./cmd/vippyd lab --soak $(SOAK) $(if $(SEED),--seed $(SEED))

bench: build ## every benchmark for BENCHTIME each, then vippy beside keepalived (root, half an hour)
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
	go run ./internal/bench/cmd -vippyd bin/vippyd -runs $(BENCHRUNS)
