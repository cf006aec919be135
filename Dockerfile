# One image for stages, the MLflow server and its migrations: `make image`, or VARIANT=cuda13 for GPUs (driver >= 580;
# the CUDA libraries come as wheels, so that the base is the same). Nothing in it is written to when it runs.
ARG BASE

FROM ${BASE} AS build
ARG BASE
RUN case "$BASE" in *@sha256:*) ;; \
    *) echo "BASE is '$BASE', a tag, which may be another image tomorrow: build with 'make image'." >&2; exit 1 ;; esac
ARG VARIANT=cpu
WORKDIR /opt/vsml
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.lock requirements.cuda13.lock ./
RUN case "$VARIANT" in cpu) more= ;; cuda13) more="-r requirements.cuda13.lock" ;; \
    *) echo "VARIANT is '$VARIANT', which is neither cpu nor cuda13." >&2; exit 1 ;; esac \
    && python -m venv .venv \
    && sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock > build.lock \
    && .venv/bin/python -m pip install --require-hashes -r build.lock \
    && .venv/bin/python -m pip install --require-hashes --no-build-isolation -r requirements.lock $more
COPY . .
RUN .venv/bin/python -m pip install --no-deps --no-build-isolation --editable . \
    && .venv/bin/python -m compileall -q vsml pipeline

FROM ${BASE}
ARG BASE
ARG COMMIT
RUN test -n "$COMMIT" || { echo "COMMIT is empty: build with 'make image', which knows it." >&2; exit 1; }
LABEL org.opencontainers.image.title=vsml org.opencontainers.image.revision=${COMMIT} \
    org.opencontainers.image.base.name=${BASE}
COPY --from=build /opt/vsml /opt/vsml
ENV VSML_COMMIT=${COMMIT} PATH=/opt/vsml/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    MLFLOW_DISABLE_TELEMETRY=true
WORKDIR /work
USER 10001:10001
ENTRYPOINT ["python", "-m", "pipeline"]
