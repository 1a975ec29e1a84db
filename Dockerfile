# plumb's image: two static binaries, and nothing else.
#
#   docker build --build-arg VERSION=v0.1.0 -t ghcr.io/plumbnet/plumb:v0.1.0 .
FROM golang:1.26.0-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY third_party/gobgp/go.mod third_party/gobgp/
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/ ./cmd/plumb ./cmd/plumb-cni

FROM scratch
LABEL org.opencontainers.image.source="https://github.com/plumbnet/plumb" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/plumb /out/plumb-cni /usr/local/bin/
# For `kubectl exec … -- plumb status`.
ENV PATH=/usr/local/bin
ENTRYPOINT ["/usr/local/bin/plumb"]
CMD ["agent"]
