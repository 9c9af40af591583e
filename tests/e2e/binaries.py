"""`python -m tests.e2e.binaries`: the programs of a real cluster, built once from the modules in tests/e2e/modules.

Each module there is a go.mod with its go.sum: nothing but versions and sums, so that every build has the same bytes to
start from. What is built goes to ${XDG_CACHE_HOME:-~/.cache}/llm-finetuning-e2e/<hash of those files>/bin, each file whole
or not at all; E2E_CACHE names another folder. A second call builds nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "modules"
_KUBERNETES_VERSION = (
    "-X k8s.io/component-base/version.gitVersion={version} -X k8s.io/component-base/version.gitMajor={major} "
    "-X k8s.io/component-base/version.gitMinor={minor} -X k8s.io/client-go/pkg/version.gitVersion={version}"
)
# Programs that are not built, and the Debian packages that carry them.
PACKAGES = {
    "git": "git",
    "gpg": "gnupg",
    "openssl": "openssl",
    "redis-server": "redis-server",
}


class Missing(Exception):  # noqa: N818 - named by the user's situation
    """This machine lacks something; the message says what and how to get it."""


@dataclass(frozen=True)
class Module:
    """One go.mod: the programs that come out of it, and the files of its main dependency that the tests apply."""

    name: str
    source: str  # import path of the main dependency
    programs: dict[str, str]  # name of the program -> its package
    variables: str = ""  # for the linker; {version}, {number} (without its v), {major}, {minor} of the main dependency
    files: tuple[str, ...] = ()  # copied to <cache>/<name>/
    scripts: tuple[str, ...] = ()  # copied to <cache>/bin/


ALL = (
    Module(
        "kubernetes",
        "k8s.io/kubernetes",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "kustomize": "sigs.k8s.io/kustomize/kustomize/v5",
            "kubectl": "k8s.io/kubernetes/cmd/kubectl",
            "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
            "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
            "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
            "kubelet": "k8s.io/kubernetes/cmd/kubelet",
        },
        variables=_KUBERNETES_VERSION,
    ),
    Module(
        "argocd",
        "github.com/argoproj/argo-cd/v3",
        {"argocd": "github.com/argoproj/argo-cd/v3/cmd"},
        variables="-X github.com/argoproj/argo-cd/v3/common.version={number}",  # it puts the v there itself
        files=("manifests/crds", "manifests/base", "manifests/cluster-rbac"),
        scripts=("hack/git-verify-wrapper.sh", "hack/gpg-wrapper.sh"),
    ),
    Module("jobset", "sigs.k8s.io/jobset", {"jobset": "sigs.k8s.io/jobset"}, files=("config/components",)),
    Module("kueue", "sigs.k8s.io/kueue", {"kueue": "sigs.k8s.io/kueue/cmd/kueue"}, files=("config/components",)),
)


@dataclass(frozen=True)
class Cache:
    """The folder of what was built."""

    root: Path

    @property
    def bin(self) -> Path:
        """The folder of the programs, for PATH."""
        return self.root / "bin"

    def program(self, name: str) -> str:
        """Path of a built program."""
        return str(self.bin / name)

    def files(self, module: str) -> Path:
        """The copied files of a module's main dependency, below its own folder names."""
        return self.root / module


def cache() -> Cache:
    """Where this checkout's versions go; nothing is built yet."""
    digest = hashlib.sha256(repr(ALL).encode())
    for file in sorted(MODULES.glob("*/go.*")):
        digest.update(f"{file.relative_to(MODULES)}\0".encode() + file.read_bytes())
    return Cache(_cache_home() / digest.hexdigest()[:16])


def _cache_home() -> Path:
    if given := os.environ.get("E2E_CACHE"):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-finetuning-e2e"


def existing() -> Cache:
    """The folder, everything in it.

    Raises:
        Missing: something is not built or not on PATH.
    """
    built = cache()
    if any(_lacking(module, built) for module in ALL) or _not_on_path(PACKAGES):
        raise Missing(
            "the cluster's programs are not all there: `make e2e` builds them and says what it needs for that"
        )
    return built


