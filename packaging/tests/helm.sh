#!/bin/sh
# helm.sh ZRSD: lints the chart, and renders it in several ways: each manifest must be valid by the schemas of the API of
# Kubernetes, and zrsd must take each configuration.
set -eu
zrsd=$(readlink -f "$1")
cd "$(dirname "$0")/../.."
HELM=helm.sh/helm/v3/cmd/helm@v3.19.0
chart=packaging/helm/zrsd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

helm=$(command -v helm || true)
if [ -z "$helm" ]; then
	GOFLAGS='' GOBIN="$work" ${GO:-go} install $HELM
	helm=$work/helm
fi
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check kubernetes-validate==1.37.0 PyYAML

"$helm" lint --strict --quiet $chart

# case_ NAME OPTION...: renders and checks.
case_() {
	name=$1
	shift
	echo "== $name"
	"$helm" template "$name" $chart --namespace plone --kube-version 1.30 "$@" >"$work/$name.yaml"
	for version in 1.30 1.33 1.37; do
		"$work/env/bin/kubernetes-validate" --strict --quiet -k $version "$work/$name.yaml"
	done
	"$work/env/bin/python" packaging/tests/helm.py "$work/$name.yaml" "$work/$name" "$zrsd"
}

case_ defaults
case_ alone --set replicas=1,syncSecondaries=0,coordinator=
case_ etcd --set coordinator=etcd://etcd-0:2379,expectData=true,replicas=2
case_ tls --set tls.secretName=zrsd-tls,pack.enabled=true,storage.className=fast,drainTimeoutSeconds=300
if "$helm" template zrsd $chart --kube-version 1.30 --set pack.enabled=true 2>"$work/error"; then
	echo "FAILED: a pack without certificates was rendered" && exit 1
fi
grep -q "needs tls.secretName" "$work/error"
echo "== passed"
