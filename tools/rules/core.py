"""Documentation of the findings that no rule module makes: of reading a file, and of overlays.

They are made in `tools/yamlsource/`, `tools/formats/parse.py`, `tools/expand/` and `tools/render/`; here is what their ids
mean to a user, for docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Mapping

DOCUMENTATION: Mapping[str, str] = {
    "file-kind": "The file is a regular file inside the repository. A symbolic link could read anything of the machine "
    "that checks it. Commit the file itself.",
    "file-size": "The file has at most 64 KiB. Experiments are a page long; data belongs on the storage "
    "(`ft dataset add`).",
    "file-encoding": "The file is UTF-8 text without control characters. Save it as UTF-8.",
    "yaml-syntax": "The file is valid YAML. The position is where the parser gave up; the fault may be a line above, "
    "often a missing space after a colon, a tab, or an open bracket or quote.",
    "yaml-duplicate-key": "Each key stands once. YAML readers take the last one silently, LLaMA Factory refuses both.",
    "yaml-alias": "No anchors (`&x`) and aliases (`*x`): few of them can stand for gigabytes. Write the value out.",
    "yaml-tag": "No tags (`!!python/object`): they make a reader build something else than data. Remove the tag.",
    "yaml-documents": "One document a file: no second `---`. Move the second one to a file of its own.",
    "yaml-depth": "Mappings and lists are nested at most 20 deep.",
    "yaml-key": "Keys are texts, not lists or mappings.",
    "format": "The file is a mapping with the keys of its format. Its JSON Schema is in `schemas/`.",
    "unknown-key": "Each key is one of the format. A key with a typo would be ignored; the message names the nearest.",
    "required-key": "Keys without a default are there. The position is that of the mapping that lacks it.",
    "value": "Each value has the type and lies in the range that its key wants. Texts such as `yes` and `on` are no "
    "booleans, quoted numbers no numbers.",
}

OVERLAYS: Mapping[str, str] = {
    "audit-attempts": "The attempts of an audit record stand once each, in the order of their numbers.",
    "audit-changed": "An audit record is, byte for byte, what the bot writes for its content. Restore it from git.",
    "audit-hash": "The run id of an audit record is that of its experiment and hash.",
    "audit-lock": "An authorized lock and its audit record name the same hash, attempt, merge request, commit and approvers.",
    "audit-missing": "Each authorized lock has an audit record. Restore it from git; the bot writes both in one commit.",
    "audit-path": "An audit record lies in `audit/<env>/<tenant>/<run id>.yaml`, and nothing else lies in `audit/`.",
    "expand-base": "A released base (`base/training/v<N>/`, `base/serving/v<N>/`) never changes: runs and served models are "
    "locked to it. Restore it from git and put the change into a new version.",
    "expand-changed": "A file of an overlay is not, byte for byte, what follows from its lock. Restore it from git.",
    "expand-experiment": "The experiment of an overlay still says what was locked, and is still there. Put it back, or "
    "copy it to a new name; `state: cancelled` is the way to stop a run.",
    "expand-hash": "A lock's hash and run id are those of its content. An edited lock is refused: restore it from git.",
    "expand-leftover": "Nothing lies in `overlays/` but what a lock accounts for. Delete it.",
    "expand-missing": "No file of an overlay is missing. Restore it from git.",
    "expand-path": "A lock lies in the folder of its own environment, tenant and experiment.",
    "expand-tenant": "A tenant whose tenant.yaml is gone, or no longer names the environment, has no runs left there: with its "
    "overlay goes the namespace and every Job in it. Cancel the runs first.",
    "render-build": "Every overlay builds with kustomize; the message is its first complaint.",
    "render-facts": "What is rendered is what the platform promises: image by digest, non-root, read-only root, no "
    "service-account token, hooks and sync waves that Argo CD understands.",
    "render-objects": "An overlay renders the kinds of its sort and no others.",
    "render-schema": "Every manifest passes the strict schemas of every Kubernetes minor from 1.31 that are at hand.",
}
