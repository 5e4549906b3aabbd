# posdx: build, test, run, package. `make` lists the targets.

GO       ?= go
VERSION  := $(shell sh firmware-build/version.sh)
LDFLAGS  := -s -w -X main.version=$(VERSION)
BUILD    := CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '$(LDFLAGS)'
# Without inlining the ARM builds are a tenth smaller; the terminal waits for wires, not for the processor. HTTP it
# speaks only to open a WebSocket, which is HTTP/1.1: HTTP/2 stays out. So does the newer of Go 1.26's two garbage
# collectors, 10 kB that a heap of 2 MB does not need; Go 1.27 will have that one alone, and not know the word.
ARMBUILD := GOEXPERIMENT=nogreenteagc $(BUILD) -gcflags=all=-l -tags nethttpomithttp2
SCENARIO ?= host-96
ARMS     := armv5 armv6 armv7 arm64
KIT      := firmware-build

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  e.g. make run SCENARIO=modem-no-sim ONCE=1 LABLANG=en    (bin/posdx-lab scenarios lists them)"

.PHONY: build
build: ## build posdx, posdx-fleet and posdx-lab for this machine into bin/
	@mkdir -p bin
	$(BUILD) -o bin/posdx ./agent
	$(BUILD) -o bin/posdx-fleet ./fleet
	$(BUILD) -o bin/posdx-lab ./firmware-build/lab

.PHONY: run
run: build ## a simulated terminal, a fault and its diagnosis: SCENARIO=… ONCE=1 LABLANG=en
	bin/posdx-lab run --scenario $(SCENARIO) $(if $(LABLANG),--lang $(LABLANG)) $(if $(ONCE),--once)

TERMINALS ?= 500
.PHONY: run-fleet
run-fleet: build ## an operator's morning: TERMINALS=500 on a real fleet view, four incidents in a minute; ONCE=1 LABLANG=en
	bin/posdx-lab fleet --terminals $(TERMINALS) --day morning $(if $(LABLANG),--lang $(LABLANG)) $(if $(ONCE),--once)

# What a part of `make test` left out, a line each with its reason: the last lines of make test count them.
SKIPPED := bin/skipped
export SKIPPED

.PHONY: test
test: packages ## everything that proves the product, about 15 minutes on two cores
	@fail=$$(gofmt -l agent codes drivers fleet firmware-build *.go); test -z "$$fail" || { echo "gofmt: $$fail"; exit 1; }
	$(GO) vet ./...
	@# Two at a time: the simulated terminals wait for wires while the others compile.
	@rm -f $(SKIPPED); $(MAKE) --no-print-directory --output-sync -j2 lab-short size soak-short tarm fuzz-short arm-test
	$(GO) test -json -timeout 15m ./... | $(GO) run ./firmware-build/testsum $(SKIPPED)

.PHONY: race
race: ## unit tests with the race detector
	$(GO) test -race -timeout 30m ./...

.PHONY: packages
packages: ## install the Debian packages that the tests need, or name them
	@sh $(KIT)/debian-packages.sh

.PHONY: arm
arm: $(ARMS:%=dist/posdx-%) ## static posdx for GOARM 5, 6, 7 and arm64 into dist/

.PHONY: $(ARMS:%=dist/posdx-%)
dist/posdx-armv5 dist/posdx-armv6 dist/posdx-armv7: dist/posdx-armv%:
	@mkdir -p dist
	GOOS=linux GOARCH=arm GOARM=$* $(ARMBUILD) -o $@ ./agent
dist/posdx-arm64:
	@mkdir -p dist
	GOOS=linux GOARCH=arm64 $(ARMBUILD) -o $@ ./agent

.PHONY: size
size: arm ## sizes of the ARM builds against their budget; fails above it
	@sh $(KIT)/size.sh dist

# What has bytes, 32-bit integers or system calls in it; GOARM=5 on the processor that has nothing more.
ARM_TESTED := ./codes/... ./agent/report ./agent/internal/charset ./agent/internal/outbox ./drivers/ecr ./drivers/frame ./drivers/pinpad ./drivers/printer ./drivers/reader ./drivers/serial
.PHONY: arm-test
arm-test: ## unit tests of the ARM build on an emulated ARM926
	@command -v qemu-arm-static >/dev/null || { mkdir -p bin; echo "arm-test: no Debian package qemu-user-static" | tee -a $(SKIPPED) >&2; exit 0; }; \
	POSDX_EMULATED=1 CGO_ENABLED=0 GOARCH=arm GOARM=5 $(GO) test -short -timeout 15m -exec "qemu-arm-static -cpu arm926" $(ARM_TESTED)

.PHONY: tarm
tarm: ## the serial port's tests over github.com/tarm/serial
	@GO="$(GO)" sh $(KIT)/tarm.sh

.PHONY: lab
lab: build ## every scenario of the simulated terminal, with what each found
	@sh $(KIT)/lab.sh

.PHONY: guest
guest: dist/posdx-armv7 ## memory and start of posdx on a real ARM kernel in qemu; fetches the kernel once, 44 MB
	@GO="$(GO)" sh $(KIT)/lab/guest.sh dist/posdx-armv7

.PHONY: lab-arm
lab-arm: ## posdx on a real ARM kernel with a disk: installed, broken, cut off, measured; LABARGS="-only link"; LONG=1: 100 cuts, an hour away
	@GO="$(GO)" sh $(KIT)/lab-arm.sh $(if $(LONG),-cuts 100 -away 1h) $(LABARGS)

