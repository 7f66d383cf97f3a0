# Two stages: a build with Rust, and an image that holds the program, its example and nothing that it does not need.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY tests tests
COPY examples examples
COPY zones zones
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN useradd --system --uid 5300 --home-dir /var/lib/athena --create-home athena
COPY --from=build /src/target/release/athena /usr/local/bin/athena
COPY examples/athena.toml /etc/athena/athena.toml
COPY zones/athena.zone /etc/athena/zones/athena.zone
USER athena
# All addresses of the container; whoever may reach it is decided outside of it. Updates stay with loopback and the
# networks that the configuration names.
ENV ATHENA_DNS__LISTEN='["0.0.0.0:5300"]' ATHENA_HTTP__LISTEN='["0.0.0.0:8053"]'
EXPOSE 5300/udp 5300/tcp 8053/tcp
STOPSIGNAL SIGTERM
ENTRYPOINT ["athena"]
CMD ["serve", "-c", "/etc/athena/athena.toml"]