def ensure() -> Cache:
    """Build whatever is not there yet and return the folder; in CI, root also gets the Debian packages that are missing.

    Raises:
        Missing: a program is not on PATH, Go is too old, or a build failed.
    """
    if (packages := _not_on_path(PACKAGES)) and os.environ.get("CI") and os.geteuid() == 0:
        names = [PACKAGES[program] for program in packages]
        print(f"e2e: installing {' '.join(names)}", flush=True)
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *names]):
            subprocess.run(["apt-get", "--quiet=2", *command], check=True, stdout=subprocess.DEVNULL)
    missing = [f"{name}: apt-get install {PACKAGES[name]}" for name in _not_on_path(PACKAGES)]
    missing += [
        f"{name}: install the version in tests/e2e/modules/argocd/go.mod or newer" for name in _not_on_path(["go"])
    ]
    if missing:
        raise Missing("the end-to-end tests need programs that are not on PATH:\n  " + "\n  ".join(missing))
    built = cache()
    built.bin.mkdir(parents=True, exist_ok=True)
    with _locked(built.root):
        for module in ALL:
            _build(module, built)
    return built


def _not_on_path(programs: Iterable[str]) -> list[str]:
    return [name for name in programs if shutil.which(name) is None]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One build at a time: a second process waits and then finds everything there."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lacking(module: Module, built: Cache) -> dict[Path, str]:
    """What of a module is not in the cache yet: the path there -> its package, or its path in the main dependency."""
    wanted = {built.bin / name: package for name, package in module.programs.items()}
    wanted |= {built.files(module.name) / name: name for name in module.files}
    wanted |= {built.bin / Path(name).name: name for name in module.scripts}
    return {path: source for path, source in wanted.items() if not path.exists()}


def _build(module: Module, built: Cache) -> None:
    lacking = _lacking(module, built)
    if not lacking:
        return
    _go(module, "mod", "download", module.source)
    version = _go(module, "list", "-m", "-f", "{{.Version}}", module.source)
    number = version.removeprefix("v")
    major, minor = number.split(".")[:2]
    linker = f"-s -w {module.variables.format(version=version, number=number, major=major, minor=minor)}"
    source = Path(_go(module, "list", "-m", "-f", "{{.Dir}}", module.source))
    for path, origin in lacking.items():
        if origin not in module.programs.values():
            _copy(source / origin, path)
            continue
        started = time.monotonic()
        print(f"e2e: building {path.name} ({module.source} {version}) ...", flush=True)
        new = path.with_name(f".{path.name}.new")
        _go(
            module, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", linker, "-o", str(new), origin
        )
        new.replace(path)
        print(f"e2e: built {path.name} in {time.monotonic() - started:.0f} s", flush=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder, writable and whole or not at all; the module cache is read-only."""
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, new, copy_function=shutil.copyfile)
        for folder in (new, *(path for path in new.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
    else:
        shutil.copyfile(source, new)
        new.chmod(0o755)
    new.replace(target)


def _go(module: Module, *arguments: str) -> str:
    """What `go` prints when run in the module's folder.

    Raises:
        Missing: Go failed; its own words and what to do.
    """
    done = subprocess.run(["go", *arguments], cwd=MODULES / module.name, capture_output=True, text=True, check=False)
    if done.returncode:
        remedy = "a newer Go may be needed (see the `go` line of its go.mod), or the Go module proxy is out of reach"
        where = f"tests/e2e/modules/{module.name}: go {arguments[0]} failed"
        raise Missing(f"{where}:\n{done.stderr.strip()[-2000:]}\n{remedy}")
    return done.stdout.strip()


def main() -> int:
    """Build and print the folder; 3 with what is missing."""
    try:
        built = ensure()
    except Missing as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 3
    print(f"e2e: programs are in {built.bin}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
