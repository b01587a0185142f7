"""``make helm-check``: everything that can be said of the chart without a cluster.

lint, profiles × Kubernetes versions, permutations, schemas, policies, golden renders, rules.
``--golden`` writes the golden renders anew; look at the diff before committing it. ``--release`` writes down what the
next release must not change.
"""

from __future__ import annotations

import difflib
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from helm.tools.binaries import find
from helm.tools.policies import broken
from helm.tools.render import PERMUTATIONS, PROFILES, HelmError, Object, helm, parse, template
from helm.tools.values import CHART

__all__ = ["CUSTOM", "GOLDEN", "RELEASED", "VERSIONS", "breaks_upgrade", "golden", "immutable", "main", "schema_errors"]

GOLDEN: Final = CHART.parent / "golden"
#: Names and immutable fields of the last release; written when one is made, and by nothing else.
RELEASED: Final = GOLDEN / "released.json"
VERSIONS: Final = tuple(f"1.{minor}" for minor in range(29, 38))
#: Kinds of operators; the API server's schemas do not know them.
CUSTOM: Final = frozenset({"ServiceMonitor", "PrometheusRule", "ScaledObject", "Certificate"})
#: From this version on Kubernetes mounts an image as a volume.
_IMAGE_VOLUME: Final = (1, 33)


def schema_errors(objects: list[Object], version: str) -> Iterator[str]:
    """What the API server of that version would refuse, fields it does not know included."""
    validator: Any = importlib.import_module("kubernetes_validate")
    for o in objects:
        if o["kind"] in CUSTOM:
            continue
        try:
            validator.validate(o, version, strict=True)
        except validator.ValidationError as error:
            where = ".".join(map(str, error.path))
            yield f"{version} {o['kind']}/{o['metadata']['name']} {where}: {error.message}"


def golden(profile: str) -> str:
    """One profile as it is rendered now, without what is compared elsewhere: scripts, rules and dashboards."""
    objects = parse(template(profile=profile))
    for o in objects:
        if o["kind"] == "ConfigMap":
            o["data"] = dict.fromkeys(o["data"], "(from files/)")
        if o["kind"] == "PrometheusRule":
            o["spec"]["groups"] = [group["name"] for group in o["spec"]["groups"]]
    return yaml.safe_dump_all(objects, sort_keys=True, width=120)


def immutable(profile: str) -> dict[str, Any]:
    """What an upgrade cannot change: names, and the fields that the API server refuses to update."""
    found: dict[str, Any] = {}
    for o in parse(template(profile=profile)):
        if "helm.sh/hook" in o["metadata"].get("annotations", {}):
            continue
        spec = o.get("spec", {})
        fixed = {"selector": spec["selector"]} if o["kind"] == "Deployment" else {}
        if o["kind"] == "Service":
            fixed = {"clusterIP": spec.get("clusterIP", "")}
        if o["kind"] == "PriorityClass":
            fixed = {"value": o["value"]}
        found[f"{o['kind']}/{o['metadata']['name']}"] = fixed
    return found


def breaks_upgrade(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Objects whose fixed fields changed. One that is new or gone is no trouble: Helm makes and removes them."""
    return [f"{name}: {before[name]} → {now[name]}" for name in before.keys() & now.keys() if before[name] != now[name]]


def _difference(profile: str) -> str:
    file = GOLDEN / f"{profile}.yaml"
    old = file.read_text(encoding="utf-8") if file.is_file() else ""
    lines = difflib.unified_diff(old.splitlines(), golden(profile).splitlines(), "golden", "now", lineterm="", n=2)
    return "\n".join(lines)


def _renders() -> Iterator[tuple[str, str, list[Object]]]:
    """Profiles for every version. Permutations for the oldest and the newest: nothing else depends on the version."""
    for version in VERSIONS:
        for profile in PROFILES:
            yield f"profile {profile}", version, parse(template(profile=profile, kubernetes=f"{version}.0"))
    for version in (VERSIONS[0], VERSIONS[-1]):
        for name, values in PERMUTATIONS.items():
            if name == "image-volume" and tuple(map(int, version.split("."))) < _IMAGE_VOLUME:
                continue
            yield f"permutation {name}", version, parse(template(*values, kubernetes=f"{version}.0"))


def _rules(promtool: Path) -> str:
    """What promtool has against the rules as the chart renders them, and against their tests."""
    with tempfile.TemporaryDirectory() as there:
        rule = next(o for o in parse(template(profile="cpu")) if o["kind"] == "PrometheusRule")
        rendered = Path(there) / "rendered.yaml"
        rendered.write_text(yaml.safe_dump(rule["spec"]), encoding="utf-8")
        for command in (["check", "rules", str(rendered)], ["test", "rules", str(CHART / "files" / "rules-test.yaml")]):
            done = subprocess.run([str(promtool), *command], capture_output=True, text=True, check=False)
            if done.returncode:
                return done.stdout + done.stderr
    return ""


def main() -> None:
    """Check all of it, print one line per step, exit 1 when anything is wrong."""
    if sys.argv[1:] == ["--release"]:
        fixed = {profile: immutable(profile) for profile in PROFILES}
        RELEASED.write_text(json.dumps(fixed, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return
    if sys.argv[1:] == ["--golden"]:
        GOLDEN.mkdir(exist_ok=True)
        for profile in PROFILES:
            (GOLDEN / f"{profile}.yaml").write_text(golden(profile), encoding="utf-8")
        return
    problems: list[str] = []
    for profile in ("", *PROFILES):
        values = ("--values", str(CHART / f"values-{profile}.yaml")) if profile else ()
        try:
            helm("lint", "--strict", str(CHART), *values, "--set-string", f"models.sha256={'ab' * 32}")
        except HelmError as error:
            problems.append(f"lint {profile or 'defaults'}: {error}")
    print(f"helm lint --strict: {1 + len(PROFILES)} sets of values")
    count, seen = 0, set[tuple[str, str]]()
    for name, version, rendered in _renders():
        # Most objects are the same in many renders; one look at each is enough.
        fresh = [o for o in rendered if (version, json.dumps(o, sort_keys=True)) not in seen]
        seen |= {(version, json.dumps(o, sort_keys=True)) for o in fresh}
        problems += [f"{name}: {error}" for error in schema_errors(fresh, version)]
        problems += [f"{name}: {error}" for error in broken(rendered)]
        count += 1
    versions = f"{VERSIONS[0]} to {VERSIONS[-1]}"
    print(f"helm template, schemas of Kubernetes {versions}, policies: {count} renders, {len(seen)} different objects")
    problems += [f"golden render {p} differs:\n{d}" for p in PROFILES if (d := _difference(p))]
    print(f"golden renders: {len(PROFILES)}")
    released = json.loads(RELEASED.read_text(encoding="utf-8"))
    for profile in PROFILES:
        problems += [f"upgrade, {profile}: {p}" for p in breaks_upgrade(released[profile], immutable(profile))]
    print(f"immutable fields against the last release: {len(PROFILES)}")
    promtool = find("promtool")
    if promtool is None:
        print("promtool: not on this machine (Debian package prometheus); rules not tested")
    else:
        problems += [f"rules: {said}"] if (said := _rules(promtool)) else []
        print("promtool: rules checked as rendered, and unit-tested")
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(f"{len(problems)} problems" if problems else 0)


if __name__ == "__main__":
    main()
