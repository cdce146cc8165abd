# The image of the jobs in gitlab-ci.yml: privsync and the four programs that the recipe calls.
# Packages are installed here, once, where no secret is, and not in jobs that hold the password:
#
#   docker build --file gitlab.Dockerfile \
#     --build-arg ARCHIVE_URL=https://downloads.example.com/privsync/v1.0.0/privsync_v1.0.0_linux_amd64.tar.gz \
#     --build-arg ARCHIVE_SHA256=… --tag registry.example.com/bi/privsync-ci .
#   docker push registry.example.com/bi/privsync-ci    # prints the digest for PRIVSYNC_IMAGE
#
# The digest is that of the list of all platforms; `docker buildx imagetools inspect alpine:3.22.1`
# prints it. Change both together: a tag can be moved.
FROM alpine:3.22.1@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
RUN apk add --no-cache bash curl git jq
ARG ARCHIVE_URL
ARG ARCHIVE_SHA256
RUN curl --fail --silent --show-error --location --retry 3 --output /tmp/privsync.tar.gz "$ARCHIVE_URL" \
 && echo "$ARCHIVE_SHA256  /tmp/privsync.tar.gz" | sha256sum -c - \
 && mkdir /opt/privsync \
 && tar -xzf /tmp/privsync.tar.gz --strip-components=1 -C /opt/privsync \
 && ln -s /opt/privsync/privsync /usr/local/bin/privsync \
 && rm /tmp/privsync.tar.gz
