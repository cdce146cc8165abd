# A container image with one static binary, CA certificates and nothing else:
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" --tag privsync .
#   docker run --rm --volume "$PWD/policy:/policy:ro" privsync validate -f /policy
#
# State (journal, lock, reports) belongs on a volume at /var/lib/privsync that user 65532 can write to.
# The digest is that of the list of all platforms; `docker buildx imagetools inspect golang:1.26.8-bookworm`
# prints it. Change both together.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm@sha256:a688600ca24f8a4d3ca77f95b0dd40704a9fc787c826660eb7ba0b641b8b175d AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download && go mod verify
COPY . .
ARG VERSION=devel
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/usr/local/bin/privsync ./cmd/privsync
RUN mkdir -p -m 0700 /out/var/lib/privsync && chown 65532:65532 /out/var/lib/privsync

FROM scratch
ARG VERSION=devel
LABEL org.opencontainers.image.title="privsync" \
      org.opencontainers.image.description="Keeps MicroStrategy privileges as a YAML policy describes them" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /
# There is no home folder here; this makes /var/lib/privsync the default state folder.
ENV XDG_STATE_HOME=/var/lib
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/privsync"]
