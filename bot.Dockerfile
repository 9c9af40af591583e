# The image `ft-bot`: `ft bot serve` and the other commands of the bot. Owner: platform admins. Light: no torch, no runner.
# Its manifests are base/bot/; docs/gitlab-setup.md says how to set it up.
#
# Build it (docker build takes the same arguments):
#   buildah bud --file bot.Dockerfile --ignorefile bot.Dockerfile.dockerignore --tag ft-bot .
# With the base pinned by digest, as production should:
#   buildah bud --build-arg BASE_IMAGE=python:3.11-slim-bookworm@sha256:<digest> ...
# Behind a certificate authority and a package index of one's own, neither of which stays in the image:
#   buildah bud --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt \
#     --build-arg INDEX_URL=https://packages.example/simple ...
# Then put the digest that the push prints into base/bot/kustomization.yaml.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS installers
WORKDIR /build
ARG INDEX_URL=
COPY requirements/bootstrap.txt requirements/bootstrap.txt
RUN --mount=type=secret,id=ca-bundle \
    set -eu; \
    if [ -f /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; fi; \
    python3 -m venv bootstrap; \
    bootstrap/bin/pip install --no-cache-dir --only-binary :all: ${INDEX_URL:+--index-url "$INDEX_URL"} \
      --require-hashes --requirement requirements/bootstrap.txt

# Every file is checked against its hash, and only wheels are taken: no package's build script runs.
FROM ${BASE_IMAGE} AS packages
ARG INDEX_URL=
COPY requirements/bot.txt /opt/requirements.txt
RUN --mount=type=secret,id=ca-bundle --mount=type=bind,from=installers,source=/build/bootstrap/bin,target=/run/installers \
    set -eu; \
    if [ -f /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi; \
    /run/installers/uv venv --python "$(command -v python3)" /opt/venv; \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH /run/installers/uv pip install --python /opt/venv/bin/python --no-cache \
      --compile-bytecode --only-binary :all: ${INDEX_URL:+--index-url "$INDEX_URL"} \
      --require-hashes --requirement /opt/requirements.txt

FROM ${BASE_IMAGE} AS app
WORKDIR /build
COPY tools app/tools
RUN python3 -m compileall -q --invalidation-mode unchecked-hash app && chmod -R a=rX app

# git reads and pushes, gpg signs and checks signatures, tini is process 1: it reaps what gpg leaves behind.
FROM ${BASE_IMAGE}
RUN set -eu; \
    apt-get update; \
    apt-get install --yes --no-install-recommends git gnupg tini; \
    rm -rf /var/lib/apt/lists/*; \
    if python3 -m pip --version; then python3 -m pip uninstall --yes pip setuptools wheel; fi; \
    groupadd --gid 10010 bot; \
    useradd --uid 10010 --gid 10010 --no-log-init --no-create-home --home-dir /tmp bot
COPY --from=packages /opt/venv /opt/venv
COPY --from=app /build/app /app
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    FT_BOT_CONFIG=/etc/ft-bot/settings.yaml
ARG BASE_IMAGE
ARG VERSION=unreleased
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="ft-bot" \
      org.opencontainers.image.description="Reports merge requests and authorizes runs of the LLM fine-tuning platform" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
WORKDIR /app
USER 10010:10010
EXPOSE 8080
ENTRYPOINT ["/usr/bin/tini", "--", "python", "-c", "from tools.cli import entry_point; entry_point()", "bot"]
CMD ["serve", "--host", "0.0.0.0"]