.PHONY: faults
faults: ## every cause made to happen through the daemon; writes the table in firmware-build/README.md
	POSDX_FAULTS=1 $(GO) test -count=1 -timeout 15m -run TestFaults -v ./agent | grep -E '^ +faults_test.go.*(first|faults:)|--- FAIL|^(ok|FAIL)'

.PHONY: net-faults
net-faults: ## named network faults and the zoo of paths in namespaces, both families, with and without TLS (root); seven minutes
	POSDX_NET_TRIALS=all $(GO) test -count=1 -timeout 20m -v ./agent/internal/nettrial | grep -E '(right|abstained|WRONG|blamed|after the repair|FAIL)|^(ok|FAIL)'

.PHONY: lab-short
lab-short: build
	@sh $(KIT)/lab.sh host-96 wire-96 not-registered-97 unknown-9997 unknown-9997-line-cut modem-no-sim reader-unplugged reader-dirty storage-full

FUZZTIME ?= 60s
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (60s)
	@GO="$(GO)" sh $(KIT)/fuzz.sh $(FUZZTIME)

.PHONY: fuzz-short
fuzz-short:
	@GO="$(GO)" sh $(KIT)/fuzz.sh 3000x

.PHONY: bench
bench: ## benchmarks: explaining, decoding, storing
	$(GO) test -run '^$$' -bench . -benchmem ./agent/... ./drivers/... ./codes/... ./fleet/localise
	$(GO) test -run '^$$' -bench Ingest -benchtime 1x ./fleet

.PHONY: cluster
cluster: ## three nats-servers, three workers, one PostgreSQL: a worker and a node killed in full flow; the long form
	POSDX_CLUSTER=full $(GO) test -count=1 -timeout 20m -run TestCluster -v ./fleet

.PHONY: pace
pace: ## 11 111 documents a second to a whole fleet view for PACE=1h, PACE_TERMINALS=200: none lost, none twice, nothing grows
	POSDX_PACE=$(or $(PACE),1h) POSDX_PACE_TERMINALS=$(or $(PACE_TERMINALS),200) $(GO) test -count=1 -timeout 2h -run 'TestPace$$' -v ./fleet

.PHONY: soak
soak: ## an hour of faults on both sides; prints what was tried and lost
	POSDX_SOAK=1h $(GO) test -count=1 -timeout 2h -run Soak -v ./agent

.PHONY: soak-short
soak-short:
	POSDX_SOAK=20s $(GO) test -count=1 -timeout 10m -run Soak -v ./agent

.PHONY: desk
desk: ## every page of the fleet view at 0, 3 and 5 000 terminals in Chromium, with axe-core: PICTURES=DIR keeps them
	POSDX_TERMINALS=5000 POSDX_PICTURES=$(PICTURES) $(GO) test -count=1 -timeout 60m -run 'DeskPages|SignedInPages' -v ./fleet

.PHONY: systemd
systemd: ## the deb and its unit under a live systemd, in a container without a network (root; fetches a Debian of 240 MB once)
	GO="$(GO)" sh $(KIT)/debian.sh $${TMPDIR:-/tmp}/posdx-debian systemd

.PHONY: eval
eval: ## how many cases the diagnosis ranks right, and how far its probabilities can be believed
	$(GO) run ./agent/diagnose/eval -data codes/data -write agent/diagnose/README.md

# What is released is built by this toolchain, and `make vuln` looks at what it links; Go fetches it if need be. The one
# at hand may have weaknesses that are known.
RELEASE_TOOLCHAIN ?= go1.26.10
package package-fleet vuln: export GOTOOLCHAIN := $(RELEASE_TOOLCHAIN)

.PHONY: package
package: arm ## tar.gz, deb, ipk, apk and bills of materials for every ARM into dist/
	@GO="$(GO)" sh $(KIT)/package.sh "$(VERSION)" $(ARMS)

.PHONY: documents
documents: ## OpenAPI and AsyncAPI documents by their own tools (npm fetches them once)
	@sh $(KIT)/documents.sh

.PHONY: package-fleet
package-fleet: ## the fleet view as a deb with its unit for amd64 and arm64 into dist/
	@GO="$(GO)" sh $(KIT)/package-fleet.sh "$(VERSION)" amd64 arm64

.PHONY: sign
sign: ## sign what is in dist/: KEY=ed25519.pem (openssl genpkey -algorithm ed25519); SECURITY.md says how to check it
	@sh $(KIT)/sign.sh dist "$(KEY)"

.PHONY: vuln
vuln: ## known weaknesses in what is linked, by govulncheck; VULNDB=file:///… where no database is reached
	@GO="$(GO)" VULNDB="$(VULNDB)" sh $(KIT)/vuln.sh

.PHONY: install-test
install-test: packages ## every package, first process and fault point of an installation, and real Debians (root; fetches 400 MB once)
	POSDX_INSTALL=1 $(GO) test -count=1 -timeout 60m -run TestInstall -v ./firmware-build
	GO="$(GO)" sh $(KIT)/debian.sh $${TMPDIR:-/tmp}/posdx-debian

.PHONY: clean
clean: ## remove what was built and what make run left
	rm -rf bin dist run
