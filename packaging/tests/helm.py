"""helm.py MANIFESTS DIR ZRSD: what no schema says of the rendered manifests of the chart."""

import os
import subprocess
import sys

import yaml

manifests, directory, zrsd = sys.argv[1:]
with open(manifests) as f:
    objects = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(f) if o}
kinds = [kind for kind, _ in objects]
stateful = next(o for (kind, _), o in objects.items() if kind == "StatefulSet")
pod = stateful["spec"]["template"]["spec"]
configs = next(o for (kind, _), o in objects.items() if kind == "ConfigMap")["data"]

# Each pod has a configuration, and zrsd takes it. Its certificates are those of the secret.
assert len(configs) == stateful["spec"]["replicas"], configs.keys()
os.makedirs(directory)
subprocess.run(
    ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
     "/CN=zrsd", "-keyout", f"{directory}/tls.key", "-out", f"{directory}/tls.crt"],
    check=True, capture_output=True)
with open(f"{directory}/tls.crt") as crt, open(f"{directory}/ca.crt", "w") as ca:
    ca.write(crt.read())
os.makedirs(f"{directory}/data/filestorage")
drains = set()
for name, text in configs.items():
    text = text.replace("/tls/", directory + "/").replace("/data/", directory + "/data/")
    drains.update(int(line.split()[1][:-1]) for line in text.splitlines() if line.split()[:1] == ["drain-timeout"])
    with open(os.path.join(directory, name), "w") as f:
        f.write(text)
    check = subprocess.run([zrsd, "config", "check", f.name], capture_output=True, text=True)
    assert check.returncode == 0, f"{name}: {check.stdout}{check.stderr}"

# A pod is killed after the drain, not in it.
assert drains and pod["terminationGracePeriodSeconds"] > max(drains), (pod["terminationGracePeriodSeconds"], drains)

# A claim outlives its pod, and the probes ask for what they are for.
assert stateful["spec"]["volumeClaimTemplates"]
container = pod["containers"][0]
for probe, role in ("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", "ready"):
    asks = container[probe]
    assert role in (asks["httpGet"]["path"] if "httpGet" in asks else asks["exec"]["command"][4]), asks
secure = pod["securityContext"]["runAsUser"] == 500 and container["securityContext"]["readOnlyRootFilesystem"]
assert secure, pod

# Leases are for those that use them.
assert ("Role" in kinds) == any("kubernetes://" in text for text in configs.values())
