# The ranking service on a CPU. Build from the repository's root:
#   docker build -f docker/service.Dockerfile -t uwe-service .
# Another package index: --build-arg PIP_INDEX_URL=...
# The plain wheel of torch for Linux carries gigabytes of CUDA that a CPU does not need:
# --build-arg TORCH_INDEX_URL=... names the index of torch's wheels for the CPU.
FROM python:3.12-slim-bookworm AS build
ARG PIP_INDEX_URL
ARG TORCH_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/uwe
COPY constraints.txt ./
RUN /opt/uwe/bin/pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY uwe_core uwe_core
COPY training training
COPY service service
RUN /opt/uwe/bin/pip install -c constraints.txt '.[serve,embedded]'

FROM python:3.12-slim-bookworm
RUN useradd --create-home --uid 10001 uwe && install -d -o uwe -g uwe /data
COPY --from=build /opt/uwe /opt/uwe
ENV PATH=/opt/uwe/bin:$PATH UWE_HOME=/data UWE_HOST=0.0.0.0 PYTHONUNBUFFERED=1
USER uwe
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["uwe-serve"]
