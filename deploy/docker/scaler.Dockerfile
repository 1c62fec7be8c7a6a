# The scaler: one static program (serve, explain, top; the tools are for people's own machines) and the
# CA certificates, nothing else. Built natively for each
# platform (`docker buildx build --platform linux/amd64,linux/arm64 -f deploy/docker/scaler.Dockerfile .`),
# from the repository's root. `make static` proves the program without a container engine.
FROM rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
ARG TARGETARCH
# ring compiles C, for which musl needs a compiler of its own.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends musl-tools ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,id=evenkeel-$TARGETARCH \
    machine=$(uname -m) \
    && rustup target add "$machine-unknown-linux-musl" \
    && cargo build --locked --release --package evenkeel --no-default-features --target "$machine-unknown-linux-musl" \
    && cp "target/$machine-unknown-linux-musl/release/evenkeel" /evenkeel

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /evenkeel /evenkeel
USER 65532:65532
EXPOSE 9090 8080
ENTRYPOINT ["/evenkeel"]
CMD ["serve"]
