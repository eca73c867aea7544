"""Checks what is in this folder: form, schemas, names of settings, and times that must fit each other.

`cargo xtask lint` runs it in an environment with `requirements.txt`. `cargo xtask test` also gives it the binary, which then says
whether the settings exist, and whether a server would start with those of each way to deploy.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
TEXTS = [path for path in sorted(HERE.rglob("*")) if path.is_file() and path.suffix not in {".py", ".txt", ".pyc"}]
# What a server may need for its end beyond the drain: connections that don't close, and what was taken in and is committed.
AFTER_DRAIN = 15
# Variables that are no settings of `serve`: where the image is, and where compose publishes ports.
OF_COMPOSE = {"CALLBOARD_IMAGE", "CALLBOARD_PUBLISH"}

faults = []


def expect(holds, fault):
    if not holds:
        faults.append(fault)


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **more)


def tool(name, *arguments):
    """A command of the environment that runs us."""
    done = run(str(Path(sys.executable).parent / name), *arguments)
    expect(done.returncode == 0, f"{name}:\n{done.stdout}{done.stderr}")


def seconds(text):
    """Of `10s`, `1m`, or a number."""
    number, unit = re.fullmatch(r"(\d+)\s*(s|m|min)?", str(text)).groups()
    return int(number) * {"m": 60, "min": 60}.get(unit, 1)


def load(path):
    return list(yaml.safe_load_all((HERE / path).read_text()))


# --- Compose --------------------------------------------------------------------------------------------------------------------


def compose():
    files = sorted(HERE.glob("compose/*.yaml"))
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *map(str, files))
    [base] = load("compose/compose.yaml")
    servers = {name: service for name, service in base["services"].items() if name.startswith("callboard")}
    expect(len(servers) == 3, "compose.yaml: there should be three servers")
    for name, service in servers.items():
        drain = seconds(service["environment"]["CALLBOARD_DRAIN"])
        grace = seconds(service["stop_grace_period"])
        expect(grace >= drain + AFTER_DRAIN, f"compose.yaml: {name} is killed {grace} s after SIGTERM, in its drain")
    for access in ("tls", "insecure"):
        [overlay] = load(f"compose/compose.{access}.yaml")
        expect(set(overlay["services"]) == set(servers), f"compose.{access}.yaml: it must be about every server")
    settings = base["services"]["postgres"]["command"][2::2]
    most = next(int(one.split("=")[1]) for one in settings if one.startswith("max_connections="))
    # A listener and a look at the schema beside them, and what PostgreSQL keeps for its superuser.
    needed = sum(int(one["environment"]["CALLBOARD_DATABASE_CONNECTIONS"]) + 2 for one in servers.values()) + 3
    expect(most >= needed, f"compose.yaml: max_connections={most}, but the servers may need {needed}")


# --- Kubernetes -----------------------------------------------------------------------------------------------------------------


def kubernetes():
    [kustomization] = load("kubernetes/kustomization.yaml")
    named = set(kustomization["resources"])
    there = {path.name for path in HERE.glob("kubernetes/*.yaml")} - {"kustomization.yaml"}
    expect(named == there, f"kustomization.yaml: names {sorted(named)}, and there are {sorted(there)}")
    tool("kubernetes-validate", "--strict", "--quiet", *(str(HERE / "kubernetes" / name) for name in sorted(there)))
    things = {(thing["kind"], thing["metadata"]["name"]): thing for name in there for thing in load(f"kubernetes/{name}")}
    stateful = things["StatefulSet", "callboard"]["spec"]
    pod = stateful["template"]["spec"]
    [server] = pod["containers"]
    drain = next(seconds(one["value"]) for one in server["env"] if one["name"] == "CALLBOARD_DRAIN")
    hook = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod["terminationGracePeriodSeconds"]
    expect(grace >= hook + drain + AFTER_DRAIN, f"statefulset.yaml: a pod is killed after {grace} s, in its drain")
    labels = stateful["template"]["metadata"]["labels"]
    selectors = [stateful["selector"]["matchLabels"], things["PodDisruptionBudget", "callboard"]["spec"]["selector"]["matchLabels"]]
    selectors += [thing["spec"]["selector"] for (kind, _), thing in things.items() if kind == "Service"]
    selectors.append(things["NetworkPolicy", "callboard"]["spec"]["podSelector"]["matchLabels"])
    for selector in selectors:
        expect(selector.items() <= labels.items(), f"kubernetes: {selector} selects no pod of the StatefulSet")
    expect(("Service", stateful["serviceName"]) in things, "statefulset.yaml: serviceName is no Service here")
    ports = {port["name"] for port in server["ports"]}
    probes = [server[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    expect(set(probes) <= ports, "statefulset.yaml: a probe asks at a port that the container doesn't name")
    volumes = {volume["name"] for volume in pod["volumes"]}
    expect({mount["name"] for mount in server["volumeMounts"]} == volumes, "statefulset.yaml: volumes and mounts differ")


# --- systemd --------------------------------------------------------------------------------------------------------------------


def unit_of_systemd(systemd_analyze):
    text = (HERE / "systemd/callboard.service").read_text()
    stop = seconds(re.search(r"^TimeoutStopSec=(.+)$", text, re.M)[1])
    drain = seconds(re.search(r"^CALLBOARD_DRAIN=(.+)$", (HERE / "systemd/callboard.env").read_text(), re.M)[1])
    expect(stop >= drain + AFTER_DRAIN, f"callboard.service: killed after {stop} s, in its drain")
    if not systemd_analyze:
        return
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder) / "callboard.service"
        # It asks for the program, too, which is not installed here.
        unit.write_text(text.replace("/usr/local/bin/callboard serve", f"{sys.executable} --version"))
        done = run(systemd_analyze, "verify", "--man=no", str(unit))
        # What it says of other units is about this machine. Unknown names are told, and no failure.
        said = [line for line in (done.stdout + done.stderr).splitlines() if "callboard" in line]
        expect(not said, "systemd-analyze verify:\n" + "\n".join(said))


# --- Settings -------------------------------------------------------------------------------------------------------------------


def settings_exist(binary):
    told = run(binary, "serve", "--help").stdout
    flags = set(re.findall(r"--[a-z][a-z-]+", told))
    variables = {f"CALLBOARD_{flag[2:].replace('-', '_').upper()}" for flag in flags}
    variables |= set(re.findall(r"CALLBOARD_[A-Z_]+", told)) | OF_COMPOSE
    for path in TEXTS:
        text = path.read_text()
        for name in set(re.findall(r"\bCALLBOARD_[A-Z_]+", text)) - variables:
            faults.append(f"{path.relative_to(HERE)}: {name} is no setting of callboard serve")
        for line in re.findall(r"\bcallboard serve\b([^`\n]*)", text):
            for flag in set(re.findall(r"--[a-z][a-z-]+", line)) - flags:
                faults.append(f"{path.relative_to(HERE)}: {flag} is no option of callboard serve")


def starts(binary, what, variables, allowed=True):
    """Whether a server would start with them: `serve --check`, in an empty folder and with a file as the database."""
    with tempfile.TemporaryDirectory() as folder:
        database = {"CALLBOARD_DATABASE": f"sqlite://{folder}/callboard.db"}
        environment = {"PATH": os.environ["PATH"], **{name: str(value) for name, value in variables.items()}, **database}
        done = run(binary, "serve", "--check", cwd=folder, env=environment)
        expect((done.returncode == 0) == allowed, f"{what}: `serve --check` says\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr


def servers_start(binary):
    image = (HERE / "docker/Dockerfile").read_text()
    image = dict(re.findall(r"(CALLBOARD_[A-Z_]+)=(\S+)", re.search(r"^ENV (?:.*\\\n)*.*$", image, re.M)[0]))
    [base] = load("compose/compose.yaml")
    [insecure] = load("compose/compose.insecure.yaml")
    for name, overlay in insecure["services"].items():
        container = {**image, **base["services"][name]["environment"]}
        said = starts(binary, f"compose.yaml alone, {name}", container, allowed=False)
        expect("--insecure" in said, f"compose.yaml alone, {name}: refused for another reason:\n{said}")
        starts(binary, f"compose.insecure.yaml, {name}", {**container, **overlay["environment"]})
    unit = (HERE / "systemd/callboard.env").read_text()
    starts(binary, "callboard.env", dict(re.findall(r"^([A-Z_]+)=(.*)$", unit, re.M)))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--binary", help="callboard")
    arguments.add_argument("--systemd-analyze", help="the program; without it the unit's form is not checked")
    given = arguments.parse_args()
    if given.binary:
        settings_exist(given.binary)
        servers_start(given.binary)
    else:
        tool("yamllint", "--strict", "--config-file", str(HERE / ".yamllint"), str(HERE))
        compose()
        kubernetes()
        unit_of_systemd(given.systemd_analyze)
    for fault in faults:
        print(f"deploy/{fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
