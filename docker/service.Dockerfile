# The ranking service. Build from the repository's root:
#   docker build -f docker/service.Dockerfile -t uwe-service .
#
# CPU or CUDA is a matter of torch's wheel. The plain wheel for Linux carries CUDA, gigabytes that a CPU does not need:
#   --build-arg TORCH_INDEX_URL=...   an index of torch's wheels, for the CPU or for one release of CUDA
#   --build-arg PIP_INDEX_URL=...     another index for everything else
#   --build-arg EXTRAS=serve          without the embedded model: UWE_MODEL then names a folder or a hub id
#   --build-arg PYTHON_IMAGE=...      another base, such as this one by its digest
ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG TORCH_INDEX_URL
ARG EXTRAS=serve,embedded
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# The image needs no pip of its own: the base's installs into it.
RUN python -m venv --without-pip /opt/uwe
COPY constraints.txt ./
# Alone and first: it is the largest layer and changes least. What it needs comes from the other index, below.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/uwe/bin/python install --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} \
    -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY uwe_core uwe_core
COPY training training
COPY service service
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/uwe/bin/python install -c constraints.txt ".[${EXTRAS}]"

FROM ${PYTHON_IMAGE}
RUN useradd --no-log-init --create-home --uid 10001 --user-group uwe && install -d -o uwe -g uwe /data
COPY --from=build /opt/uwe /opt/uwe
# A container must listen on its network, where nobody outside arrives until a port is published: so it starts without
# keys, too. With keys (UWE_API_KEYS) set UWE_ALLOW_ANONYMOUS=false, or requests without one are answered as well.
# Weights from the model hub land on the volume too, so that the root file system may be read-only.
ENV PATH=/opt/uwe/bin:$PATH UWE_HOME=/data HF_HOME=/data/huggingface UWE_HOST=0.0.0.0 UWE_ALLOW_ANONYMOUS=true \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, since Kubernetes cannot tell from a name that it is not root.
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["uwe-serve"]
