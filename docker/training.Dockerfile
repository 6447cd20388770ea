# The offline job: graphs, training, evaluation and token indexes in one command. Build from the repository's root:
#   docker build -f docker/training.Dockerfile -t uwe-training .
#   docker run -v DATA:/raw:ro -v VOLUME:/data uwe-training job --recipe minilm_cpu --data /raw --out /data/job
# Model and indexes are on the volume then; a stopped job goes on when it is started again.
# The plain wheel of torch for Linux uses a GPU where there is one.
FROM python:3.12-slim-bookworm
ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/uwe
COPY constraints.txt ./
RUN /opt/uwe/bin/pip install -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY uwe_core uwe_core
COPY training training
COPY service service
RUN /opt/uwe/bin/pip install -c constraints.txt '.[train,embedded]' \
    && useradd --create-home --uid 10001 uwe && install -d -o uwe -g uwe /data
ENV PATH=/opt/uwe/bin:$PATH UWE_HOME=/data PYTHONUNBUFFERED=1
USER uwe
VOLUME /data
ENTRYPOINT ["uwe"]
CMD ["job", "--recipe", "smoke", "--out", "/data/job"]
