# The image of kubernetes-cronjob.yaml, from a release archive: the program, CA certificates and nothing else:
#
#   docker build --file kubernetes.Dockerfile \
#     --build-arg ARCHIVE_URL=https://downloads.example.com/privsync/v1.0.0/privsync_v1.0.0_linux_amd64.tar.gz \
#     --build-arg ARCHIVE_SHA256=… --tag registry.example.com/bi/privsync .
#   docker push registry.example.com/bi/privsync    # prints the digest for the CronJob
#
# The digest is that of the list of all platforms; `docker buildx imagetools inspect alpine:3.22.1`
# prints it. Change both together: a tag can be moved.
FROM alpine:3.22.1@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1 AS archive
RUN apk add --no-cache ca-certificates curl
ARG ARCHIVE_URL
ARG ARCHIVE_SHA256
RUN curl --fail --silent --show-error --location --retry 3 --output /tmp/privsync.tar.gz "$ARCHIVE_URL" \
 && echo "$ARCHIVE_SHA256  /tmp/privsync.tar.gz" | sha256sum -c - \
 && mkdir -p /out/usr/local/bin /tmp/privsync \
 && tar -xzf /tmp/privsync.tar.gz --strip-components=1 -C /tmp/privsync \
 && cp /tmp/privsync/privsync /out/usr/local/bin/privsync \
 && mkdir -p -m 0700 /out/var/lib/privsync && chown 65532:65532 /out/var/lib/privsync

FROM scratch
COPY --from=archive /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=archive /out/ /
ENV XDG_STATE_HOME=/var/lib
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/privsync"]
