"""The base model is in the catalogue and the tenant may use it.

The catalogue says where the weights lie, what their hashes and licence are and how much memory they need; a model
outside it cannot be checked. Platform admins add models (`ft model add`) and allow them per tenant.

Fails:

    model: smollm2-135m         # no catalog/models/smollm2-135m.yaml

Passes:

    model: smollm2-135m-instruct
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tools.findings import Finding, quote
from tools.rules.subject import Subject

ID = "model-allowed"
KIND = "experiment"
NEEDS = ("model",)


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the model with the catalogue and the tenant's list."""
    tenant, name, document = subject.tenant, subject.experiment.model, subject.parsed.document
    file = f"catalog/models/{name}.yaml"
    if subject.model is None and not (subject.repository.root / file).is_file():
        known = _known(subject)
        near = get_close_matches(name, known, n=1)
        remedy = f'did you mean "{near[0]}"?' if near else "ask a platform admin to add it with `ft model add`"
        yield document.finding(
            ("model",), ID, f"there is no model {quote(name)}", ", ".join(known) or "none yet", remedy
        )
    elif tenant is not None and name not in tenant.models:
        remedy = f"ask a platform admin to add it to tenants/{subject.tenant_name}/tenant.yaml"
        found = f"{subject.tenant_name} may not use the model {quote(name)}"
        yield document.finding(("model",), ID, found, ", ".join(_known(subject)), remedy)
    elif subject.model is None:
        yield document.finding(
            ("model",), ID, f"the model {quote(name)} is not valid", None, f"run `ft validate {file}`"
        )


def _known(subject: Subject) -> list[str]:
    names = subject.repository.names("catalog/models")
    return [name for name in names if subject.tenant is None or name in subject.tenant.models]
