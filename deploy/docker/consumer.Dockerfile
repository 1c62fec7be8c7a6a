# The reference consumer with every sink, and the load producer, to try the examples with. It links librdkafka and the C library of Debian, so
# its image is a small Debian; yours will look different. From the repository's root:
# `docker build -f deploy/docker/consumer.Dockerfile -t REGISTRY/evenkeel-consumer .`
# IAM on Amazon MSK: `--build-arg FEATURES=msk-iam`.
FROM rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
ARG TARGETARCH
ARG FEATURES=
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential libcurl4-openssl-dev libssl-dev pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,id=evenkeel-consumer-$TARGETARCH \
    cargo build --locked --release --package evenkeel-consumer --features "$FEATURES" \
    && cp target/release/evenkeel-consumer target/release/evenkeel-producer target/release/evenkeel-redrive /usr/local/bin/

FROM debian:bookworm-slim@sha256:67b30a61dc87758f0caf819646104f29ecbda97d920aaf5edc834128ac8493d3
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libcurl4 libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/evenkeel-consumer /usr/local/bin/evenkeel-producer /usr/local/bin/evenkeel-redrive /usr/local/bin/
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["evenkeel-consumer"]
