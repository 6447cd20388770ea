# The offline job: graphs, training, evaluation and token indexes in one command. Build from the repository's root:
#   docker build -f docker/training.Dockerfile -t uwe-training .
#   docker run --init -v DATA:/raw:ro -v VOLUME:/data uwe-training job --recipe minilm_cpu --data /raw --out /data/job
# Model and indexes are on the volume then; a stopped job goes on when it is started again.
#
# The plain wheel of torch for Linux uses a GPU where there is one. Build arguments as in service.Dockerfile:
# TORCH_INDEX_URL, PIP_INDEX_URL, EXTRAS, PYTHON_IMAGE.
ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG TORCH_INDEX_URL
ARG EXTRAS=train,embedded
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv --without-pip /opt/uwe
COPY constraints.txt ./
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
ENV PATH=/opt/uwe/bin:$PATH UWE_HOME=/data HF_HOME=/data/huggingface MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
VOLUME /data
STOPSIGNAL SIGTERM
# A job ends by itself, and its exit status says how.
HEALTHCHECK NONE
ENTRYPOINT ["uwe"]
CMD ["job", "--recipe", "smoke", "--out", "/data/job"]
