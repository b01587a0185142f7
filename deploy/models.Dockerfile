# syntax=docker/dockerfile:1
# The model repository as an image, with a manifest of its files. The chart's init container copies and checks it
# (models.image.mount=copy), or Kubernetes mounts it (mount=volume, models.subPath=model_repository).
# Build from the repository's root: docker build --file deploy/models.Dockerfile --tag cardiomesh/models:0.1.0 .
ARG BASE_IMAGE=busybox:1.37-musl

FROM ${BASE_IMAGE} AS manifest
WORKDIR /model_repository
COPY model_repository .
# As helm.tools.models_manifest writes it, so that its digest is known before the image is.
RUN find . -type f ! -name SHA256SUMS | sed 's|^\./||' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="cardiomesh-models" \
      org.opencontainers.image.description="CardioMesh: published ECG models with their cards" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="CC-BY-4.0"
COPY --from=manifest /model_repository /model_repository
USER 65534:65534
