# The image `llama-factory-train`, which every training Job and its PostSync Job run. Owner: platform admins.
# LLaMA Factory 0.9.5, the CUDA build of torch (the plain wheels are CUDA builds), Python 3.11 on Debian 12.
#
# Build it (docker build takes the same arguments):
#   buildah bud --tag llama-factory-train .
# With the base pinned by digest, as production should:
#   buildah bud --build-arg BASE_IMAGE=python:3.11-slim-bookworm@sha256:<digest> --tag llama-factory-train .
# Behind a certificate authority and a package index of one's own, neither of which stays in the image:
#   buildah bud --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt \
#     --build-arg INDEX_URL=https://packages.example/simple --tag llama-factory-train .
# Then put the digest that the push prints into environments/<env>.yaml: a Job names its image by digest only.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS installers
ARG INDEX_URL=
# Debian 12 keeps one tini for its lifetime and rebuilds it under another suffix on each architecture: the base image's
# digest is its pin.
RUN apt-get update && apt-get install --yes --no-install-recommends tini
WORKDIR /build
COPY requirements/bootstrap.txt requirements/bootstrap.txt
RUN --mount=type=secret,id=ca-bundle \
    set -eu; \
    if [ -f /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; fi; \
    python3 -m venv bootstrap; \
    bootstrap/bin/pip install --no-cache-dir --only-binary :all: ${INDEX_URL:+--index-url "$INDEX_URL"} \
      --require-hashes --requirement requirements/bootstrap.txt

# The image begins here: 6 GB are installed where they stay, by an installer that is only mounted. Copying them out of
# another stage would write them three times.
FROM ${BASE_IMAGE} AS packages
ARG INDEX_URL=
# Triton compiles a few lines of C when a kernel is first started: Liger's kernels and torch.compile need this. The last line
# tries it, against Python's headers, which a base of one's own has to bring (python3-dev).
RUN set -eu; \
    apt-get update; apt-get install --yes --no-install-recommends gcc libc6-dev; rm -rf /var/lib/apt/lists/*; \
    echo '#include <Python.h>' | gcc -shared -fPIC -x c -o /dev/null \
      -I"$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')" -
COPY requirements/runner.txt /opt/requirements.txt
# Every file is checked against its hash, and only wheels are taken: no package's build script runs. Modules are compiled here because the root is read-only where they run; an unchecked hash keeps the
# compiled files valid when a registry or a builder rewrites modification times.
RUN --mount=type=secret,id=ca-bundle --mount=type=bind,from=installers,source=/build/bootstrap/bin,target=/run/installers \
    set -eu; \
    if [ -f /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi; \
    /run/installers/uv venv --python "$(command -v python3)" /opt/venv; \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH /run/installers/uv pip install --python /opt/venv/bin/python --no-cache \
      --compile-bytecode --only-binary :all: ${INDEX_URL:+--index-url "$INDEX_URL"} \
      --require-hashes --requirement /opt/requirements.txt

# The platform's own code. The mode is set here because a checkout may be writable for everyone (GitLab's runner clones
# with umask 0).
FROM ${BASE_IMAGE} AS app
WORKDIR /build
COPY tools app/tools
COPY runner app/runner
RUN python3 -m compileall -q --invalidation-mode unchecked-hash app && chmod -R a=rX app

FROM packages
# Installers go, ensurepip (which would bring pip back) with them; a base whose pip does not let itself be removed fails
# the build.
# HOME is writable for everyone, as /tmp is: a tenant may run under another UID, which then owns nothing here.
RUN set -eu; \
    if python3 -m pip --version; then python3 -m pip uninstall --yes pip setuptools wheel; fi; \
    if python3 -m pip --version; then echo "pip is still here; use a base image without Debian's python3-pip" >&2; exit 1; fi; \
    rm -rf "$(python3 -c 'import ensurepip; print(ensurepip.__path__[0])')"; \
    groupadd --gid 10001 trainer; \
    useradd --uid 10001 --gid 10001 --no-log-init --create-home --home-dir /home/trainer trainer; \
    chmod 1777 /home/trainer
COPY --from=installers /usr/bin/tini /usr/bin/tini

# USER and LOGNAME: a UID without a passwd entry otherwise fails in getpwuid, which torch calls for its cache folder.
# Matplotlib, Triton, Hugging Face and XDG caches are not named: all of them follow HOME, which the Job puts on an emptyDir.
# The switches to offline keep a Job from waiting for a model hub that it cannot reach.
# NVIDIA_VISIBLE_DEVICES stays unset: `all` would show a pod that asked for no GPU every GPU of its node.
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/home/trainer \
    USER=trainer \
    LOGNAME=trainer \
    HF_HUB_OFFLINE=1 \
    HF_DATASETS_OFFLINE=1 \
    TRANSFORMERS_OFFLINE=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# After the packages, so that a change of the platform's own code leaves their 6 GB in the cache.
COPY --from=app /build/app /app

ARG BASE_IMAGE
ARG VERSION=unreleased
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="llama-factory-train" \
      org.opencontainers.image.description="Trains, merges and registers one run of the LLM fine-tuning platform" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

WORKDIR /app
USER 10001:10001
# tini is process 1, reaps orphans and (-g) passes SIGTERM to the whole process group: torchrun, which LLaMA Factory
# starts, forwards no signals. A Job sets `args` (train ..., publish ...) and leaves `command` alone.
ENTRYPOINT ["/usr/bin/tini", "-g", "--", "python", "-m", "runner"]
